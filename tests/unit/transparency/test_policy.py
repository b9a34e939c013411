"""A policy means the same to everybody, and one that could mean two things is refused."""

from hashlib import sha256
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heptad.transparency.errors import FormatError
from heptad.transparency.notes import SignatureType, VerifierKey
from heptad.transparency.policy import (
    POLICY_BYTES_MAX,
    Group,
    KnownLog,
    Policy,
    Witness,
    fingerprint,
    k_of_n_policy,
)


def log_key(seed, name="log.example"):
    return VerifierKey(name, SignatureType.LOG, bytes([seed]) * 32)


def witness_key(seed, name="witness.example"):
    return VerifierKey(name, SignatureType.COSIGNATURE, bytes([seed]) * 32)


LOG = log_key(0).format()
NAMES = ("X1", "X2", "X3", "Y1", "Y2", "Y3")
KEYS = {name: witness_key(seed).format() for seed, name in enumerate(NAMES)}

# The example of c2sp.org/tlog-policy with keys in it.
EXAMPLE = f"""\
log {LOG}

witness X1 {KEYS["X1"]}
witness X2 {KEYS["X2"]}
witness X3 {KEYS["X3"]}
group X-witnesses 2 X1 X2 X3

witness Y1 {KEYS["Y1"]}
witness Y2 {KEYS["Y2"]}
witness Y3 {KEYS["Y3"]}
group Y-witnesses any Y1 Y2 Y3

group X-and-Y all X-witnesses Y-witnesses
quorum X-and-Y
""".encode()


def test_the_published_example_asks_for_two_of_one_group_and_one_of_the_other():
    policy = Policy.parse(EXAMPLE)

    for count in range(7):
        for signed in combinations(KEYS, count):
            of_x = sum(name.startswith("X") for name in signed)
            expected = of_x >= 2 and count - of_x >= 1
            assert policy.has_quorum(signed) is expected, signed


def test_a_policy_survives_being_written_and_read():
    policy = Policy.parse(EXAMPLE)

    assert Policy.parse(policy.format()) == policy
    assert policy.groups[1].threshold == 1
    assert policy.groups[2].threshold == 2


def test_seven_replicas_five_of_which_make_a_quorum():
    witnesses = [(f"replica-{number}", witness_key(number)) for number in range(1, 8)]
    policy = k_of_n_policy(log=log_key(0), witnesses=witnesses, threshold=5)
    names = [name for name, _ in witnesses]

    assert all(policy.has_quorum(five) for five in combinations(names, 5))
    assert not any(policy.has_quorum(four) for four in combinations(names, 4))
    assert b"group replicas 5 replica-1 replica-2" in policy.format()
    assert policy.format().endswith(b"quorum replicas\n")


def test_nobody_and_strangers_do_not_make_a_quorum():
    policy = Policy.parse(EXAMPLE)

    assert not policy.has_quorum([])
    assert not policy.has_quorum(["X-witnesses", "Y-witnesses", "X-and-Y", "none", "stranger"])


def test_quorum_none_asks_for_nobody():
    assert Policy.parse(f"log {LOG}\nquorum none\n".encode()).has_quorum([])


def test_a_quorum_may_be_one_witness():
    policy = Policy.parse(f"witness w {KEYS['X1']}\nquorum w\n".encode())

    assert policy.has_quorum(["w"])
    assert not policy.has_quorum([])


def test_the_shortfall_names_who_signed_and_who_is_missing():
    text = Policy.parse(EXAMPLE).explain_quorum(["X1", "Y2"])

    assert "X-witnesses needs 2 of 3, has 1 (X1), lacks X2, X3" in text
    assert "X-and-Y needs 2 of 2, has 1 (Y-witnesses), lacks X-witnesses" in text


def test_spaces_tabs_comments_and_empty_lines_say_nothing():
    noisy = EXAMPLE.replace(b" ", b" \t  ").replace(b"\n", b"\t\n\n # not \xff a line\n  ")

    assert Policy.parse(noisy + b"\n") == Policy.parse(EXAMPLE)


def test_urls_are_kept():
    log, witness = f"log {LOG} https://log.example/", f"witness w {KEYS['X1']} https://w.example/"
    policy = Policy.parse(lines(log, witness, "quorum w").encode())

    assert policy.logs[0].url == "https://log.example/"
    assert policy.witnesses[0].url == "https://w.example/"
    assert Policy.parse(policy.format()) == policy


def test_names_are_octets_whatever_they_spell():
    kelvin, broken = "\u212a".encode(), b"\xff\xfe"
    key_a, key_b, key_c = (KEYS[name].encode() for name in ("X1", "X2", "X3"))
    data = b"witness K %b\nwitness %b %b\nwitness %b %b\ngroup g 2 K %b %b\nquorum g\n" % (
        key_a,
        kelvin,
        key_b,
        broken,
        key_c,
        kelvin,
        broken,
    )

    policy = Policy.parse(data)

    assert len({witness.name for witness in policy.witnesses}) == 3
    assert policy.format() == data


def test_only_ascii_spaces_and_tabs_part_words():
    with pytest.raises(FormatError, match="line 1"):
        Policy.parse("quorum\u00a0none\n".encode())


def lines(*parts):
    return "".join(f"{part}\n" for part in parts)


W1, W2 = f"witness w1 {KEYS['X1']}", f"witness w2 {KEYS['X2']}"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "newline"),
        ("\n", "one quorum line, this one 0"),
        ("quorum none", "newline"),
        (lines("quorum none", "quorum none"), "this one 2"),
        (lines("quorum w1"), "line 1: 'w1' is not defined"),
        (lines("quorum w1", W1), "line 1: 'w1' is not defined"),
        (lines("quorum"), "line 1"),
        (lines(W1, "quorum w1 w1"), "line 2"),
        (lines("Quorum none"), "line 1"),
        (lines("quorum none # nothing"), "line 1"),
        (lines("", "log", "quorum none"), "line 2"),
        (lines(f"log {LOG} url more", "quorum none"), "line 1"),
        (lines(f"log {KEYS['X1']}", "quorum none"), "type 0x04"),
        (lines(f"log {LOG[:-2]}", "quorum none"), "line 1"),
        (lines(f"witness w {LOG}", "quorum none"), "type 0x01"),
        (lines("witness w", "quorum none"), "line 1"),
        (lines(f"witness none {KEYS['X1']}", "quorum none"), "'none' is taken"),
        (lines(W1, f"witness w1 {KEYS['X2']}", "quorum none"), "'w1' is taken"),
        (lines(W1, f"witness w2 {KEYS['X1']}", "quorum none"), "public key of another"),
        (lines(f"log {LOG}", f"log {LOG}", "quorum none"), "public key of another"),
        (lines(W1, "group w1 1 w1", "quorum none"), "'w1' is taken"),
        (lines(W1, "group none 1 w1", "quorum none"), "'none' is taken"),
        (lines(W1, "group g 1 g", "quorum g"), "line 2: 'g' is not defined"),
        (lines(W1, "group g 1 none", "quorum g"), "line 2: 'none' is not defined"),
        (lines("group g 1 w1", W1, "quorum g"), "line 1: 'w1' is not defined"),
        (lines(W1, "group g 1", "quorum g"), "line 2"),
        (lines(W1, "group g all", "quorum g"), "line 2"),
        (lines(W1, "group g 0 w1", "quorum g"), "threshold '0'"),
        (lines(W1, "group g 01 w1", "quorum g"), "threshold '01'"),
        (lines(W1, "group g +1 w1", "quorum g"), "threshold"),
        (lines(W1, "group g ALL w1", "quorum g"), "threshold 'ALL'"),
        (lines(W1, "group g \u0661 w1", "quorum g"), "threshold"),
        (lines(W1, "group g 2 w1", "quorum g"), "asks for 2 of 1"),
        (lines(W1, "group g 2 w1 w1", "quorum g"), "'w1' is a member already"),
        (
            lines(W1, W2, "group g 1 w1", "group h 1 w1 w2", "quorum h"),
            "'w1' is a member already",
        ),
        (lines("quorum none\r"), "control character 0x0d"),
        (lines("quorum none", "#\0"), "control character 0x00"),
        (lines("quorum none", "#\x7f"), "control character 0x7f"),
        ("#" * POLICY_BYTES_MAX + "\n", "exceeds"),
    ],
)
def test_a_policy_that_breaks_a_rule_is_refused_by_that_rule(text, reason):
    with pytest.raises(FormatError, match=reason):
        Policy.parse(text.encode())


@pytest.mark.parametrize(
    "arguments",
    [
        {"logs": (KnownLog(log_key(1), "a b"),), "quorum": "none"},
        {"witnesses": (Witness("a b", witness_key(1)),), "quorum": "none"},
        {"witnesses": (Witness("", witness_key(1)),), "quorum": "none"},
        {"witnesses": (Witness("a", witness_key(1, "w\x7f")),), "quorum": "none"},
        {"groups": (Group("g", 0, ()),), "quorum": "g"},
        {"quorum": ""},
    ],
)
def test_a_policy_built_by_hand_obeys_the_same_rules(arguments):
    with pytest.raises(FormatError):
        Policy(**({"logs": (), "witnesses": (), "groups": ()} | arguments))


def test_two_keys_that_a_signature_line_could_not_tell_apart_are_refused(monkeypatch):
    monkeypatch.setattr(VerifierKey, "key_id", b"same")
    witnesses = [("a", witness_key(1)), ("b", witness_key(2))]

    with pytest.raises(FormatError, match="share the name"):
        k_of_n_policy(log=log_key(0), witnesses=witnesses, threshold=1)


def test_the_fingerprint_is_the_sum_of_the_file_as_it_is():
    assert fingerprint(EXAMPLE) == sha256(EXAMPLE).hexdigest()
    assert fingerprint(EXAMPLE + b"#\n") != fingerprint(EXAMPLE)


@given(data=st.data())
def test_no_line_may_be_missing_from_a_policy_that_needs_it(data):
    kept = EXAMPLE.decode().splitlines(keepends=True)
    needed = [index for index, line in enumerate(kept) if line.strip() and "log" not in line]
    del kept[data.draw(st.sampled_from(needed))]

    with pytest.raises(FormatError):
        Policy.parse("".join(kept).encode())


def test_a_long_chain_of_groups_is_evaluated_without_deep_recursion():
    chain = [W1, "group g0 1 w1"]
    chain += [f"group g{number} 1 g{number - 1}" for number in range(1, 5000)]
    policy = Policy.parse(lines(*chain, "quorum g4999").encode())

    assert policy.has_quorum(["w1"])
    assert not policy.has_quorum([])
