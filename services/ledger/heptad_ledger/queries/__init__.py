"""Questions about many entries: pages, counts, and following the log."""
