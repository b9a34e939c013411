"""What a check finds: a verdict, what was looked at, the figures, and what to do."""

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """OK; WARN: works, and will not for ever; FAIL: does not work, or must not go on so."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the doctor's. `advice` is empty where there is nothing to do."""

    area: str
    verdict: Verdict
    detail: str
    advice: str = ""


def ok(area: str, detail: str) -> Finding:
    """All is well."""
    return Finding(area, Verdict.OK, detail)


def warn(area: str, detail: str, advice: str) -> Finding:
    """It works, and somebody should see to it."""
    return Finding(area, Verdict.WARN, detail, advice)


def fail(area: str, detail: str, advice: str) -> Finding:
    """It does not work, or is dangerous."""
    return Finding(area, Verdict.FAIL, detail, advice)
