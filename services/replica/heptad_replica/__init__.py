"""A replica: one member of the group that agrees on the order of batches."""
