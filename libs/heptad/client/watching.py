"""Following the log over interruptions: every entry once, in order, whatever happens to streams."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Final

from heptad.client.calls import LedgerReader, Terms
from heptad.model.problems import Problem
from heptad.model.queries import EntryFilter, WatchedEntries

PAUSE_S: Final = 1.0
_PASSING: Final = frozenset(
    {"ledger_unavailable", "draining", "overloaded", "watch_too_slow", "checkpoint_pending"}
)


async def follow(
    ledger: LedgerReader, wanted: EntryFilter, *, terms: Terms, pause_s: float = PAUSE_S
) -> AsyncGenerator[WatchedEntries, None]:
    """Entries from `start_index` on until the filter ends; close the generator to end it sooner.

    A stream that breaks for a reason that passes is begun again behind the last message. To go on
    after a restart of yours, keep `next_index` once what came with it is dealt with.
    Raises: Problem, such as `index_out_of_range` from a log that has become shorter.
    """
    while True:
        stream = ledger.watch(wanted, terms=terms)
        try:
            async for watched in stream:
                wanted = replace(wanted, start_index=watched.next_index)
                yield watched
        except Problem as problem:
            if problem.code not in _PASSING:
                raise
            await asyncio.sleep(problem.retry_after_s or pause_s)
        else:
            return
        finally:
            await stream.aclose()
