"""Hostile peers on the wire: a client that holds a real member's certificate and keys.

The simulator's villains (`heptad.simulation.byzantine`) lie within the protocol. What it cannot
show is what lies and floods cost in processes with sockets: bytes that are read, handshakes,
signatures, memory. So one member of a running cell is replaced by an attacker that is
authenticated like the member itself, while clients go on asking; docs/spec/hostile.md says what
each message can cost at most, and gives the figures.

Everything here talks to the loopback addresses of a cell of its own, and is bounded in time and
count.
"""
