"""`python -m heptad_gateway --home HOME --name gateway-1`."""

from heptad.runtime.service import run
from heptad_gateway.wiring import KIND

run(KIND)
