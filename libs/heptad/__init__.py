"""Heptad: a shared audit ledger for authorities that need not trust each other."""

__version__ = "0.1.0"
