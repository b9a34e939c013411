"""The control room: one picture of the whole cell, for people who have to keep it well."""
