"""The auditor's own daemon: it remembers what a log said, and says loudly when that changes.

Pure checking is in `heptad.verification`; here are the look that puts it together (`look`), the
spot checks of what was proved before (`recheck`), what is remembered between two looks (`state`,
`walk`), the proofs that are kept (`alarm_folder`), and the loop with its metrics and logs
(`auditor`, `daemon`).
"""
