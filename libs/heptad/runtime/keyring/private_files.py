"""Private keys as they lie in a member's folder: the one in use, and the one that is to follow."""

from pathlib import Path

from heptad.crypto.keys import Ed25519Key, KeyRole, load_service_key, save_key
from heptad.runtime.disk import rename


def begin_next(keys: Path, duty: KeyRole) -> tuple[Ed25519Key, bool]:
    """The key that is to follow, durable before its public half is known to anybody.

    Made if there is none; the second value tells. Raises: KeyFileError.
    """
    path = keys / duty.next_file_name
    if path.exists():
        return load_service_key(path), False
    key = Ed25519Key.generate()
    save_key(path, key)
    return key, True


def next_key(keys: Path, duty: KeyRole) -> Ed25519Key | None:
    """The key that is to follow, if one was begun. Raises: KeyFileError."""
    path = keys / duty.next_file_name
    return load_service_key(path) if path.exists() else None


def take_over(keys: Path, duty: KeyRole) -> None:
    """Put the next key in the place of the one in use, which is gone with that. Raises: OSError.

    One rename: if we crash before it, the old key is in use, after it the new one.
    """
    rename(keys / duty.next_file_name, keys / duty.file_name)
