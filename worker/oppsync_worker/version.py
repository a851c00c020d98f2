"""The version that speaks here: in dead letters, results, the Sentry release and the User-Agent. One word for all."""

from functools import cache
from importlib.metadata import PackageNotFoundError, version


@cache
def release() -> str:
    """The installed distribution's version, `0+source` when run from a bare tree."""
    try:
        return version("opportunity-sync")
    except PackageNotFoundError:
        return "0+source"
