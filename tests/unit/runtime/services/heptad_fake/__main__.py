"""The fake service: `<home>/<name>/<order>` is an order.

`crash`: fail to start · `hang`: never become ready · `stuck`: never finish the drain. SIGUSR1 makes
a background task fail. Each drain is noted in `<home>/drained`.
"""

import asyncio
import signal
import sys

from heptad.runtime.config import GatewayConfig, LedgerConfig, ReplicaConfig, ValidatorConfig
from heptad.runtime.service import Context, ServiceKind, run


class Fake:
    """See above."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._folder = context.home / context.name

    async def start(self) -> None:
        if (self._folder / "crash").exists():
            sys.stderr.write("some words\nthat went before\n")
            raise RuntimeError("as ordered")
        if (self._folder / "hang").exists():
            self._context.log.info("hanging")
            await asyncio.Event().wait()
        ordered = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, ordered.set)
        self._context.tasks.spawn("break", self._break_once(ordered))

    async def _break_once(self, ordered: asyncio.Event) -> None:
        await ordered.wait()
        raise RuntimeError("a task broke")

    async def drain(self) -> None:
        with (self._context.home / "drained").open("a") as file:
            file.write(f"{self._context.name}\n")
        if (self._folder / "stuck").exists():
            await asyncio.Event().wait()

    async def stop(self) -> None:
        (self._folder / "stopped").touch()


async def build(context: Context) -> Fake:
    """The hook."""
    return Fake(context)


def config_type() -> type:
    """By the role in `--name`."""
    role = sys.argv[sys.argv.index("--name") + 1].partition("-")[0]
    kinds = (ReplicaConfig, ValidatorConfig, LedgerConfig, GatewayConfig)
    return next(kind for kind in kinds if kind.role == role)


if __name__ == "__main__":
    run(
        ServiceKind(
            config=config_type(), build=build, roles={}, services=("heptad.fake.v1.FakeService",)
        )
    )
