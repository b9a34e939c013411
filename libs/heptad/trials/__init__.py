"""Trials of a whole mesh: load, measurement, comparison; later faults and their report.

Nothing here is part of serving a request. A trial starts real processes, does to them what users
and misfortune do, and says what came out, in figures that another run can be held against.
"""
