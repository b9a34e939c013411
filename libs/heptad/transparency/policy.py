"""Whom to believe: the logs, the witnesses, and how many of these make a quorum (C2SP tlog-policy).

Why a file and not code: an auditor has to get the policy from somebody else than the server that
it judges, read it, compare its fingerprint over the telephone, and feed it to other people's
tools. So it is the standard's text format, its meaning depends on no locale and no Unicode table,
and two keys that could stand in for each other are refused.

Source: c2sp.org/tlog-policy.
"""

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, Self

from heptad.transparency.errors import FormatError
from heptad.transparency.notes import SignatureType, VerifierKey

POLICY_BYTES_MAX: Final = 256 * 1024
NO_QUORUM: Final = "none"

_DECIMAL = re.compile("[1-9][0-9]{0,5}")
_CONTROL = re.compile(rb"[\x00-\x08\x0b-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class KnownLog:
    """A log whose checkpoints are accepted. Its key's name is the log's origin."""

    key: VerifierKey
    url: str = ""


@dataclass(frozen=True, slots=True)
class Witness:
    """A cosigner. `name` is how groups refer to it, and means nothing outside of the policy."""

    name: str
    key: VerifierKey
    url: str = ""


@dataclass(frozen=True, slots=True)
class Group:
    """A group has witnessed a checkpoint if at least `threshold` of its members have."""

    name: str
    threshold: int
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Policy:
    """A checkpoint is valid if a known log signed it and the quorum's witnesses cosigned it.

    Groups refer only to witnesses and to groups before them. `quorum` names a witness or a group,
    or is `none`.
    Raises: FormatError, on construction, for a policy that contradicts itself.
    """

    logs: tuple[KnownLog, ...]
    witnesses: tuple[Witness, ...]
    groups: tuple[Group, ...]
    quorum: str

    def __post_init__(self) -> None:
        """Refuse names and keys that stand for two things, and thresholds nobody can meet."""
        log_keys = [log.key for log in self.logs]
        witness_keys = [witness.key for witness in self.witnesses]
        _require_keys(log_keys, SignatureType.LOG, "log")
        _require_keys(witness_keys, SignatureType.COSIGNATURE, "witness")
        _require_distinct_identities(log_keys + witness_keys)
        for known in self.logs:
            _require_words(known.key.format(), known.url)
        for witness in self.witnesses:
            _require_words(witness.name, witness.key.format(), witness.url)
        defined = _require_names(self.witnesses, self.groups)
        _require_members_once(self.groups)
        if self.quorum != NO_QUORUM:
            _require_defined([self.quorum], defined)

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Read a policy file.

        Raises: FormatError, with the line's number where one line is wrong by itself.
        """
        return cls(*_read(data))

    def format(self) -> bytes:
        """Write the policy file that parses to this policy: one item a line, single spaces."""
        lines = [_join("log", log.key.format(), log.url) for log in self.logs]
        lines += [_join("witness", w.name, w.key.format(), w.url) for w in self.witnesses]
        lines += [_join("group", g.name, str(g.threshold), *g.members) for g in self.groups]
        lines.append(_join("quorum", self.quorum))
        return "".join(f"{line}\n" for line in lines).encode(errors="surrogateescape")

    def witnessed(self, cosigners: Collection[str]) -> set[str]:
        """Return the witnesses among `cosigners`, and the groups that they satisfy, by name."""
        satisfied = {witness.name for witness in self.witnesses if witness.name in cosigners}
        for group in self.groups:
            if len(satisfied.intersection(group.members)) >= group.threshold:
                satisfied.add(group.name)
        return satisfied

    def has_quorum(self, cosigners: Collection[str]) -> bool:
        """Tell whether cosignatures by these witnesses (policy names) make a checkpoint valid."""
        return self.quorum == NO_QUORUM or self.quorum in self.witnessed(cosigners)

    def explain_quorum(self, cosigners: Collection[str]) -> str:
        """Say for people how far these cosigners go: who signed, who is missing, in each group."""
        satisfied = self.witnessed(cosigners)
        texts = [f"quorum {self.quorum}"]
        for group in self.groups:
            signed = [name for name in group.members if name in satisfied]
            missing = [name for name in group.members if name not in satisfied]
            texts.append(
                f"{group.name} needs {group.threshold} of {len(group.members)}, has {len(signed)} "
                f"({', '.join(signed) or 'none'}), lacks {', '.join(missing) or 'none'}"
            )
        return "; ".join(texts)


def k_of_n_policy(
    *, log: VerifierKey, witnesses: Sequence[tuple[str, VerifierKey]], threshold: int
) -> Policy:
    """Build a cell's policy: one log, and a quorum of `threshold` of these (name, key) pairs.

    The witnesses form the group `replicas`. Raises: FormatError.
    """
    group = Group("replicas", threshold, tuple(name for name, _ in witnesses))
    return Policy(
        logs=(KnownLog(log),),
        witnesses=tuple(Witness(name, key) for name, key in witnesses),
        groups=(group,),
        quorum=group.name,
    )


def fingerprint(policy_file: bytes) -> str:
    """Return the hex SHA-256 of a policy file's bytes: the same as `sha256sum` prints.

    Over the file as received, comments included, so that it can be compared without Heptad.
    """
    return sha256(policy_file).hexdigest()


def _read(
    data: bytes,
) -> tuple[tuple[KnownLog, ...], tuple[Witness, ...], tuple[Group, ...], str]:
    logs: list[KnownLog] = []
    witnesses: list[Witness] = []
    groups: list[Group] = []
    quorums: list[str] = []
    # Only what stands on earlier lines may be referred to; so no circle can arise.
    defined: set[str] = set()
    for number, words in _items(data):
        try:
            match words:
                case ["log", vkey, *url] if len(url) <= 1:
                    logs.append(KnownLog(VerifierKey.parse(vkey), *url))
                case ["witness", name, vkey, *url] if len(url) <= 1:
                    witnesses.append(Witness(name, VerifierKey.parse(vkey), *url))
                    defined.add(name)
                case ["group", name, threshold, *members] if members:
                    _require_defined(members, defined)
                    groups.append(Group(name, _threshold(threshold, members), tuple(members)))
                    defined.add(name)
                case ["quorum", name]:
                    _require_defined([name], defined | {NO_QUORUM})
                    quorums.append(name)
                case _:
                    raise FormatError(f"not a log, witness, group or quorum: {words[:3]}")
        except FormatError as error:
            raise FormatError(f"policy line {number}: {error}") from None
    if len(quorums) != 1:
        raise FormatError(f"a policy has one quorum line, this one {len(quorums)}")
    return tuple(logs), tuple(witnesses), tuple(groups), quorums[0]


def _items(data: bytes) -> Iterator[tuple[int, list[str]]]:
    """Yield each line that says something: its number from 1, and its words.

    Octets above 0x7F are opaque: they become surrogates where they are not UTF-8, compare as
    octets, and are written back as they were.
    """
    if len(data) > POLICY_BYTES_MAX:
        raise FormatError(f"a policy of {len(data)} bytes exceeds {POLICY_BYTES_MAX}")
    if found := _CONTROL.search(data):
        raise FormatError(f"a policy holds the control character 0x{found[0].hex()}")
    if not data.endswith(b"\n"):
        raise FormatError("a policy's last line does not end in a newline")
    for number, line in enumerate(data.decode(errors="surrogateescape").split("\n"), start=1):
        words = [word for word in line.replace("\t", " ").split(" ") if word]
        if words and not words[0].startswith("#"):
            yield number, words


def _threshold(text: str, members: Sequence[str]) -> int:
    if text in ("all", "any"):
        return len(members) if text == "all" else 1
    if not _DECIMAL.fullmatch(text):
        raise FormatError(f"threshold {text[:20]!r} is neither all, any nor a decimal number")
    return int(text)


def _join(*words: str) -> str:
    return " ".join(word for word in words if word)


def _require_words(*words: str) -> None:
    """Refuse what a line could not carry as one item; the empty word stands for one left out."""
    for word in words:
        if any(letter <= " " or letter == "\x7f" for letter in word):
            raise FormatError(f"{word[:100]!r} is not one word without control characters")


def _require_defined(names: Sequence[str], defined: Collection[str]) -> None:
    for name in names:
        if name not in defined:
            raise FormatError(f"{name!r} is not defined on an earlier line")


def _require_names(witnesses: Sequence[Witness], groups: Sequence[Group]) -> set[str]:
    """Check names and groups in the order of definition; return every name."""
    defined: set[str] = set()
    for witness in witnesses:
        _require_new_name(witness.name, defined)
        defined.add(witness.name)
    for group in groups:
        _require_new_name(group.name, defined)
        _require_defined(group.members, defined)
        if not 1 <= group.threshold <= len(group.members):
            raise FormatError(
                f"group {group.name!r} asks for {group.threshold} of {len(group.members)}"
            )
        defined.add(group.name)
    return defined


def _require_new_name(name: str, defined: Collection[str]) -> None:
    _require_words(name)
    if not name or name in defined or name == NO_QUORUM:
        raise FormatError(f"the name {name!r} is taken")


def _require_members_once(groups: Sequence[Group]) -> None:
    """Refuse a name in two groups, or twice in one: each witness contributes in one way only."""
    seen: set[str] = set()
    for group in groups:
        for name in group.members:
            if name in seen:
                raise FormatError(f"group {group.name!r}: {name!r} is a member already")
            seen.add(name)


def _require_keys(keys: Sequence[VerifierKey], signature_type: SignatureType, role: str) -> None:
    seen: set[bytes] = set()
    for key in keys:
        if key.type != signature_type:
            raise FormatError(
                f"{role} {key.name!r} has a key of type 0x{key.type:02x}; "
                f"a {role}'s is 0x{signature_type:02x}"
            )
        if key.public_key in seen:
            raise FormatError(f"{role} {key.name!r} has the public key of another {role}")
        seen.add(key.public_key)


def _require_distinct_identities(keys: Sequence[VerifierKey]) -> None:
    """Refuse two keys that a signature line could not tell apart (an id is only 32 bits)."""
    seen: set[tuple[str, bytes]] = set()
    for key in keys:
        if (key.name, key.key_id) in seen:
            raise FormatError(f"two keys share the name {key.name!r} and id {key.key_id.hex()}")
        seen.add((key.name, key.key_id))
