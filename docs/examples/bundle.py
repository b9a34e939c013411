"""What a service with much to record needs: many events under one signature, proved one by one."""

import sys
import time

from heptad.client import BlockingClient, Event
from heptad.crypto.keys import Ed25519Key


def main(profile: str) -> None:
    """Register two subjects, record what a clerk did, and prove one event to its subject."""
    with BlockingClient(profile) as heptad:
        subjects = [heptad.register(Ed25519Key.generate()).subject_id for _ in range(2)]
        now_ms = time.time_ns() // 1_000_000
        bundle = heptad.sign_bundle(
            [
                Event(subject, "record.access", b'{"record": "R-17", "clerk": "c42"}', now_ms)
                for subject in subjects
            ]
        )
        recorded = heptad.submit_bundle(bundle)
        again = heptad.submit_bundle(bundle)
        receipt = heptad.event_receipt(bundle, 1)
        whole = heptad.bundle_file(recorded.recorded.request_id)
    print(f"events {list(recorded.event_indexes)} are in the log, under one signature")
    print(f"sent again: index {again.recorded.index}, replayed: {again.recorded.replayed}")
    print(f"receipt of event 1: {len(receipt.encode())} bytes; all: {len(whole.encode())} bytes")


main(sys.argv[1])
