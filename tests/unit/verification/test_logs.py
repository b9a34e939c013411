"""A log re-hashes to its root, and whatever of it was altered is found and named."""

import pytest

from heptad.transparency.tiles import TilePath, encode_entries
from heptad.verification import FolderSource, LogInvalidError, verify_log


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def bundle_path(index, width):
    return TilePath(level=None, index=index, width=width).format()


@pytest.mark.parametrize("size", [0, 1, 2, 255, 256, 257, 511, 512, 600])
def test_a_log_of_any_size_re_hashes_to_its_root(make_log, policy, now_s, size):
    log = make_log(size)
    verified = verify_log(log.read, policy=policy, now_s=now_s)
    assert verified.checkpoint == log.checkpoint()
    assert verified.bundles == -(-size // 256)


def test_a_log_with_a_full_tile_on_the_second_level_re_hashes(policy, now_s, make_log):
    log = make_log(0)
    log.append([b"%d" % n for n in range(256 * 256 + 3)])
    verified = verify_log(log.read, policy=policy, now_s=now_s)
    # 256 full tiles and one partial on level 0, one full on level 1, one of width 1 on level 2.
    assert (verified.bundles, verified.tiles) == (257, 259)


def test_every_entry_is_shown_once_and_in_order(make_log, policy, now_s):
    log, seen = make_log(300), []
    verify_log(log.read, policy=policy, now_s=now_s, visit=lambda at, some: seen.append((at, some)))
    assert [at for at, _ in seen] == [0, 256]
    assert [entry for _, some in seen for entry in some] == log.entries


def test_a_log_that_has_grown_is_verified_at_the_older_checkpoint(make_log, policy, now_s):
    """The partial tiles of the older size are gone: they are cut out of the wider ones."""
    log = make_log(300)
    old_note = log.files["checkpoint"]
    log.append([b"%d" % n for n in range(300)])
    for path in [path for path in log.files if path.endswith(".p/44")]:
        del log.files[path]
    verified = verify_log(log.read, policy=policy, now_s=now_s, note=old_note)
    assert verified.checkpoint.size == 300


def test_an_altered_entry_is_named(make_log, policy, now_s):
    log = make_log(300)
    entries = list(log.entries[:256])
    entries[17] = flipped(entries[17], 5)
    log.files[bundle_path(0, 256)] = encode_entries(entries)
    with pytest.raises(LogInvalidError, match=r"tile/0/000: hash 17 .* but entry 17 hash"):
        verify_log(log.read, policy=policy, now_s=now_s)


@pytest.mark.parametrize("path", ["tile/0/000", "tile/0/001.p/44", "tile/1/000.p/1"])
def test_an_altered_tile_is_named(make_log, policy, now_s, path):
    log = make_log(300)
    log.files[path] = flipped(log.files[path], 3)
    with pytest.raises(LogInvalidError, match=path.replace(".", r"\.")):
        verify_log(log.read, policy=policy, now_s=now_s)


def test_entries_and_tiles_altered_alike_do_not_reach_the_root(make_log, policy, now_s):
    log, other = make_log(40), make_log(40)
    other.entries[3] = b"another entry"
    forged = make_log(0)
    forged.append(other.entries)
    forged.files["checkpoint"] = log.files["checkpoint"]
    with pytest.raises(LogInvalidError, match="40 entries hash to"):
        verify_log(forged.read, policy=policy, now_s=now_s)


@pytest.mark.parametrize("path", ["checkpoint", "tile/entries/000", "tile/0/001.p/44"])
def test_a_missing_file_is_named(make_log, policy, now_s, path):
    log = make_log(300)
    del log.files[path]
    with pytest.raises(LogInvalidError, match=path):
        verify_log(log.read, policy=policy, now_s=now_s)


def test_a_bundle_with_an_entry_less_or_more_is_refused(make_log, policy, now_s):
    log = make_log(300)
    for entries in (log.entries[256:299], [*log.entries[256:300], b"more"]):
        log.files[bundle_path(1, 44)] = encode_entries(entries)
        with pytest.raises(LogInvalidError, match=r"holds 4[35] entries, not 44"):
            verify_log(log.read, policy=policy, now_s=now_s)


def test_a_bundle_that_is_cut_off_is_refused(make_log, policy, now_s):
    log = make_log(30)
    log.files[bundle_path(0, 30)] = log.files[bundle_path(0, 30)][:-1]
    with pytest.raises(LogInvalidError, match="entry 29 ends"):
        verify_log(log.read, policy=policy, now_s=now_s)


def test_a_checkpoint_without_a_quorum_is_refused_before_any_tile_is_read(
    make_log, make_note, policy, now_s
):
    log, read = make_log(30), []
    note = make_note(log.checkpoint(), cosigners=(0, 1))
    with pytest.raises(LogInvalidError, match="quorum"):
        verify_log(read.append, policy=policy, now_s=now_s, note=note)
    assert read == []


def test_a_copied_folder_is_verified_like_a_server(make_log, policy, now_s, tmp_path):
    log = make_log(300)
    for path, content in log.files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(content)
    verified = verify_log(FolderSource(tmp_path).read, policy=policy, now_s=now_s)
    assert verified.checkpoint.size == 300
