"""What the packets show: that all links are TLS, what each has agreed on, and no canary."""

import contextlib
import socket
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Final

import grpc

from heptad.runtime.channels import open_channel
from heptad.runtime.handshake import Agreed, agreed_in
from heptad.runtime.ports import is_free
from heptad.runtime.tls import load_tls
from heptad.trials.meshes import RunningMesh
from heptad.trials.privacy.canaries import Canaries, needles_of
from heptad.trials.privacy.capture import Capture
from heptad.trials.privacy.flows import Flow, Flows
from heptad.trials.privacy.listeners import Listeners
from heptad.trials.privacy.report import Link, Outcome, Row, control_row, row_of

OURSELVES: Final = "this check"
ENDED: Final = "one that has ended"
"""Who was at a connection that was closed before anybody looked: a health check, a first try."""

_HEALTH: Final = "/grpc.health.v1.Health/Check"
_CALL_S_MAX: Final = 10.0
_PLACE: Final = "packets between services"
_CLAIM: Final = "no canary travels in the clear, and every byte lies in a TLS record"


class Control:
    """An unencrypted connection of our own, with a canary in each spelling on it."""

    PLACE: Final = "positive control"

    def __init__(self, canaries: Canaries, *, among: Iterable[int] = ()) -> None:
        """It listens on a free port among these if there is one, so that the kernel's filter, which
        knows a range of ports, lets no more through than the cell's own."""
        self._needles = tuple(needles_of("mark", canaries.mark.encode()))
        port = next((port for port in among if is_free("127.0.0.1", port)), 0)
        self._listener = socket.create_server(("127.0.0.1", port))
        self.port: int = self._listener.getsockname()[1]
        self.wanted = [needle.spelling for needle in self._needles]

    def speak(self) -> None:
        """Say each spelling, cut in two in the middle of it."""
        with socket.create_connection(("127.0.0.1", self.port)) as speaker:
            speaker.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            hearer, _ = self._listener.accept()
            with hearer:
                for needle in self._needles:
                    half = len(needle.data) // 2
                    speaker.sendall(b"\n" + needle.data[:half])
                    hearer.recv(1 + half)
                    speaker.sendall(needle.data[half:])
                    hearer.recv(len(needle.data))

    def close(self) -> None:
        """Listen no longer."""
        self._listener.close()


@contextlib.asynccontextmanager
async def called_each(mesh: RunningMesh) -> AsyncIterator[None]:
    """One call to each gRPC listener, so that each is seen to shake hands at least once.

    The connections stay until the end, so that they can be told from those of others.
    """
    folder = mesh.home / "clients" / "operator"
    tls = load_tls(ca=folder / "ca.pem", certificate=folder / "tls.pem", key=folder / "tls.key")

    async with contextlib.AsyncExitStack() as stack:
        for peer, address in mesh.cell.member_addresses().items():
            channel = await stack.enter_async_context(
                open_channel(address=address, peer_id=peer, origin=mesh.cell.origin, tls=tls)
            )
            ask: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(_HEALTH)
            await ask(b"", timeout=_CALL_S_MAX, wait_for_ready=True)
        yield


def judge(
    flows: Flows,
    capture: Capture | str,
    listeners: Listeners,
    clients: Mapping[tuple[int, int], str],
    control: Control,
) -> tuple[list[Row], list[Link]]:
    """Rows and links of a capture that has ended, or the row that says why there was none."""
    control.close()
    if isinstance(capture, str):
        return [Row(_PLACE, _CLAIM, Outcome.NOT_CHECKED, capture)], []
    by_port = _by_port(flows)
    links = _links(flows, listeners, clients)
    rows = [
        _control(by_port.get(control.port, []), control),
        _between_services(flows, by_port, capture, listeners),
        _unsafe_links(links, unseen=_unseen(flows, listeners)),
        _in_the_open(by_port, listeners, "metrics", ours=True),
        _in_the_open(by_port, listeners, "http", ours=False),
    ]
    return rows, links


def _by_port(flows: Flows) -> dict[int, list[Flow]]:
    found: dict[int, list[Flow]] = {}
    for ends, flow in flows.seen:
        found.setdefault(flows.port_of(ends), []).append(flow)
    return found


def _unseen(flows: Flows, listeners: Listeners) -> int:
    """Connections to gRPC listeners that were there before the capture."""
    ports = listeners.ports_of("grpc")
    return sum(
        ends.target[1] in ports and not flow.seen_from_start and flow.bytes_seen > 0
        for ends, flow in flows.seen
    )


def _control(flows: Iterable[Flow], control: Control) -> Row:
    found = [each.spelling for flow in flows for each in flow.found]
    return control_row("packets", found, control.wanted)


def _between_services(
    flows: Flows, by_port: Mapping[int, list[Flow]], capture: Capture, listeners: Listeners
) -> Row:
    """The row that this part is for."""
    ports = listeners.ports_of("grpc").keys()
    seen = [flow for port in sorted(ports) for flow in by_port.get(port, []) if flow.bytes_seen]
    findings = [str(each) for flow in seen for each in flow.found]
    whole = [flow for flow in seen if flow.seen_from_start and not flow.gaps]
    findings += [
        f"{flow.stray} bytes outside of TLS records on a port of {place}"
        for port, place in listeners.places.items()
        if port in ports
        for flow in by_port.get(port, [])
        if flow in whole and flow.stray
    ]
    detail = (
        f"{_sums(seen)} on ports {_ranges(ports)}; {len(whole)} of {len(seen)} streams seen from "
        f"their first byte, in {sum(flow.records for flow in whole)} TLS records"
    )
    holes = capture.dropped or flows.left_out or sum(flow.gaps for flow in seen)
    if not findings and (holes or not seen):
        why = f"{holes} packets were missed" if holes else "nothing was seen"
        return Row(_PLACE, _CLAIM, Outcome.NOT_CHECKED, f"{why}; {detail}")
    return row_of(_PLACE, _CLAIM, detail, findings)


def _unsafe_links(links: Sequence[Link], *, unseen: int) -> Row:
    """`unseen` connections were there before the capture."""
    claim = "every handshake that was seen is TLS 1.3 with a quantum-safe key exchange"
    if not links:
        return Row("links", claim, Outcome.NOT_CHECKED, "no handshake was seen")
    weak = [link for link in links if not link.is_quantum_safe or link.version != "TLS 1.3"]
    groups = Counter(link.group for link in links)
    detail = f"{len(links)} links: " + ", ".join(f"{n} {group}" for group, n in groups.items())
    if unseen:
        detail += f"; {unseen} connections are older than this check: `--own` sees all of them"
    told = [f"{link.client} → {link.server}: {link.version}, {link.group}" for link in weak]
    return row_of("links", claim, detail, told)


def _in_the_open(
    by_port: Mapping[int, list[Flow]], listeners: Listeners, kind: str, *, ours: bool
) -> Row:
    """Plain HTTP: of the metrics, where no canary may be, and between apps and the gateway."""
    ports = listeners.ports_of(kind)
    seen = [flow for port in ports for flow in by_port.get(port, [])]
    found = [str(each) for flow in seen for each in flow.found]
    if ours:
        claim = "metrics travel in the clear, and no canary with them"
        return row_of("packets of metrics", claim, f"{_sums(seen)} on {len(ports)} ports", found)
    detail = (
        f"plain HTTP, {_sums(seen)}; canaries were read on {sum(bool(f.found) for f in seen)} "
        "streams. The gateway has no TLS of its own: requests are signed, not encrypted, so it "
        "belongs behind a server that ends TLS on the same host"
    )
    claim = "between an app and the gateway whoever reads packets reads payloads"
    return Row("packets of apps", claim, Outcome.BY_DESIGN, detail)


def _links(
    flows: Flows, listeners: Listeners, clients: Mapping[tuple[int, int], str]
) -> list[Link]:
    """Connections with a handshake, gathered by who called whom and what they agreed on.

    Those whose caller had ended before it was looked up are gathered under `ENDED`.
    """
    servers = listeners.ports_of("grpc")
    counted: Counter[tuple[str, str, Agreed]] = Counter()
    for ends, flow in flows.seen:
        if ends.source[1] in servers and (agreed := agreed_in(bytes(flow.head))) is not None:
            client = clients.get((ends.target[1], ends.source[1]), ENDED)
            counted[client, servers[ends.source[1]], agreed] += 1
    return [
        Link(
            client=client,
            server=server,
            connections=count,
            version=agreed.version_name,
            group=agreed.group_name,
            cipher=agreed.cipher_name,
            is_quantum_safe=agreed.is_quantum_safe,
            seen="our own" if client == OURSELVES else "on the wire",
        )
        for (client, server, agreed), count in sorted(counted.items(), key=lambda row: row[0][:2])
    ]


def _sums(flows: Sequence[Flow]) -> str:
    packets, size = sum(flow.packets for flow in flows), sum(flow.bytes_seen for flow in flows)
    return f"{packets:,} packets, {size:,} bytes"


def _ranges(ports: Iterable[int]) -> str:
    """7702, 7711-7712, …"""
    runs: list[list[int]] = []
    for port in sorted(ports):
        if runs and port == runs[-1][1] + 1:
            runs[-1][1] = port
        else:
            runs.append([port, port])
    return ", ".join(str(low) if low == high else f"{low}-{high}" for low, high in runs)
