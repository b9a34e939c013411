"""`keys.toml`: how old keys may become in this home, before `heptad keys` calls them due.

The file may be absent. Defaults are those of NIST SP 800-57 part 1 (revision 5, section 5.3.6) for
private signature keys, one to three years, at the short end for keys that are easy to exchange.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

from heptad.runtime.config.decode import Between, read

KEY_AGES_FILE: Final = "keys.toml"

Days = Annotated[int, Between(1, 36_500)]


@dataclass(frozen=True, slots=True)
class KeyAges:
    """Days after which a key is due, and before its end a certificate."""

    # A relying service's signing key.
    service_days_max: Days = 365
    # A validator's batch key.
    batch_days_max: Days = 365
    # The ledger's key for checkpoints: every auditor has to get a new policy when it changes.
    log_days_max: Days = 730
    # The ledger's key for certificates of erasure and records of access.
    attestation_days_max: Days = 365
    # How long two keys of one duty may overlap, before the rotation is to be finished.
    overlap_days_max: Days = 30
    # How long before the end of a certificate a new one is due.
    tls_days_left_min: Days = 60
    # The same for the CA's own, to which every member's trust has to be moved first.
    ca_days_left_min: Days = 365


def load_key_ages(home: Path) -> KeyAges:
    """Read `keys.toml`, or the defaults if there is none. Raises: ConfigInvalidError."""
    path = home / KEY_AGES_FILE
    return read(KeyAges, path) if path.exists() else KeyAges()
