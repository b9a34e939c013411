"""`python -m heptad.trials.hostile.attacker ORDER`: one attack, in a process of its own.

`ORDER` is JSON: attack, home, seconds. What was done is one line of JSON on standard output. In
the field it burns another machine's processor; here it takes its share of this one, and says it.
"""

import asyncio
import json
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Final

import uvloop

from heptad.runtime import lifeline
from heptad.trials.hostile.arms import Arms
from heptad.trials.hostile.attacks import find

SECONDS_MAX: Final = 120.0
_END_S_MAX: Final = 5.0


async def _attack(name: str, home: Path, seconds: float) -> Arms:
    attack = find(name)
    until_s = time.monotonic() + min(seconds, SECONDS_MAX)
    arms = Arms(home, attack.member, until_s)
    try:
        async with asyncio.timeout(seconds + _END_S_MAX):
            await attack.run(arms)
    except TimeoutError:
        arms.tally.broken += 1  # something of it hung, and is cut off
    return arms


def main() -> None:
    """See the head of this file."""
    lifeline.die_with_parent()
    order = json.loads(sys.argv[1])
    arms = uvloop.run(_attack(order["attack"], Path(order["home"]), float(order["seconds"])))
    done = {**asdict(arms.tally), "cpu_s": round(time.process_time(), 2)}
    sys.stdout.write(json.dumps(done) + "\n")


if __name__ == "__main__":
    main()
