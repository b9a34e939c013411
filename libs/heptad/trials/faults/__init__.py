"""Faults on a running mesh: real processes, real disks, real sockets, and a checker of histories.

The simulator breaks everything that can be broken inside one process, a million times over. What it
cannot break is what it stands in for: kernels, file systems, sockets, clocks, LMDB, gRPC, our own
start and stop. So the same promises are put to the test here on the processes that users run.
"""
