"""Mutation testing of consensus: each rule is taken out or weakened, and the tests must notice.

A rule that nobody would miss is not tested, whatever the coverage says. So the rules of the design
are written down as data (`rules/*.toml`): what the rule says, and for each way in which a careless
change might weaken it the exact text to replace. `make mutants` plants one at a time into a copy of
the sources and runs the tests that the list names for it; where they all pass it runs everything
about consensus, and a mutant that survives that is a hole in the tests. The list is also the table
in docs/spec/mutants.md. A change that moves a text breaks a tidy test, so the list stays alive.
"""
