"""Many signatures at once: the answers stand in the order of the questions."""

import pytest

from heptad.crypto.errors import KeyInvalidError, SignatureInvalidError
from heptad.crypto.keys import Ed25519Key, P256Key
from heptad.crypto.signatures import Algorithm
from heptad.crypto.verifier import CHUNK_MIN, BatchVerifier, SignatureCheck


def _check(key: Ed25519Key | P256Key, number: int) -> SignatureCheck:
    message = b"message %d" % number
    return SignatureCheck(key.public.algorithm, key.public.raw, message, key.sign(message))


@pytest.mark.parametrize("count", [0, 1, CHUNK_MIN, 2 * CHUNK_MIN - 1, 2 * CHUNK_MIN, 151])
def test_each_bad_signature_is_found_in_its_place(
    ed25519_key: Ed25519Key, p256_key: P256Key, count: int
) -> None:
    checks = [_check((ed25519_key, p256_key)[n % 2], n) for n in range(count)]
    bad = {n for n in range(count) if n % 7 == 3 or n == count - 1}
    for n in bad:
        good = checks[n]
        checks[n] = SignatureCheck(good.algorithm, good.public_key, b"other", good.signature)

    with BatchVerifier() as verifier:
        answers = verifier.verify(checks)

    assert len(answers) == count
    assert {n for n, answer in enumerate(answers) if answer is not None} == bad
    assert all(isinstance(answers[n], SignatureInvalidError) for n in bad)


def test_an_unusable_key_is_an_answer_and_no_crash() -> None:
    with BatchVerifier() as verifier:
        (answer,) = verifier.verify([SignatureCheck(Algorithm.ES256, b"", b"", bytes(64))])

    assert isinstance(answer, KeyInvalidError)


def test_small_lists_never_wake_the_helper(ed25519_key: Ed25519Key) -> None:
    verifier = BatchVerifier()
    verifier.close()

    checks = [_check(ed25519_key, n) for n in range(2 * CHUNK_MIN - 1)]

    assert verifier.verify(checks) == [None] * len(checks)
