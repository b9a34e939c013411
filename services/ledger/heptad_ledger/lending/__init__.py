"""The vault's door: keys of subjects on loan, slots for subjects to come, look-ups of requests."""
