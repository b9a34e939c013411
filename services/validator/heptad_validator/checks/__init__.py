"""What a validator asks of a request, one rule a file, from cheap to dear.

Each is a pure function: it returns nothing or what it has found, or raises the `Problem` with its
own stable code. Clocks and registries come in as arguments. The order stands in
`heptad_validator.admission`: size, shape, algorithm, audience, freshness, (the same bytes lately?),
key, signature, replay, limits, policy.
"""
