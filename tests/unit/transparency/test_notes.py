"""Notes and keys read as other people wrote them, and in no second spelling."""

from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heptad.crypto.signatures import verify
from heptad.transparency.checkpoint import verify_signature
from heptad.transparency.errors import FormatError
from heptad.transparency.notes import (
    NOTE_BYTES_MAX,
    SIGNATURES_MAX,
    Note,
    NoteSignature,
    SignatureType,
    VerifierKey,
)

# The example of c2sp.org/signed-note, section "Example".
PUBLISHED_VKEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
PUBLISHED_NOTE = (
    "This is an example message.\n"
    "\n"
    "\u2014 example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFX"
    "mRKuwHjG1Yu72IneyaQM=\n"
).encode()
# The first example of the same page: its text has an empty line of its own.
POEM = (
    "Ognuno sta solo sul cuor della terra\n"
    "trafitto da un raggio di sole:\n"
    "\n"
    "ed \u00e8 subito sera.\n"
    "\n"
    "\u2014 quasimodo.example/salvatore NnugSzTjtVAewIS+Z/iJhUPeFDkO/5QQ2i5ddnGITLlC+EhfLW9oJKONrM"
    "ouFSQU0xMcXxj99ihAQwaqP3ZekRwNtIc=\n"
).encode()

names = st.text(
    st.characters(min_codepoint=0x21, exclude_characters="+", exclude_categories=("Cs", "Z", "Cc")),
    min_size=1,
    max_size=20,
)
texts = st.text(
    st.characters(exclude_categories=("Cs",), min_codepoint=0x20, include_characters="\n"),
    max_size=60,
).map(lambda text: text + "\n")
signatures = st.builds(
    NoteSignature,
    key_name=names,
    key_id=st.binary(min_size=4, max_size=4),
    signature=st.binary(min_size=1, max_size=80),
)
notes = st.builds(
    lambda text, lines: Note(text.encode(), tuple(lines)),
    texts,
    st.lists(signatures, min_size=1, max_size=5),
)
keys = st.builds(
    VerifierKey,
    name=names,
    type=st.sampled_from(SignatureType),
    public_key=st.binary(min_size=32, max_size=32),
)


def test_the_published_key_verifies_the_published_note():
    key = VerifierKey.parse(PUBLISHED_VKEY)
    note = Note.parse(PUBLISHED_NOTE)

    assert key.key_id.hex() == "530d903a"
    assert key.format() == PUBLISHED_VKEY
    verify_signature(note.text, note.signatures[0], key=key, verify=verify)


def test_a_text_with_an_empty_line_is_cut_at_the_last_one():
    note = Note.parse(POEM)

    assert note.text.endswith(b"sole:\n\ned \xc3\xa8 subito sera.\n")
    assert [signature.key_name for signature in note.signatures] == ["quasimodo.example/salvatore"]
    assert note.encode() == POEM


@given(note=notes)
def test_a_note_survives_being_written_and_read(note):
    assert Note.parse(note.encode()) == note


@given(data=st.one_of(st.binary(max_size=100), st.just(PUBLISHED_NOTE)), draw=st.data())
def test_whatever_is_read_is_written_back_the_same(data, draw):
    changed = bytearray(data)
    for _ in range(draw.draw(st.integers(0, 3)) if changed else 0):
        changed[draw.draw(st.integers(0, len(changed) - 1))] = draw.draw(st.integers(0, 255))
    try:
        note = Note.parse(bytes(changed))
    except FormatError:
        return
    assert note.encode() == bytes(changed)


LINE = PUBLISHED_NOTE.decode().split("\n")[2]
BLOB = LINE.split(" ")[2]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n",
        b"text\n",
        b"text\n\n",
        b"text\n\n\n",
        f"text\n{LINE}\n".encode(),
        f"text\n\n{LINE}".encode(),
        f"text\n\n{LINE}\n\n".encode(),
        f"text\n\n{LINE}\ntrailing\n".encode(),
        f"text\r\n\n{LINE}\n".encode(),
        f"te\txt\n\n{LINE}\n".encode(),
        f"te\0xt\n\n{LINE}\n".encode(),
        b"te\xffxt\n\n" + LINE.encode() + b"\n",
        f"text\n\n{LINE}\r\n".encode(),
        f"text\n\n {LINE}\n".encode(),
        f"text\n\n{LINE} \n".encode(),
        f"text\n\n- example.com/foo {BLOB}\n".encode(),
        f"text\n\n\u2014example.com/foo {BLOB}\n".encode(),
        f"text\n\n\u2014  {BLOB}\n".encode(),
        f"text\n\n\u2014 example.com/foo  {BLOB}\n".encode(),
        f"text\n\n\u2014 example.com/foo\u00a0x {BLOB}\n".encode(),
        f"text\n\n\u2014 example.com/f+o {BLOB}\n".encode(),
        f"text\n\n\u2014 example.com/foo {BLOB[:-1]}\n".encode(),
        f"text\n\n\u2014 example.com/foo {BLOB}=\n".encode(),
        f"text\n\n\u2014 example.com/foo {BLOB[:-2]}N=\n".encode(),
        f"text\n\n\u2014 example.com/foo {BLOB[:8]}*{BLOB[8:]}\n".encode(),
        f"text\n\n\u2014 example.com/foo {BLOB.replace('+', '-')}A\n".encode(),
        b"text\n\n\xe2\x80\x94 example.com/foo UwB=\n",
        b"text\n\n\xe2\x80\x94 example.com/foo Uw2QOg==\n",
        b"text\n\n\xe2\x80\x94 example.com/foo Uw2Q\n",
        b"text\n\n\xe2\x80\x94 example.com/foo \n",
        b"text\n\n\xe2\x80\x94 example.com/foo\n",
    ],
)
def test_what_is_not_a_note_is_refused(data):
    with pytest.raises(FormatError):
        Note.parse(data)


def test_a_note_may_carry_sixty_four_signatures_and_no_more():
    line = NoteSignature.parse(LINE)
    full = Note(b"text\n", (line,) * SIGNATURES_MAX)

    assert Note.parse(full.encode()) == full
    with pytest.raises(FormatError, match="65 lines"):
        Note.parse(full.encode() + line.format().encode() + b"\n")
    with pytest.raises(FormatError, match="65 signatures"):
        Note(b"text\n", (line,) * 65)
    with pytest.raises(FormatError, match="0 signatures"):
        Note(b"text\n", ())


def test_a_note_of_unbounded_size_is_refused_before_it_is_read():
    with pytest.raises(FormatError, match="exceeds"):
        Note.parse(b"\xff" * (NOTE_BYTES_MAX + 1))


@pytest.mark.parametrize("text", [b"", b"text", b"te\rxt\n", b"te\xffxt\n"])
def test_a_text_that_would_not_read_back_makes_no_note(text):
    with pytest.raises(FormatError):
        Note(text, (NoteSignature.parse(LINE),))


@pytest.mark.parametrize("length", [0, 31, 33])
def test_a_key_has_thirty_two_bytes(length):
    with pytest.raises(FormatError, match="32 bytes"):
        VerifierKey("name", SignatureType.LOG, bytes(length))


@pytest.mark.parametrize("length", [0, 3, 5])
def test_a_key_id_has_four_bytes(length):
    with pytest.raises(FormatError, match="key id"):
        NoteSignature("name", bytes(length), b"signature")


def test_a_line_is_by_a_key_only_if_both_name_and_id_say_so():
    key = VerifierKey.parse(PUBLISHED_VKEY)

    assert NoteSignature(key.name, key.key_id, b"x").is_by(key)
    assert not NoteSignature(key.name, b"\0\0\0\0", b"x").is_by(key)
    assert not NoteSignature("example.com/bar", key.key_id, b"x").is_by(key)


@pytest.mark.parametrize(
    "name", ["", "a b", "a+b", "a\nb", "a\0b", "a\u2003b", "a\u0085", "\ud800"]
)
def test_a_key_name_with_spaces_plus_signs_or_controls_is_refused(name):
    with pytest.raises(FormatError):
        VerifierKey(name, SignatureType.LOG, bytes(32))
    with pytest.raises(FormatError):
        NoteSignature(name, b"\0\0\0\0", b"\0")


@given(key=keys)
def test_a_key_survives_being_written_and_read(key):
    assert VerifierKey.parse(key.format()) == key


def test_one_key_has_another_id_for_each_type_and_name():
    ids = {
        VerifierKey(name, signature_type, bytes(32)).key_id
        for name in ("a", "b")
        for signature_type in SignatureType
    }

    assert len(ids) == 4


def vkey(material, *, key_id="530d903a"):
    return f"example.com/foo+{key_id}+{b64encode(material).decode()}"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "example.com/foo",
        "example.com/foo+530d903a",
        PUBLISHED_VKEY.replace("530d903a", "530d903b"),
        PUBLISHED_VKEY.replace("530d903a", "530D903A"),
        PUBLISHED_VKEY.replace("530d903a", "0530d903a"),
        PUBLISHED_VKEY.replace("foo", "fo0"),
        PUBLISHED_VKEY + "\n",
        " " + PUBLISHED_VKEY,
        PUBLISHED_VKEY[:-1] + "l",
        PUBLISHED_VKEY[:-4],
        vkey(b""),
        vkey(b"\x01" + bytes(31)),
        vkey(b"\x01" + bytes(33)),
    ],
)
def test_what_is_not_a_vkey_is_refused(text):
    with pytest.raises(FormatError):
        VerifierKey.parse(text)


@pytest.mark.parametrize("signature_type", [0x00, 0x02, 0x06, 0xFF])
def test_a_key_of_a_type_that_nobody_here_can_check_is_refused_by_its_type(signature_type):
    with pytest.raises(FormatError, match=f"type 0x{signature_type:02x} is not supported"):
        VerifierKey.parse(vkey(bytes([signature_type]) + bytes(32)))
