"""One bit flipped in any file that a log serves: the auditor notices, or the flip does not matter.

It does not matter where the look never reads the file, or where what it says stays the same. In
every other case there is an alarm, it is proved off line, and the state is one that was proved.
"""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from heptad.transparency.checkpoint import Checkpoint
from heptad.transparency.notes import Note

BEFORE, AFTER = 250, 530


@pytest.fixture(scope="module")
def grown(tools):
    """A bench that has seen the smaller log, and the log grown since."""
    bench = tools.bench_of(BEFORE)
    honest = bench.state
    bench.log.grow(AFTER - BEFORE)
    return bench, honest


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), is_fresh=st.booleans())
def test_one_flipped_bit_is_noticed_or_does_not_matter(grown, data, is_fresh):
    bench, honest = grown
    files = bench.log.files
    path = data.draw(st.sampled_from(sorted(files)), label="path")
    content = files[path]
    bit = data.draw(st.integers(0, len(content) * 8 - 1), label="bit")
    at, mask = divmod(bit, 8)
    bench.state = type(honest)() if is_fresh else honest
    bench.log.asked.clear()
    files[path] = content[:at] + bytes([content[at] ^ 1 << mask]) + content[at + 1 :]
    try:
        alarms = bench.alarms()
    finally:
        flipped_note, files[path] = files[path], content
    good = {None, honest.checkpoint, bench.log.head()}
    assert bench.state.checkpoint in good
    if path == "checkpoint" and not alarms:
        assert is_harmless(flipped_note, content, bench.log.head())
    elif not alarms:
        assert path not in bench.log.asked
        assert bench.state.checkpoint == bench.log.head()


def is_harmless(flipped: bytes, note: bytes, head: Checkpoint) -> bool:
    """The flip is in the name or id of a signer: a line by nobody that the policy knows."""
    return Note.parse(flipped).text == Note.parse(note).text == head.body()
