"""A tour of a running cell: what a citizen, a service, an auditor and an operator can prove of it.

`heptad demo` is its door. Every step either proves something, and says what and with which numbers,
or fails with the reason. Nothing is simulated: requests go over HTTP and gRPC, replicas are killed
with SIGKILL, and all arithmetic is done on the log's own public bytes, against a policy that was
*not* fetched from the server that is being judged.
"""
