"""The real consensus code in a simulated, hostile world: one seed, one history, replayable.

From a seed to a verdict: `faults` draws a `scenario`, `cast` makes the machines, `stage` carries
the scenario's actions out upon them, `world` lets time pass (`clock`), `network` and `disk` do what
networks and disks do, `machine` runs the real driver in between, and `checkers` judge every write,
message and commit. `campaign` runs many seeds, `shrink` thins out one that fails, `scenario_file`
keeps it, `transcript` tells it. Who is Byzantine is so by `twins` or as a villain (`byzantine`).
"""
