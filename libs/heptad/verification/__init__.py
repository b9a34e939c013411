"""Judging what a log says, off line: receipts, evidence, whole logs, and one log against another.

Nothing here trusts a server. Bytes come in (a file, or a `TileSource`: a log's public files at an
HTTP address or in a folder), a policy that the caller has from elsewhere says whom to believe, and
out comes each step of the arithmetic, so that a person can follow it and a program can branch on
it.
"""

from heptad.verification.alarm_file import encode_alarm, is_alarm, parse_alarm
from heptad.verification.alarm_judging import AlarmReport, examine_alarm
from heptad.verification.alarms import Alarm, Raised
from heptad.verification.bundle_file import BundleFile, is_bundle_file
from heptad.verification.bundles import (
    BundleReport,
    examine_bundle_file,
    examine_signed,
    has_bundle,
)
from heptad.verification.certificate_file import (
    CertificateFile,
    certificate_members,
    is_certificate_file,
)
from heptad.verification.certificates import (
    DOES_NOT_PROVE,
    PROVES,
    CertificateReport,
    examine_certificate_file,
)
from heptad.verification.consistency import verify_continuation, verify_continuation_by_tiles
from heptad.verification.errors import (
    AlarmUnreadableError,
    CertificateUnreadableError,
    LogInvalidError,
    ReceiptRefusedError,
    ReceiptUnreadableError,
    SourceAwayError,
    SourceUnreadableError,
    VerificationError,
)
from heptad.verification.evidence import EvidenceReport, examine_evidence, is_evidence
from heptad.verification.logs import ReadPath, VerifiedLog, verify_log
from heptad.verification.policy_changes import examine_policy_change, is_policy_change
from heptad.verification.receipt_file import ReceiptFile
from heptad.verification.receipts import (
    CLOCK_BOUND_S,
    ReceiptReport,
    examine_receipt_file,
    examine_under,
    verify_receipt_file,
)
from heptad.verification.sources import FolderSource, HttpSource, TileSource, open_source

__all__ = [
    "CLOCK_BOUND_S",
    "DOES_NOT_PROVE",
    "PROVES",
    "Alarm",
    "AlarmReport",
    "AlarmUnreadableError",
    "BundleFile",
    "BundleReport",
    "CertificateFile",
    "CertificateReport",
    "CertificateUnreadableError",
    "EvidenceReport",
    "FolderSource",
    "HttpSource",
    "LogInvalidError",
    "Raised",
    "ReadPath",
    "ReceiptFile",
    "ReceiptRefusedError",
    "ReceiptReport",
    "ReceiptUnreadableError",
    "SourceAwayError",
    "SourceUnreadableError",
    "TileSource",
    "VerificationError",
    "VerifiedLog",
    "certificate_members",
    "encode_alarm",
    "examine_alarm",
    "examine_bundle_file",
    "examine_certificate_file",
    "examine_evidence",
    "examine_policy_change",
    "examine_receipt_file",
    "examine_signed",
    "examine_under",
    "has_bundle",
    "is_alarm",
    "is_bundle_file",
    "is_certificate_file",
    "is_evidence",
    "is_policy_change",
    "open_source",
    "parse_alarm",
    "verify_continuation",
    "verify_continuation_by_tiles",
    "verify_log",
    "verify_receipt_file",
]
