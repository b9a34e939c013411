"""The safety kernel: the voting rules and the record of what was signed, and nothing else."""
