"""From records to commits: batches, their numbers, the replicas, and what these report."""
