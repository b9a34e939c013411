"""What an internal service needs: record what was done, and keep a proof that nobody can deny."""

import asyncio
import sys

from heptad.client import connect
from heptad.crypto.keys import Ed25519Key


async def main(profile: str) -> None:
    """Register a subject, record one request of it, and get the receipt; all of it checked."""
    async with connect(profile) as heptad:
        key = Ed25519Key.generate()
        subject = await heptad.register(key)
        request = heptad.sign(
            key=key, subject=subject.subject_id, action="authenticate", data={"level": "high"}
        )
        recorded = await heptad.submit(request)
        receipt = await heptad.receipt(recorded.request_id)
        proof = heptad.verify(receipt)
    print(f"entry {recorded.index} is in the log, proved by {len(proof.cosigned_at_s)} replicas")


asyncio.run(main(sys.argv[1]))
