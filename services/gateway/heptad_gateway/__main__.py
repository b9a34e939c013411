"""`python -m heptad_gateway --home HOME --name gateway-1`: one gateway, until told to stop."""

from heptad.runtime.service import run
from heptad_gateway.wiring import KIND

if __name__ == "__main__":
    run(KIND)
