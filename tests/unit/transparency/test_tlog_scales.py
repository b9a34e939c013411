"""Heptad's public log read by `tlog-scales`, which somebody else wrote from the same standards.

The story: an auditor who does not trust our code takes theirs. It reads our checkpoint and counts
the cosignatures, walks our tiles, makes proofs of its own and checks ours, and reads our entries.
"""

import pytest
from tlog_scales import signing, tiles, tlog
from tlog_scales.reader import TilesReader

from heptad.crypto.signatures import verify
from heptad.transparency.checkpoint import Checkpoint, verify_checkpoint, verify_signature
from heptad.transparency.notes import NoteSignature, SignatureType
from heptad.transparency.receipt import Receipt, verify_receipt
from heptad.transparency.tiled_tree import TiledTree
from heptad.transparency.tiles import TilePath, all_tiles, encode_entries

SIZE = 70_000


class PublicFiles:
    """What tlog-scales calls a backend: the files of the log, by the parts of their paths."""

    def __init__(self, files):
        self.files = files

    def get(self, *path):
        return self.files.get("/".join(path))


def count_of_valid_cosignatures(note, replicas):
    """Do what an auditor does with tlog-scales: distinct witnesses whose signature it accepts."""
    checkpoint = tlog.Checkpoint.from_text(note.decode())
    known = signing.VkeySet(*(signing.Vkey.from_string(signer.key.format()) for signer in replicas))
    return len({vkey.name for vkey, _ in known.verify(checkpoint.signatures, checkpoint)})


@pytest.fixture(scope="module")
def store(hashes, new_tiles):
    tiles_in_memory = new_tiles()
    tiles_in_memory.append(hashes)
    return tiles_in_memory


@pytest.fixture(scope="module")
def reader(cell, store):
    head = Checkpoint("cell.example/heptad", SIZE, store.edge.root())
    files = {"checkpoint": cell.note(head, cosigners=7)}
    for path in all_tiles(SIZE):
        if path.level is None:
            first = path.index * 256
            entries = [index.to_bytes(4, "big") for index in range(first, first + path.width)]
            files[path.format()] = encode_entries(entries)
        else:
            files[path.format()] = store.tiles[path.level, path.index]
    return TilesReader(PublicFiles(files))


@pytest.mark.parametrize("cosigners", [4, 5, 7])
def test_it_finds_as_many_valid_cosignatures_as_were_made(cell, head, cosigners):
    note = cell.note(head, cosigners=cosigners)

    assert count_of_valid_cosignatures(note, cell.replicas) == cosigners


def test_it_and_heptad_agree_that_five_are_enough_and_four_are_not(cell, head):
    for cosigners in range(8):
        note = cell.note(head, cosigners=cosigners)
        theirs = count_of_valid_cosignatures(note, cell.replicas) >= 5
        try:
            ours = verify_checkpoint(note, policy=cell.policy, verify=verify) == head
        except Exception:  # noqa: BLE001  any refusal is a refusal
            ours = False

        assert ours is theirs is (cosigners >= 5)


def test_it_verifies_the_logs_own_signature(cell, head):
    theirs = tlog.Checkpoint.from_text(cell.note(head, cosigners=7).decode())

    theirs.verify(signing.Vkey.from_string(cell.log.key.format()))
    assert (theirs.origin, theirs.size, theirs.root_hash) == (head.origin, head.size, head.root)


def test_it_refuses_a_cosignature_over_another_head(cell, head):
    other = Checkpoint(head.origin, head.size + 1, head.root)
    note = cell.note(other, cosigners=7).replace(other.body(), head.body())

    assert count_of_valid_cosignatures(note, cell.replicas) == 0


def test_it_derives_the_same_key_ids(cell):
    for signer in (cell.log, *cell.replicas):
        key = signer.key
        theirs = signing.Vkey(key.name, None, key.type, key.public_key)

        assert theirs.key_id == int.from_bytes(key.key_id, "big")
        assert theirs.serialize() == key.format()


def test_heptad_verifies_what_it_signs(cell, head):
    key = cell.log.private
    theirs = tlog.Checkpoint.make_signed(
        head.origin, head.size, head.root, [signing.PlainEd25519Signer(head.origin, key)]
    )
    line = NoteSignature.parse(theirs.signatures[0].serialize())

    assert theirs.serialize_body().encode() == head.body()
    verify_signature(head.body(), line, key=cell.log.key, verify=verify)
    assert cell.log.key.type is SignatureType.LOG


@pytest.mark.parametrize("index", [0, 1, 999, 1000, 1_234_067, 999_999_999, 2**40])
@pytest.mark.parametrize("width", [1, 255, 256])
@pytest.mark.parametrize("level", [None, 0, 1, 12])
def test_it_names_tiles_the_same(level, index, width):
    theirs = tiles.tile_path(-1 if level is None else level, index, width % 256)

    assert "/".join(theirs) == TilePath(level, index, width).format()


def test_it_computes_our_root_from_our_tiles(reader):
    checkpoint = reader.get_checkpoint()

    assert reader.calculate_root_hash() == checkpoint.root_hash


@pytest.mark.parametrize("index", [0, 255, 256, 65_535, 65_536, 69_888, SIZE - 1])
def test_it_makes_the_same_inclusion_proofs_and_accepts_ours(reader, store, hashes, index):
    root = reader.get_checkpoint().root_hash
    ours = TiledTree(size=SIZE, tiles=store).inclusion_proof(index)

    assert reader.get_inclusion_proof(index, SIZE).node_hashes == ours
    tlog.InclusionProof(index, SIZE, ours).check(hashes[index], root)


@pytest.mark.parametrize("old_size", [1, 256, 300, 65_536, 65_537, SIZE - 1])
def test_it_makes_the_same_consistency_proofs_and_accepts_ours(reader, store, old_size):
    root = reader.get_checkpoint().root_hash
    old_root = TiledTree(size=old_size, tiles=store).root()
    ours = TiledTree(size=SIZE, tiles=store).consistency_proof(old_size)

    assert reader.get_consistency_proof(old_size, SIZE).node_hashes == ours
    tlog.ConsistencyProof(old_size, SIZE, ours).check(old_root, root)


@pytest.mark.parametrize("index", [0, 256, SIZE - 1])
def test_it_reads_our_entries(reader, index):
    reader.get_checkpoint()

    assert reader.get_entry(index) == index.to_bytes(4, "big")


def test_a_receipt_of_its_making_holds_here(cell, reader):
    checkpoint = reader.get_checkpoint()
    proof = reader.get_inclusion_proof(4711, SIZE)
    receipt = Receipt(4711, tuple(proof.node_hashes), checkpoint.serialize().encode())

    entry = (4711).to_bytes(4, "big")
    assert verify_receipt(entry, receipt, policy=cell.policy, verify=verify).size == SIZE
