"""Which key exchange a service's own listener wants: asked as a stranger would ask it.

gRPC does not tell what was agreed on, and a library that is built otherwise one day would change it
in silence. So each service asks its own door once, when it has opened it, and exports the answer.
"""

import asyncio
import os
from typing import Final

from heptad.runtime.config.addresses import split_address
from heptad.runtime.handshake import QUANTUM_SAFE_GROUPS, chosen_group, group_question

ANSWER_S_MAX: Final = 5.0
_ANSWER_BYTES: Final = 4_096
_EVERYWHERE: Final = ("0.0.0.0", "::")  # noqa: S104  what a listener may be bound to


async def is_quantum_safe(address: str) -> bool | None:
    """Whether the listener there wants a key exchange that withstands quantum computers.

    As far as is known: one with ML-KEM (FIPS 203). None if it does not answer as TLS 1.3 does.
    """
    host, port = split_address(address)
    try:
        async with asyncio.timeout(ANSWER_S_MAX):
            reader, writer = await asyncio.open_connection(
                "127.0.0.1" if host in _EVERYWHERE else host, port
            )
            try:
                writer.write(group_question(os.urandom))
                answer = await reader.read(_ANSWER_BYTES)
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return None
    group = chosen_group(answer)
    return group in QUANTUM_SAFE_GROUPS if group else None
