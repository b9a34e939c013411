"""Packets on the loopback device, as the kernel shows them to whoever may look (CAP_NET_RAW).

A raw socket with a filter in the kernel, so that other traffic of a busy machine costs nothing, and
a thread that reads. What the kernel had to drop is asked for at the end: a capture with holes must
not pass for one that has seen everything.
"""

import socket
import struct
import threading
from collections.abc import Iterable
from ctypes import addressof, create_string_buffer
from typing import Final, Self

from heptad.trials.privacy.flows import Ends, Flows, Segment

DEVICE: Final = "lo"
_ETH_P_ALL: Final = 3
_SO_ATTACH_FILTER: Final = 26
_SO_RCVBUFFORCE: Final = 33
_SOL_PACKET: Final = 263
_PACKET_STATISTICS: Final = 6
_PACKET_OUTGOING: Final = 4
_BUFFER_BYTES: Final = 64 << 20
_PACKET_BYTES_MAX: Final = 256 << 10
_WAKE_S: Final = 0.1

_SYN: Final = 2
_TCP: Final = 6
_ETHERNET_BYTES: Final = 14
_IPV4: Final = 0x0800
_IPV6: Final = 0x86DD
_IPV6_BYTES: Final = 40


class Capture:
    """Feeds `flows` with every TCP segment from or to one of `ports`, between enter and exit."""

    def __init__(self, flows: Flows, ports: Iterable[int]) -> None:
        """Raises: PermissionError without CAP_NET_RAW; OSError where there are no such sockets."""
        self.packets = 0
        self.dropped = 0
        """Packets that the kernel had no room for, known after the exit."""
        self._flows = flows
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        try:
            _attach(self._socket, _port_filter(min(ports := list(ports)), max(ports)))
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER_BYTES)
            # Bound only now: before it has a filter, the socket takes nothing at all.
            self._socket.bind((DEVICE, _ETH_P_ALL))
            self._socket.settimeout(_WAKE_S)
        except BaseException:
            self._socket.close()
            raise
        self._ending = threading.Event()
        self._fault: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="capture", daemon=True)

    def __enter__(self) -> Self:
        """Begin."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Take what has arrived, and end. Raises: what broke the reader."""
        self._ending.set()
        self._thread.join()
        size = struct.calcsize("II")
        counted = self._socket.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, size)
        self.dropped = struct.unpack("II", counted)[1]
        self._socket.close()
        if self._fault is not None:
            raise self._fault

    def _run(self) -> None:
        try:
            self._read()
        except BaseException as fault:  # noqa: BLE001  told by the thread that ends the capture
            self._fault = fault

    def _read(self) -> None:
        while True:
            try:
                packet, address = self._socket.recvfrom(_PACKET_BYTES_MAX)
            except TimeoutError:
                if self._ending.is_set():
                    return
                continue
            # A packet on loopback leaves and arrives: it is looked at once.
            if address[2] == _PACKET_OUTGOING:
                continue
            segment = segment_in(packet)
            if segment is not None:
                self.packets += 1
                self._flows.take(segment)


def segment_in(frame: bytes) -> Segment | None:
    """The TCP segment in an Ethernet frame; None if there is none."""
    kind, at = int.from_bytes(frame[12:14], "big"), _ETHERNET_BYTES
    if kind == _IPV4 and frame[at + 9] == _TCP:
        end = at + int.from_bytes(frame[at + 2 : at + 4], "big")
        family, source, target = socket.AF_INET, frame[at + 12 : at + 16], frame[at + 16 : at + 20]
        at += 4 * (frame[at] & 15)
    elif kind == _IPV6 and frame[at + 6] == _TCP:
        end = at + _IPV6_BYTES + int.from_bytes(frame[at + 4 : at + 6], "big")
        family, source, target = socket.AF_INET6, frame[at + 8 : at + 24], frame[at + 24 : at + 40]
        at += _IPV6_BYTES
    else:
        return None
    if len(frame) < at + 20:
        return None
    source_port, target_port, sequence = struct.unpack_from(">HHI", frame, at)
    payload = frame[at + 4 * (frame[at + 12] >> 4) : end]
    ends = Ends(
        (socket.inet_ntop(family, source), source_port),
        (socket.inet_ntop(family, target), target_port),
    )
    return Segment(ends, sequence, bool(frame[at + 13] & _SYN), payload)


def _port_filter(low: int, high: int) -> list[tuple[int, int, int, int]]:
    """Classic BPF: TCP over IPv4 or IPv6 with a port from `low` to `high` at either end.

    Rows are (code, jump if true, jump if false, operand), as in the kernel's `struct sock_filter`.
    """
    load_half, load_half_x, load_byte, load_header = 0x28, 0x48, 0x30, 0xB1
    equal, at_least, above, give = 0x15, 0x35, 0x25, 0x06
    return [
        (load_half, 0, 0, 12),
        (equal, 0, 9, _IPV4),
        (load_byte, 0, 0, 23),
        (equal, 0, 17, _TCP),
        (load_header, 0, 0, 14),
        (load_half_x, 0, 0, 14),
        (at_least, 0, 1, low),
        (above, 0, 12, high),
        (load_half_x, 0, 0, 16),
        (at_least, 0, 11, low),
        (above, 10, 9, high),
        (equal, 0, 9, _IPV6),
        (load_byte, 0, 0, 20),
        (equal, 0, 7, _TCP),
        (load_half, 0, 0, 54),
        (at_least, 0, 1, low),
        (above, 0, 3, high),
        (load_half, 0, 0, 56),
        (at_least, 0, 2, low),
        (above, 1, 0, high),
        (give, 0, 0, 0xFFFFFFFF),
        (give, 0, 0, 0),
    ]


def _attach(packets: socket.socket, rows: list[tuple[int, int, int, int]]) -> None:
    program = create_string_buffer(b"".join(struct.pack("HBBI", *row) for row in rows))
    described = struct.pack("HL", len(rows), addressof(program))
    packets.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, described)
