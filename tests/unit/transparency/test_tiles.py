"""Tile paths have one spelling, bundles have one reading, and a size has its own partial tiles."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heptad.transparency.errors import FormatError, TileUnreadableError
from heptad.transparency.tiled_tree import TiledTree
from heptad.transparency.tiles import (
    FetchedTiles,
    TilePath,
    all_tiles,
    decode_entries,
    encode_entries,
    exists,
    partial_tiles,
    width_at,
)

tile_paths = st.builds(
    TilePath,
    level=st.one_of(st.none(), st.integers(0, 63)),
    index=st.one_of(st.integers(0, 2_000_000), st.integers(0, 2**55 - 1)),
    width=st.integers(1, 256),
)


@pytest.mark.parametrize(
    ("path", "tile"),
    [
        ("tile/0/000", TilePath(0, 0)),
        ("tile/0/x001/x234/067", TilePath(0, 1_234_067)),
        ("tile/63/999.p/255", TilePath(63, 999, 255)),
        ("tile/10/x001/000.p/1", TilePath(10, 1000, 1)),
        ("tile/entries/000.p/12", TilePath(None, 0, 12)),
        ("tile/entries/x999/999", TilePath(None, 999_999)),
    ],
)
def test_a_path_is_read_and_written_as_the_specification_spells_it(path, tile):
    assert TilePath.parse(path) == tile
    assert tile.format() == path


@given(tile=tile_paths)
def test_every_tile_has_a_path_that_leads_back_to_it(tile):
    assert TilePath.parse(tile.format()) == tile


@pytest.mark.parametrize(
    "path",
    [
        "",
        "checkpoint",
        "/tile/0/000",
        "tile/0/000/",
        "tile/0/000\n",
        "tile/00/000",
        "tile/01/000",
        "tile/64/000",
        "tile/-1/000",
        "tile/+1/000",
        "tile/a/000",
        "tile/0/0",
        "tile/0/1000",
        "tile/0/x000",
        "tile/0/x000/001",
        "tile/0/x001/x067",
        "tile/0/001/067",
        "tile/0/X001/067",
        "tile/0/x1/067",
        "tile/0/..%2f",
        "tile/0/../../checkpoint",
        "tile/0//000",
        "tile/0/000.p/0",
        "tile/0/000.p/01",
        "tile/0/000.p/256",
        "tile/0/000.p/",
        "tile/0/000.p",
        "tile/0/000.p/-1",
        "tile/0/" + "\u0660" * 3,
        "tile/0/x999/x999/x999/x999/x999/x999/x999/999",
        "tile/0/x999/x999/x999/x999/x999/x999/999",
        "tile/entry/000",
        "tile/entries/x000/000",
        "TILE/0/000",
    ],
)
def test_any_other_spelling_is_refused(path):
    with pytest.raises(FormatError):
        TilePath.parse(path)


@given(
    path=st.text(st.sampled_from("0123456789x/.p"), max_size=24).map(lambda tail: "tile/" + tail)
)
def test_whatever_is_read_is_written_back_the_same(path):
    try:
        tile = TilePath.parse(path)
    except FormatError:
        return
    assert tile.format() == path


@pytest.mark.parametrize(
    "coordinates", [(64, 0, 1), (-1, 0, 1), (0, -1, 1), (0, 2**55, 1), (0, 0, 0), (0, 0, 257)]
)
def test_a_tile_outside_of_every_tree_cannot_be_named(coordinates):
    with pytest.raises(FormatError):
        TilePath(*coordinates)


def test_the_partial_tiles_of_the_specifications_example():
    assert [tile.format() for tile in partial_tiles(70_000)] == [
        "tile/entries/273.p/112",
        "tile/0/273.p/112",
        "tile/1/001.p/17",
        "tile/2/000.p/1",
    ]
    assert [tile.format() for tile in partial_tiles(256)] == ["tile/1/000.p/1"]
    assert partial_tiles(0) == []


def test_all_tiles_of_the_specifications_example():
    tiles = list(all_tiles(70_000))

    assert len(tiles) == 274 + 274 + 2 + 1
    assert [tile.format() for tile in tiles[-3:]] == [
        "tile/1/000",
        "tile/1/001.p/17",
        "tile/2/000.p/1",
    ]


@given(size=st.integers(0, 200_000))
def test_the_tiles_of_a_size_hold_each_leaf_once(size):
    tiles = list(all_tiles(size))

    for level in (None, 0):
        assert sum(tile.width for tile in tiles if tile.level == level) == size
    assert [tile for tile in tiles if tile.width < 256] == partial_tiles(size)
    for tile in tiles:
        assert exists(tile, tree_size=size)
        assert width_at(tree_size=size, level=tile.level, index=tile.index) == tile.width


def test_a_narrower_tile_exists_as_a_part_and_a_wider_one_does_not():
    assert exists(TilePath(0, 1, 44), tree_size=300)
    assert exists(TilePath(0, 1, 43), tree_size=300)
    assert not exists(TilePath(0, 1, 45), tree_size=300)
    assert not exists(TilePath(0, 1), tree_size=300)
    assert not exists(TilePath(0, 2, 1), tree_size=300)
    assert exists(TilePath(1, 0, 1), tree_size=300)
    assert not exists(TilePath(2, 0, 1), tree_size=300)
    assert width_at(tree_size=300, level=0, index=7) == 0


def test_a_bundle_is_length_and_bytes_for_each_entry():
    assert encode_entries([b"", b"ab"]) == b"\x00\x00\x00\x02ab"
    assert decode_entries(b"\x00\x00\x00\x02ab") == [b"", b"ab"]
    assert decode_entries(b"") == []


@given(entries=st.lists(st.binary(max_size=400), max_size=20))
def test_a_bundle_survives_being_written_and_read(entries):
    assert decode_entries(encode_entries(entries)) == entries


@given(data=st.binary(max_size=60))
def test_bytes_that_read_as_a_bundle_are_written_back_the_same(data):
    try:
        entries = decode_entries(data)
    except FormatError:
        return
    assert encode_entries(entries) == data


def test_a_bundle_that_is_cut_anywhere_is_refused():
    bundle = encode_entries([b"abc", b"d"])
    whole = {0, 5, len(bundle)}
    for end in set(range(len(bundle))) - whole:
        with pytest.raises(FormatError, match="of a bundle of"):
            decode_entries(bundle[:end])


def test_the_longest_entry_fits_and_one_byte_more_does_not():
    assert len(encode_entries([bytes(65_535)])) == 65_537
    with pytest.raises(FormatError, match="65536 bytes"):
        encode_entries([bytes(65_536)])


@pytest.fixture
def folder(hashes, new_tiles):
    """The public files of a log of 600 entries, without its bundles."""
    tiles = new_tiles()
    tiles.append(hashes[:600])
    paths = [path for path in all_tiles(600) if path.level is not None]
    return {path.format(): tiles.tiles[path.level, path.index] for path in paths}


def test_proofs_can_be_made_from_the_public_files_alone(folder, hashes, definition):
    tree = TiledTree(size=600, tiles=FetchedTiles(folder.get))

    assert tree.inclusion_proof(555) == definition.inclusion(555, hashes[:600])


def test_a_partial_tile_that_is_gone_is_cut_out_of_the_full_one(folder, hashes):
    tiles = FetchedTiles(folder.get)

    assert tiles.read_tile(level=0, index=1, width=10) == b"".join(hashes[256:266])


@pytest.mark.parametrize("width", [89, 256])
def test_a_tile_that_is_nowhere_is_named(folder, width):
    with pytest.raises(TileUnreadableError, match="tile/0/002"):
        FetchedTiles(folder.get).read_tile(level=0, index=2, width=width)


@pytest.mark.parametrize("change", [lambda data: data[:-1], lambda data: data + b"\x00"])
def test_a_fetched_tile_of_a_wrong_length_is_refused(folder, change):
    folder["tile/0/002.p/88"] = change(folder["tile/0/002.p/88"])

    with pytest.raises(TileUnreadableError, match="not 2816"):
        FetchedTiles(folder.get).read_tile(level=0, index=2, width=88)


def test_a_full_tile_that_is_cut_off_is_no_fallback(folder):
    folder["tile/0/001"] = folder["tile/0/001"][:320]

    with pytest.raises(TileUnreadableError, match="neither"):
        FetchedTiles(folder.get).read_tile(level=0, index=1, width=10)
