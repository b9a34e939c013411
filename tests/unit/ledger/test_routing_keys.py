"""Routing keys are replaced in time, and destroyed once nothing can need them."""

import pytest

from heptad.crypto.sealing import RoutingKey
from heptad.vault.cell_keys import DatedRoutingKey
from heptad.vault.errors import RoutingKeyGoneError
from heptad.vault.root_keys import MemoryRootKeyStore
from heptad.vault.tree import KeyTree
from heptad_ledger.routing_keys import (
    APPLIED_MS_MIN,
    ERASURE_PAUSE_MS,
    IDLE_MS_MIN,
    RoutingKeyRotation,
    done_with,
    linked_until_ms,
)

DAY_MS = 86_400_000


def keys(*created_ms):
    return [
        DatedRoutingKey(RoutingKey(number, bytes(32)), ms)
        for number, ms in enumerate(created_ms, start=1)
    ]


def test_the_current_key_is_never_done_with():
    assert done_with(keys(0), now_ms=10**15, applied_ms=10**15) == []


@pytest.mark.parametrize(
    ("now_ms", "applied_ms", "done"),
    [
        (DAY_MS, DAY_MS, []),
        (DAY_MS, DAY_MS + APPLIED_MS_MIN - 1, []),
        (DAY_MS, DAY_MS + APPLIED_MS_MIN, [1]),
        (DAY_MS + IDLE_MS_MIN - 1, 0, []),
        (DAY_MS + IDLE_MS_MIN, 0, [1]),
    ],
)
def test_a_key_is_done_with_an_hour_of_log_or_two_days_after_it_was_replaced(
    now_ms, applied_ms, done
):
    assert done_with(keys(0, DAY_MS), now_ms=now_ms, applied_ms=applied_ms) == done


def test_rotation_makes_a_new_key_when_the_old_is_too_old_and_destroys_it_later(tmp_path):
    vault = KeyTree.create(tmp_path, MemoryRootKeyStore(), now_ms=0, map_bytes=1 << 24)
    rotation = RoutingKeyRotation(vault, age_ms_max=DAY_MS)
    assert not rotation.rotate_if_due(now_ms=DAY_MS - 1)
    assert rotation.rotate_if_due(now_ms=DAY_MS)
    assert vault.current_routing_key().key.key_id == 2
    assert rotation.destroy_done(now_ms=DAY_MS, applied_ms=DAY_MS) == []
    assert vault.routing_key(1).key_id == 1
    assert rotation.destroy_done(now_ms=DAY_MS, applied_ms=DAY_MS + APPLIED_MS_MIN) == [1]
    with pytest.raises(RoutingKeyGoneError):
        vault.routing_key(1)
    vault.close()


def test_an_erasure_makes_the_current_key_old_at_most_once_a_minute(tmp_path):
    vault = KeyTree.create(tmp_path, MemoryRootKeyStore(), now_ms=1_000_000, map_bytes=1 << 24)
    rotation = RoutingKeyRotation(vault, age_ms_max=DAY_MS)
    now_ms = 1_000_000 + ERASURE_PAUSE_MS
    assert not rotation.rotate_if_due(now_ms=now_ms, erased_ms=0)
    assert not rotation.rotate_if_due(now_ms=now_ms - 1, erased_ms=now_ms - 1)
    assert rotation.rotate_if_due(now_ms=now_ms, erased_ms=now_ms - 1)
    # what was erased before it is hidden by another key already
    assert not rotation.is_owed(now_ms - 1)
    assert not rotation.rotate_if_due(now_ms=now_ms + DAY_MS - 1, erased_ms=now_ms - 1)
    assert rotation.is_owed(now_ms)
    vault.close()


def test_no_key_that_hides_an_erased_subjects_headers_lives_longer_than_the_certificate_says(
    tmp_path,
):
    vault = KeyTree.create(tmp_path, MemoryRootKeyStore(), now_ms=1_000_000, map_bytes=1 << 24)
    rotation = RoutingKeyRotation(vault, age_ms_max=DAY_MS)
    erased_ms = 1_000_001
    rotated_ms = erased_ms + ERASURE_PAUSE_MS
    assert rotation.rotate_if_due(now_ms=rotated_ms, erased_ms=erased_ms)
    until_ms = linked_until_ms(erased_ms)
    # nothing is applied any more: the clock decides, and the ledger looks every ten minutes
    assert rotation.destroy_done(now_ms=until_ms - 600_000, applied_ms=0)
    assert len(vault.routing_keys()) == 1
    vault.close()
