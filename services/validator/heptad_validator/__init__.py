"""The validator: checks signed requests, seals them, and brings them into the log in batches."""
