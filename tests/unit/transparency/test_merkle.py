"""The tree against the RFC's definition, the classic roots, and 196 vectors made by others."""

import json
from base64 import b64decode
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heptad.transparency.errors import FormatError, ProofInvalidError
from heptad.transparency.merkle import (
    EMPTY_ROOT,
    CompactRange,
    inclusion_steps,
    leaf_hash,
    leaf_hashes,
    node_hash,
    verify_consistency,
    verify_inclusion,
)

VECTORS = Path(__file__).parent / "vectors"

CLASSIC_ENTRIES = [
    bytes.fromhex(entry)
    for entry in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
CLASSIC_ROOTS = (
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
)


def load_vectors(kind):
    vectors = json.loads((VECTORS / f"{kind}.json").read_text())["vectors"]
    return [pytest.param(vector, id=vector["file"]) for vector in vectors]


def raises_if(expected):
    return pytest.raises(ProofInvalidError) if expected else _nothing_raised()


class _nothing_raised:  # noqa: N801  reads as a phrase in `with`
    def __enter__(self):
        return self

    def __exit__(self, *_):
        return False


@pytest.mark.parametrize("size", range(9))
def test_the_first_eight_entries_have_the_classic_roots(size):
    edge = CompactRange.empty().extended(leaf_hashes(CLASSIC_ENTRIES[:size]))

    assert edge.root().hex() == CLASSIC_ROOTS[size]


def test_leaves_and_nodes_cannot_be_confused():
    left, right = leaf_hash(b"a"), leaf_hash(b"b")

    assert node_hash(left, right) != leaf_hash(left + right)
    assert leaf_hashes([b"a", b"b"]) == [left, right]


def test_there_are_as_many_vectors_as_were_promised():
    assert len(load_vectors("inclusion")) == len(load_vectors("consistency")) == 98


@pytest.mark.parametrize("vector", load_vectors("inclusion"))
def test_an_inclusion_vector_is_judged_as_its_authors_say(vector):
    with raises_if(vector["wantErr"]):
        verify_inclusion(
            leaf_index=vector["leafIdx"],
            tree_size=vector["treeSize"],
            leaf_hash=b64decode(vector["leafHash"]),
            proof=[b64decode(value) for value in vector["proof"] or []],
            root_hash=b64decode(vector["root"]),
        )


@pytest.mark.parametrize("vector", load_vectors("consistency"))
def test_a_consistency_vector_is_judged_as_its_authors_say(vector):
    with raises_if(vector["wantErr"]):
        verify_consistency(
            old_size=vector["size1"],
            new_size=vector["size2"],
            old_root=b64decode(vector["root1"]),
            new_root=b64decode(vector["root2"]),
            proof=[b64decode(value) for value in vector["proof"] or []],
        )


def test_every_small_tree_has_the_root_of_the_definition(hashes, definition):
    edge = CompactRange.empty()
    assert edge.root() == EMPTY_ROOT
    for size in range(1, 200):
        edge = edge.extended(hashes[size - 1 : size])

        assert edge.root() == definition.root(hashes[:size])


def test_every_proof_of_the_definition_holds_in_every_small_tree(hashes, definition):
    for size in range(1, 34):
        leaves = hashes[:size]
        root = definition.root(leaves)
        for index, leaf in enumerate(leaves):
            verify_inclusion(
                leaf_index=index,
                tree_size=size,
                leaf_hash=leaf,
                proof=definition.inclusion(index, leaves),
                root_hash=root,
            )
        for old_size in range(1, size + 1):
            verify_consistency(
                old_size=old_size,
                new_size=size,
                old_root=definition.root(leaves[:old_size]),
                new_root=root,
                proof=definition.consistency(old_size, leaves),
            )


def test_a_proof_holds_for_no_other_index_or_proof_length_in_any_small_tree(hashes, definition):
    for size in range(1, 20):
        leaves = hashes[:size]
        root = definition.root(leaves)
        for index in range(size):
            proof = definition.inclusion(index, leaves)
            wrong = [(other, proof) for other in range(-1, size + 1) if other != index]
            wrong += [(index, [*proof, root]), (index, [root, *proof])]
            wrong += [(index, proof[:-1]), (index, proof[1:])] if proof else []
            for claimed_index, claimed_proof in wrong:
                with pytest.raises(ProofInvalidError):
                    verify_inclusion(
                        leaf_index=claimed_index,
                        tree_size=size,
                        leaf_hash=leaves[index],
                        proof=claimed_proof,
                        root_hash=root,
                    )


def test_a_changed_bit_in_any_hash_breaks_an_inclusion_proof(hashes, definition):
    leaves, index = hashes[:13], 11
    parts = [leaves[index], *definition.inclusion(index, leaves), definition.root(leaves)]
    for changed in range(len(parts)):
        for bit in range(256):
            flipped = bytearray(parts[changed])
            flipped[bit // 8] ^= 1 << bit % 8
            tampered = [*parts[:changed], bytes(flipped), *parts[changed + 1 :]]

            with pytest.raises(ProofInvalidError):
                verify_inclusion(
                    leaf_index=index,
                    tree_size=13,
                    leaf_hash=tampered[0],
                    proof=tampered[1:-1],
                    root_hash=tampered[-1],
                )


def test_a_changed_bit_in_any_hash_breaks_a_consistency_proof(hashes, definition):
    leaves = hashes[:21]
    for old_size in (8, 13, 20):
        proof = definition.consistency(old_size, leaves)
        parts = [definition.root(leaves[:old_size]), *proof, definition.root(leaves)]
        for changed in range(len(parts)):
            tampered = list(parts)
            tampered[changed] = bytes([parts[changed][0] ^ 1]) + parts[changed][1:]

            with pytest.raises(ProofInvalidError):
                verify_consistency(
                    old_size=old_size,
                    new_size=21,
                    old_root=tampered[0],
                    new_root=tampered[-1],
                    proof=tampered[1:-1],
                )


@pytest.mark.parametrize("length", [0, 31, 33])
def test_hashes_of_another_length_prove_nothing(hashes, definition, length):
    leaves = hashes[:3]
    root = definition.root(leaves)
    odd = b"\x01" * length

    with pytest.raises(ProofInvalidError, match=f"has {length} bytes"):
        verify_inclusion(
            leaf_index=0, tree_size=3, leaf_hash=leaves[0], proof=[odd, leaves[2]], root_hash=root
        )
    with pytest.raises(ProofInvalidError, match=f"has {length} bytes"):
        verify_inclusion(leaf_index=0, tree_size=1, leaf_hash=odd, proof=[], root_hash=odd)
    with pytest.raises(ProofInvalidError, match=f"has {length} bytes"):
        verify_consistency(old_size=1, new_size=2, old_root=odd, new_root=root, proof=[root])
    with pytest.raises(ProofInvalidError, match=f"has {length} bytes"):
        verify_consistency(old_size=1, new_size=2, old_root=root, new_root=root, proof=[odd])


def test_each_step_of_an_inclusion_proof_is_shown(hashes):
    a, b, c = hashes[:3]

    steps = inclusion_steps(leaf_index=1, tree_size=3, leaf_hash=b, proof=[a, c])

    assert [step.sibling for step in steps] == [a, c]
    assert [step.sibling_is_left for step in steps] == [True, False]
    assert [step.result for step in steps] == [node_hash(a, b), node_hash(node_hash(a, b), c)]


def test_a_failed_proof_names_its_last_step_and_both_roots(hashes, definition):
    leaves = hashes[:5]
    root = definition.root(leaves)
    proof = definition.inclusion(2, leaves)

    with pytest.raises(ProofInvalidError, match="after step 3") as failure:
        verify_inclusion(
            leaf_index=2, tree_size=5, leaf_hash=leaves[3], proof=proof, root_hash=root
        )

    assert root.hex() in str(failure.value)


@given(data=st.data(), total=st.integers(0, 600))
def test_the_edge_does_not_depend_on_how_leaves_are_cut_into_blocks(
    data, total, hashes, definition
):
    cuts = sorted(data.draw(st.lists(st.integers(0, total), max_size=8)))
    edge = CompactRange.empty()
    for start, end in zip([0, *cuts], [*cuts, total], strict=True):
        edge = edge.extended(hashes[start:end])

    assert edge == CompactRange.empty().extended(hashes[:total])
    assert edge.size == total
    assert edge.root() == (definition.root(hashes[:total]) if total else EMPTY_ROOT)


def test_extending_leaves_the_old_edge_as_it_was(hashes):
    old = CompactRange.empty().extended(hashes[:7])
    copy = CompactRange(old.size, old.hashes)

    old.extended(hashes[7:100])

    assert old == copy


@given(size=st.integers(0, 600))
def test_an_edge_survives_being_written_and_read(size, hashes):
    edge = CompactRange.empty().extended(hashes[:size])

    assert CompactRange.decode(edge.encode()) == edge


@given(
    data=st.one_of(
        st.binary(max_size=200),
        st.builds(
            lambda size, tail: size.to_bytes(8, "big") + tail, st.integers(0, 20), st.binary()
        ),
    )
)
def test_bytes_that_read_as_an_edge_are_written_back_the_same(data):
    try:
        edge = CompactRange.decode(data)
    except FormatError:
        return
    assert edge.encode() == data


@pytest.mark.parametrize(
    ("size", "count"), [(0, 1), (1, 0), (1, 2), (7, 2), (-1, 1), (2**63, 1), (2**64 - 1, 64)]
)
def test_an_edge_has_one_hash_for_each_bit_of_its_size(size, count):
    with pytest.raises(FormatError):
        CompactRange(size, (b"\x00" * 32,) * count)


@given(old_size=st.integers(1, 400), more=st.integers(0, 400), claimed=st.integers(1, 800))
def test_a_consistency_proof_holds_for_its_own_sizes_only(
    old_size, more, claimed, hashes, definition
):
    leaves = hashes[: old_size + more]
    proof = definition.consistency(old_size, leaves)
    roots = {"old_root": definition.root(leaves[:old_size]), "new_root": definition.root(leaves)}

    verify_consistency(old_size=old_size, new_size=len(leaves), proof=proof, **roots)
    if claimed != old_size:
        with pytest.raises(ProofInvalidError):
            verify_consistency(old_size=claimed, new_size=len(leaves), proof=proof, **roots)
