"""`python -m heptad_replica --home HOME --name replica-3`: one replica, until told to stop."""

from heptad.runtime.service import run
from heptad_replica.service import KIND

if __name__ == "__main__":
    run(KIND)
