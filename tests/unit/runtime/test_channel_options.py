"""gRPC ignores options that it does not know, so a misspelt one is a wish that nobody hears."""

import re
from pathlib import Path

from grpc._cython import cygrpc

from heptad.runtime import channels


def test_every_channel_option_is_one_that_the_library_knows():
    """Once a misspelt limit for pings let servers hang up on every idle stream after 40 s."""
    library = Path(cygrpc.__file__).read_bytes()
    named = set(re.findall(r'"(grpc\.[a-z0-9_.]+)"', Path(channels.__file__).read_text()))

    assert len(named) > 10
    assert sorted(name for name in named if name.encode() not in library) == []
