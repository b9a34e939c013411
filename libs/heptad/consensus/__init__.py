"""Agreement of seven replicas on one order of batches, as a library without I/O.

Where to begin: `objects` are the words of the protocol, `kernel.rules` what may be signed,
`certificates` what may be believed, `core.machine` the state machine, `driver` how a shell runs it,
`ports` what the shell must bring, `ready` what it gets and in which order it must act.
"""
