"""Speaking to a cell from Python: submit, ask, and keep receipts that prove themselves.

    async with connect(".heptad/clients/tax-portal") as heptad:
        recorded = await heptad.submit(heptad.sign(subject=…, action=…, data=…, key=…))
        receipt = await heptad.receipt(recorded.request_id)

`docs/examples/service.py` is the whole of it. Gateways use the same streams (`Submitter`).
"""

from heptad.client.blocking import BlockingClient
from heptad.client.calls import LedgerReader, Terms, ValidatorCalls
from heptad.client.client import Client, connect
from heptad.client.export_calls import ExportCalls
from heptad.client.export_file import save_export
from heptad.client.officer import Officer, connect_officer
from heptad.client.peek import issuer_of
from heptad.client.privacy_calls import PrivacyCalls
from heptad.client.signing import sign, sign_bundle, sign_new_subject
from heptad.client.standing import Standing, find_standing
from heptad.client.submission import Submitter
from heptad.client.watching import follow
from heptad.crypto.bundles import Bundle, Event

__all__ = [
    "BlockingClient",
    "Bundle",
    "Client",
    "Event",
    "ExportCalls",
    "LedgerReader",
    "Officer",
    "PrivacyCalls",
    "Standing",
    "Submitter",
    "Terms",
    "ValidatorCalls",
    "connect",
    "connect_officer",
    "find_standing",
    "follow",
    "issuer_of",
    "save_export",
    "sign",
    "sign_bundle",
    "sign_new_subject",
]
