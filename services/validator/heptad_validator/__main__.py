"""`python -m heptad_validator --home HOME --name validator-1`: a validator, until told to stop."""

from heptad.runtime.service import run
from heptad_validator.lifecycle import KIND

if __name__ == "__main__":
    run(KIND)
