"""What `heptad register` remembers beside a key: whose it is, and in which cell.

With it `heptad sign --key alice.jwk …` needs neither a subject id nor a network. It holds no
secret, but a subject's id, so it is for its owner only.
"""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class SubjectFile:
    """A registered subject: its id, the cell's origin, the key's thumbprint."""

    subject_id: str
    origin: str
    kid: str


def path_beside(key: Path) -> Path:
    """`alice.subject` for `alice.jwk`."""
    return key.with_suffix(".subject")


def save(path: Path, subject: SubjectFile) -> None:
    """Write the file with mode 0600, over an older one. Raises: OSError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(asdict(subject), file)
        file.write("\n")


def load(path: Path) -> SubjectFile | None:
    """Read the file; None where there is none. Raises: OSError, also for what is no such file."""
    try:
        members = json.loads(path.read_bytes())
        return SubjectFile(**{name: str(value) for name, value in members.items()})
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, AttributeError):
        raise OSError(0, "is not what `heptad register` writes", str(path)) from None
