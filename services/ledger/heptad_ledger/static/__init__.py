"""The log as plain files that nginx can serve and anybody can copy; derived from the store."""
