"""What `/readyz` and the health service add where a process is ready and not quite well."""

import asyncio

from grpc_health.v1 import health_pb2

from heptad.runtime.health import Health
from heptad.runtime.metrics_listener import MetricsListener


class Log:
    def info(self, *_: object, **__: object) -> None:
        pass


def asked(note: str) -> str:
    listener = MetricsListener(exposition=bytes, ready=lambda: True, note=lambda: note)
    head, _, body = listener._answer(b"GET /readyz HTTP/1.1").partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    return body.decode()


def test_a_note_stands_behind_the_ok_and_nothing_does_without_one():
    assert asked("") == "ok\n"
    assert asked("follows only: because") == "ok: follows only: because\n"


def test_one_part_of_a_process_can_be_out_of_service_by_itself():
    async def story() -> tuple[int, int]:
        health = Health(services=("a.Service",), log=Log())
        await health.set_ready(True, reason="started")
        await health.set_part("a.Service/Part", serving=False)
        answers = []
        for service in ("a.Service", "a.Service/Part"):
            request = health_pb2.HealthCheckRequest(service=service)
            answers.append((await health.servicer.Check(request, None)).status)
        return tuple(answers)

    statuses = health_pb2.HealthCheckResponse.ServingStatus
    assert asyncio.run(story()) == (statuses.SERVING, statuses.NOT_SERVING)


def test_a_note_is_read_anew_each_time():
    health = Health(services=(), log=Log())
    assert health.remark() == ""
    health.note = lambda: "follows only: since just now"
    assert health.remark() == "follows only: since just now"
