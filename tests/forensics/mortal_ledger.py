"""Runs a ledger that kills itself at a step of an erasure: `mortal_ledger.py FILE COMMAND…`.

FILE holds the number of a step. Once that step is done, the file is taken away and the process is
gone, by SIGKILL and from within, so that nothing comes between. COMMAND is how the ledger would
have been started.
"""

import functools
import os
import signal
import sys
from pathlib import Path

from heptad.runtime.service import run
from heptad.vault.steps import Step
from heptad_ledger.privacy import erasing
from heptad_ledger.wiring import KIND


def main():
    file, arguments = Path(sys.argv[1]), sys.argv[2:]

    def on_step(step: Step) -> None:
        if file.exists() and int(file.read_text()) == step:
            file.unlink()
            os.kill(os.getpid(), signal.SIGKILL)

    erasing.Eraser = functools.partial(erasing.Eraser, on_step=on_step)
    erasing.Decider = functools.partial(erasing.Decider, on_step=on_step)
    sys.argv = ["heptad_ledger", *arguments[arguments.index("heptad_ledger") + 1 :]]
    run(KIND)


if __name__ == "__main__":
    main()
