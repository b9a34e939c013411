"""Backups of a ledger, and ways back: `taking` copies, `restoring` puts a copy in place,
`cloning` makes a store anew from another's public log.
"""
