"""The ledger's duties to the people whose data it holds: access, export, erasure."""
