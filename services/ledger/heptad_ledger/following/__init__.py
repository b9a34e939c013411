"""Following the replicas: streams to all of them, bytes from one, and applying what is proved."""
