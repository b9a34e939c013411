"""A second opinion on the agreement protocol: its rules again, small enough to check exhaustively.

Written from the papers (DiemBFT v4; Gelashvili et al., "Jolteon and Ditto", FC 2022) and from the
project's design, and importing nothing of the code that it judges: two texts that agree were at
least not wrong in the same line. `docs/spec/model.md` tells what is checked and what is not.

From the rules to a verdict: `rules` are the formulas, each with a switch that takes it out;
`messages` is the protocol itself, members, votes and time-outs in any order; `invariants` say what
must never be seen. `rounds` is the same protocol thinned out to what decides a fork, so that it can
be exhausted to many rounds; `search` exhausts either; `walk` goes deep at random. `table` lists the
configurations, those that must hold and those that must fail. `trace` follows a history of real
replicas and accepts or refuses each of its steps.
"""
