"""The pass before the sending: every line looked at, nothing kept but what a person wants to know."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from oppsync.files.amounts import DecimalMark
from oppsync.files.csv_lines import Encoding
from oppsync.files.lines import BadLine, GoodLine
from oppsync.files.reading import NO_DEFAULTS, Pass
from oppsync.files.source import Fingerprint, Progress, Source
from oppsync_worker.contract.names import Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a file holds: how many jobs of each kind, how many bad lines, and the first of those."""

    path: Path
    kinds: Mapping[Kind, int]
    bad: int
    bad_lines: tuple[BadLine, ...]
    fingerprint: Fingerprint

    @property
    def good(self) -> int:
        """How many lines are jobs."""
        return sum(self.kinds.values())

    @property
    def total(self) -> int:
        """How many lines hold anything, a CSV file's header apart."""
        return self.good + self.bad


def check(
    path: Path,
    *,
    defaults: Mapping[str, Any] = NO_DEFAULTS,
    decimal: DecimalMark = "auto",
    kind: Kind | None = None,
    encoding: Encoding = "utf-8",
    keep: int = 20,
    progress: Progress | None = None,
) -> Report:
    """Validate the whole file; `keep` is how many bad lines are remembered, the rest is as for `read_jobs`.

    Raises:
        FileError: the file cannot be read at all, or the defaults are wrong.
    """
    # Derived keys cannot be wrong, and cost memory: the pass that sends makes them.
    one_pass = Pass(path, defaults=defaults, decimal=decimal, kind=kind, encoding=encoding, key_from="none")
    kinds = dict.fromkeys(Kind, 0)
    bad = 0
    bad_lines: list[BadLine] = []
    with Source(path, progress=progress) as source:
        for line in one_pass.lines(source):
            match line:
                case GoodLine(job=job):
                    kinds[job.kind] += 1
                case BadLine():
                    bad += 1
                    if len(bad_lines) < keep:
                        bad_lines.append(line)
        fingerprint = source.fingerprint()
    return Report(
        path=path, kinds=MappingProxyType(kinds), bad=bad, bad_lines=tuple(bad_lines), fingerprint=fingerprint
    )
