"""The simulated CRM as a measurement sees it: a process, asked through its control endpoints."""

import json
import urllib.request
from dataclasses import dataclass
from typing import Any

from oppsync_ops.bench.processes import Child, ProcessEnded

ANSWER_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Call:
    """One request that reached the CRM: when (seconds since 1970) and how it was answered."""

    at_s: float
    status: int | None

    @property
    def succeeded(self) -> bool:
        """Whether the answer was a 2xx."""
        return self.status is not None and self.status // 100 == 2  # noqa: PLR2004 - 2xx is the name of it


@dataclass(frozen=True, slots=True)
class Counts:
    """What the CRM has counted for one instance so far."""

    answered: int
    throttled: int
    duplicates: int


@dataclass(frozen=True, slots=True)
class Witness:
    """A running simulator."""

    url: str
    child: Child

    @classmethod
    def of(cls, child: Child) -> "Witness":
        """The simulator in a process that was just started, as soon as it says where it is.

        Raises:
            ProcessEnded: it did not come up.
        """
        line = child.process.stdout.readline() if child.process.stdout else b""
        if not line:
            child.process.wait()
            raise ProcessEnded(f"the simulator did not start: {child.last_words()}")
        return cls(json.loads(line)["url"], child)

    def counts(self, instance: str) -> Counts:
        """What it has counted."""
        found = self._ask(f"counters?instance={instance}")["instances"].get(instance, {})
        return Counts(*(int(found.get(name, 0)) for name in ("answered", "throttled", "duplicates")))

    def calls(self, instance: str) -> list[Call]:
        """Every request it has answered, in the order in which they arrived."""
        rows = self._ask(f"journal?kind=request&instance={instance}")["rows"]
        return sorted((Call(row["at"], row["status"]) for row in rows), key=lambda call: call.at_s)

    def _ask(self, path: str) -> Any:
        # An address on loopback that the simulator itself has given.
        with urllib.request.urlopen(f"{self.url}/__sim/{path}", timeout=ANSWER_TIMEOUT_S) as answer:  # noqa: S310
            return json.load(answer)
