"""`python -m heptad_ledger --home HOME --name ledger-1`: the ledger, until told to stop."""

from heptad.runtime.service import run
from heptad_ledger.wiring import KIND

if __name__ == "__main__":
    run(KIND)
