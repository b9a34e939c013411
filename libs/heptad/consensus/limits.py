"""The core's configuration: every wait and every bound, each with its unit and its reason."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Defaults are those of the design; tests and the simulator change what they look at."""

    pace_ms: int = 25
    """Under load a leader waits at least this long after a proposal; from idle not at all."""
    term_rounds: int = 64
    """K: a leader that is not timed out stays for at most this many rounds."""
    time_ahead_ms_max: int = 500
    """A proposal whose time is further ahead of my clock gets no vote."""

    timeout_ms_min: int = 200
    """No round is given up faster than this, however fast the group is."""
    timeout_ms_max: int = 10_000
    """No round is waited for longer than this."""
    timeout_ms_first: int = 1_000
    """The time-out until a round has been measured."""
    timeout_ms_lost: int = 50
    """How long a leader is waited for to whom the connection is broken."""
    timeout_multiple: int = 10
    """A round times out after this many measured round times."""
    rebroadcast_ms_max: int = 1_000
    """A time-out is sent again after each round time-out, but at least this often."""

    relay_after_ms: int = 100
    """A batch that no block has taken for so long is offered to all others; then timers start."""
    censored_after_ms: int = 2_000
    """A batch offered so long ago while a leader's rounds went on without it: refuse the leader."""
    answer_interval_ms: int = 100
    """A peer that is behind is told my certificates at most this often."""
    fetch_after_ms: int = 40
    """A proposal overtakes batches that are still on their way: they are asked for only then."""
    fetch_retry_ms: int = 250
    """After so long without what was asked for, the next peer is asked."""

    aside_ms_max: int = 30_000
    """A peer that lies, or is silent when it is asked, is not asked for at most so long."""

    block_batches_max: int = 256
    """References in one block."""
    block_bytes_max: int = 8 << 20
    """Bytes of the batches that one block refers to (at least one batch fits)."""
    pool_bytes_max_per_validator: int = 32 << 20
    """Batches of one validator that wait; more are answered OVERLOADED, the last in turn first."""
    pool_batches_max_per_validator: int = 1_024
    """The same, as a count: so far may a sequence run ahead of what is committed."""
    extra_bytes_max_per_leader: int = 32 << 20
    """Batches beyond their validator's share that one leader's uncertified proposals may name: a
    block of the largest allowed size (and 4 KiB a batch) must find room."""
    round_window: int = 16
    """Votes for rounds further ahead of mine are dropped unread."""
    tree_blocks_max: int = 1_024
    """Uncommitted blocks kept."""
    parked_blocks_max: int = 256
    """Blocks kept that wait for a parent or for batches."""
    wants_max: int = 2_048
    """Blocks and batches asked for at a time, each."""
    chain_gap_min: int = 32
    """So many heights behind, committed blocks are fetched in order instead of one by one."""
    reply_bytes_max: int = 1 << 20
    """Size at which an answer to a fetch is closed (its first item always fits)."""
    reply_blocks_max: int = 64
    """Blocks in one answer to a fetch, unless a commit proof stands only further on."""
    reply_chain_batch_bytes_max: int = 16 << 20
    """Bytes of batches that the blocks of one answer about the committed chain refer to."""

    peer_work_us_per_ms: int = 300
    """The share of a processor that one member may take by what it sends, in 1/1000."""
    validator_work_us_per_ms: int = 600
    """The same for one validator: 100 MB of batches a second."""
    work_burst_ms: int = 2_000
    """The share of so long a time may be used at once."""
    forgeries_max: int = 8
    """With so many forged signatures in a short time a sender is ignored."""
    forgery_forgiven_ms: int = 10_000
    """After so long one forgery is forgotten."""
    ignored_ms_min: int = 10_000
    """How long a forger is ignored for the first time; twice as long each time after."""
    ignored_ms_max: int = 600_000
    """And never for longer than this."""
    fetches_per_wave_max: int = 16
    """Fetches of one member that are answered in one wave; it asks again for the rest."""
    offers_max: int = 64
    """Batches in one offer."""
