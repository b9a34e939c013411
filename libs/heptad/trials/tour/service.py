"""What a service records of its own acts: a bundle, proved as one range and event by event."""

import time
from dataclasses import replace
from typing import Final

from heptad.client import Event
from heptad.crypto.bundles import parse_statement
from heptad.model.answers import RequestState
from heptad.model.problems import Problem
from heptad.trials.tour.scene import Scene
from heptad.trials.tour.steps import require

EVENTS: Final = 300
_ACTION: Final = "record.access"


async def record_bundle(scene: Scene) -> str:
    """Many events under one signature, once however often they come, and none for a stranger."""
    client, crowd = scene.client, scene.crowd
    now_ms = time.time_ns() // 1_000_000
    events = [
        Event(crowd[number % len(crowd)].subject, _ACTION, b'{"record":%d}' % number, now_ms)
        for number in range(EVENTS)
    ]
    bundle = client.sign_bundle(events)
    first, again = await client.submit_bundle(bundle), await client.submit_bundle(bundle)
    state = first.recorded.state
    require(state is RequestState.COMMITTED, f"after 5 s the bundle is still {state.name}")
    found = again.recorded.index, again.recorded.replayed
    require(found == (first.recorded.index, True), f"sent again, it became {found}")
    # Both are judged before they are handed out.
    await client.bundle_file(parse_statement(bundle.statement).request_id)
    receipt = await client.event_receipt(bundle, EVENTS - 1)
    index = receipt.receipt.leaf_index
    require(index == first.event_indexes[-1], f"the last event is proved at {index}")
    stranger = replace(events[1], subject=events[1].subject[:-4] + "2222")
    await _require_refused(scene, [events[0], stranger])
    span = first.event_indexes
    return f"events {span.start} to {span.stop - 1} under one signature, each with a receipt"


async def _require_refused(scene: Scene, events: list[Event]) -> None:
    try:
        await scene.client.submit_bundle(events)
    except Problem as problem:
        found = problem.code, problem.field
    else:
        found = "recorded", ""
    wanted = "event_subject_unknown", "events[1].subject"
    require(found == wanted, f"a bundle with a stranger got {found[0]} {found[1]}")
