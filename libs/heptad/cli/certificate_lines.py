"""A certificate of erasure in words, for `heptad verify` and `heptad erase`."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from heptad.model.erasure import ErasureCertificate


def time_text(time_ms: int) -> str:
    """A time of a certificate, in UTC."""
    return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def certificate_lines(certificate: "ErasureCertificate") -> list[str]:
    """What it says, line by line."""
    until = certificate.beyond_use_until_ms
    backups = (
        "no backup can restore the key"
        if until is None
        else f"backups that could restore the key are out of use, and expire {time_text(until)}"
    )
    read_back = "read back: nothing of it" if certificate.read_back else "NOT read back"
    return [
        f"ordered  {time_text(certificate.ordered_at_ms)} by {certificate.ordered_by}, entry "
        f"{certificate.order_index}: {certificate.ground} (GDPR, {certificate.ground.article})",
        f"erased   {time_text(certificate.erased_at_ms)}: {certificate.ciphertexts} ciphertexts, "
        f"{certificate.index_rows} rows; slot {certificate.slot}",
        f"key      root key {certificate.epoch_old} destroyed in a {certificate.backend} "
        f"({read_back}); {certificate.caveat}",
        f"leases   none from {time_text(certificate.leases_drained_at_ms)} on",
        f"copies   replicas delete theirs by {time_text(certificate.replicas_drop_by_ms)}; "
        "nobody can open them",
        f"links    routing headers of old copies tell nothing from "
        f"{time_text(certificate.link_until_ms)} on",
        f"backups  {backups}",
        f"remains  {', '.join(certificate.remains)}",
        f"by       {certificate.software}",
    ]
