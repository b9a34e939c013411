"""The version of the installed distribution, read once."""

from importlib.metadata import PackageNotFoundError, version
from typing import Final


def _installed_version() -> str:
    try:
        return version("heptad")
    except PackageNotFoundError:
        # Run from a source tree that nobody installed.
        return "0+unknown"


VERSION: Final = _installed_version()
