"""gRPC servers and channels: the one place where they are made and tuned.

Large HTTP/2 frames and a wide flow-control window keep messages of 64 to 512 KiB whole. A server's
port is bound exclusively, so that a second process on the same address fails at once instead of
sharing its connections.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final, TypeAlias

import grpc

from heptad.runtime.errors import PortTakenError
from heptad.runtime.identity import member
from heptad.runtime.tls import TlsMaterial, channel_credentials, server_credentials

GRPC_ENVIRONMENT: Final[Mapping[str, str]] = MappingProxyType(
    {
        "GRPC_EXPERIMENTS": "-event_engine_client,-event_engine_listener,-event_engine_callback_cq",
        "GRPC_SSL_CIPHER_SUITES": "ECDHE-RSA-AES128-GCM-SHA256",
        "GRPC_VERBOSITY": "NONE",
    }
)
"""What the environment of a service process should hold *before* grpc is imported.

Without the event engine a 100-byte message costs 115 µs of CPU at each end instead of 170 µs, and
one of 256 KiB 400 and 300 µs instead of 530 and 350 µs (two cores, mutual TLS, three runs each).
Python's gRPC has no setting for the lowest version of TLS, but one for the ciphers of TLS 1.2: the
one that is left needs a certificate with an RSA key, which no member has, so TLS 1.3 is all that
can be agreed on, and with it a key exchange that outlives elliptic curves (ADR 24).
gRPC's own log is switched off: it is not JSON, and strangers could fill a disk with failed
handshakes.
"""

ChannelOptions: TypeAlias = list[tuple[str, int | str]]

MESSAGE_BYTES_MAX: Final = 4 << 20
"""Default limit of one message: a batch of 1 MiB with room around it."""

PEER_MESSAGE_BYTES_MAX: Final = 64 << 20
"""Limit between replicas and to ledgers, where one block may bring many batches."""

_FRAME_BYTES: Final = 1 << 20
WINDOW_BYTES: Final = 8 << 20

WATCH_WINDOW_BYTES: Final = 512 << 10
"""For streams that follow the log: two messages; 64 of them unread take 350 MB with the window of
all others."""

_KEEPALIVE_MS: Final = 10_000
_KEEPALIVE_TIMEOUT_MS: Final = 5_000
_PING_INTERVAL_MS_MIN: Final = 5_000
_RECONNECT_MS_MIN: Final = 100
_RECONNECT_MS_MAX: Final = 2_000
_CONNECT_MS_MAX: Final = 5_000
"""How long one attempt to connect may take. gRPC calls this the *minimum* of the back-off; with
100 ms there, a busy machine never gets through a TLS handshake."""


STREAMS_PER_CONNECTION_MAX: Final = 1_024
"""Calls under way on one connection; a client that makes more waits, as HTTP/2 has it."""

_HANDSHAKE_MS_MAX: Final = 10_000
"""A connection that has not shown a certificate by then is closed."""
_IDLE_MS_MAX: Final = 120_000
"""A connection without a call is closed after this long; a client makes a new one when it calls."""


def _common_options(
    *, send_bytes_max: int, receive_bytes_max: int, window_bytes: int = WINDOW_BYTES
) -> ChannelOptions:
    return [
        ("grpc.max_send_message_length", send_bytes_max),
        ("grpc.max_receive_message_length", receive_bytes_max),
        ("grpc.http2.max_frame_size", _FRAME_BYTES),
        ("grpc.http2.lookahead_bytes", window_bytes),
        ("grpc.http2.write_buffer_size", _FRAME_BYTES),
        ("grpc.keepalive_time_ms", _KEEPALIVE_MS),
        ("grpc.keepalive_timeout_ms", _KEEPALIVE_TIMEOUT_MS),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
    ]


def create_server(
    *,
    interceptors: Sequence[grpc.aio.ServerInterceptor] = (),
    message_bytes_max: int = MESSAGE_BYTES_MAX,
    receive_bytes_max: int | None = None,
) -> grpc.aio.Server:
    """A server that listens nowhere yet; `listen` binds it.

    `receive_bytes_max` is for one that sends larger messages than anybody has to send it.
    """
    options = _common_options(
        send_bytes_max=message_bytes_max, receive_bytes_max=receive_bytes_max or message_bytes_max
    )
    options += [
        ("grpc.max_concurrent_streams", STREAMS_PER_CONNECTION_MAX),
        ("grpc.server_handshake_timeout_ms", _HANDSHAKE_MS_MAX),
        ("grpc.max_connection_idle_ms", _IDLE_MS_MAX),
        ("grpc.so_reuseport", 0),
        ("grpc.http2.min_ping_interval_without_data_ms", _PING_INTERVAL_MS_MIN),
        # Peers are known and pings are cheap: a strike would close a good connection with GOAWAY
        # when a busy machine delivers two keepalive pings together.
        ("grpc.http2.max_ping_strikes", 0),
    ]
    return grpc.aio.server(interceptors=list(interceptors), options=options)


def listen(server: grpc.aio.Server, *, address: str, tls: TlsMaterial) -> int:
    """Bind `server` to `address` (port 0: any free one) and return the port.

    Raises: PortTakenError.
    """
    try:
        port = server.add_secure_port(address, server_credentials(tls))
    except RuntimeError as error:
        raise PortTakenError(f"cannot listen on {address}: {error}") from error
    if port == 0:
        raise PortTakenError(f"cannot listen on {address}")
    return port


def open_channel(
    *,
    address: str,
    peer_id: str,
    origin: str,
    tls: TlsMaterial,
    message_bytes_max: int = MESSAGE_BYTES_MAX,
    service_config_json: str = "",
    window_bytes: int = WINDOW_BYTES,
) -> grpc.aio.Channel:
    """A channel to the member `peer_id`, whose certificate must show that very id.

    It connects when first used and again after failures, with back-off and jitter (100 ms to 2 s).
    `service_config_json` may hold a retry policy; without one nothing is retried. `window_bytes`
    may come on each stream before anybody reads it: a small one for many streams that may be slow.
    """
    options = _common_options(
        send_bytes_max=message_bytes_max,
        receive_bytes_max=message_bytes_max,
        window_bytes=window_bytes,
    )
    options += [
        ("grpc.ssl_target_name_override", member(origin, peer_id).dns_name),
        ("grpc.initial_reconnect_backoff_ms", _RECONNECT_MS_MIN),
        ("grpc.min_reconnect_backoff_ms", _CONNECT_MS_MAX),
        ("grpc.max_reconnect_backoff_ms", _RECONNECT_MS_MAX),
        # Two channels in one process may show two certificates; never share their connections.
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.enable_http_proxy", 0),
        ("grpc.enable_retries", int(bool(service_config_json))),
    ]
    if window_bytes < WINDOW_BYTES:
        # Or gRPC would widen the window as it sees fit for a fast reader.
        options.append(("grpc.http2.bdp_probe", 0))
    if service_config_json:
        options.append(("grpc.service_config", service_config_json))
    return grpc.aio.secure_channel(address, channel_credentials(tls), options=options)
