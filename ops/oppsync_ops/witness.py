"""The simulated CRM as a process, asked and told through its control endpoints: the witness of every measurement."""

import json
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from oppsync_ops.processes import Child, ProcessEnded, Processes, clean_environ

ANSWER_TIMEOUT_S: Final = 30.0
OUTAGE_PATIENCE_S: Final = 30.0
"""How long it is asked again when nobody listens: an outage that was asked for ends by itself."""


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
    def start(cls, processes: Processes, *options: str) -> "Witness":
        """Start one on a free port, with options of `oppsync simulator`.

        Raises:
            ProcessEnded: it did not come up.
        """
        arguments = [sys.executable, "-m", "oppsync_ops.cli.main", "simulator", "--port", "0", *options]
        child = processes.start("simulator", arguments, clean_environ(), talks=True)
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

    def journal(self, kind: str) -> list[dict[str, Any]]:
        """Its rows of one kind, `request` or `automation`, of all instances."""
        return list(self._ask(f"journal?kind={kind}")["rows"])

    def records(self) -> list[dict[str, Any]]:
        """Every opportunity it holds, archived ones included, with the updates applied to it in order."""
        return list(self._ask("records")["records"])

    def received(self) -> int:
        """How many requests have arrived so far, for all instances together."""
        return sum(one["received"] for one in self._ask("counters")["instances"].values())

    def counters(self) -> dict[str, Any]:
        """Everything it counts."""
        return dict(self._ask("counters"))

    def declare(self, instance: Mapping[str, Any]) -> None:
        """Add an instance."""
        self._ask("instances", method="POST", body=instance)

    def add_faults(self, rules: Sequence[Mapping[str, Any]]) -> None:
        """Add fault rules; the first that matches wins."""
        self._ask("faults", method="POST", body=list(rules))

    def faults(self) -> list[dict[str, Any]]:
        """The fault rules in force, each with how often it has struck."""
        return list(self._ask("faults")["faults"])

    def lift_faults(self) -> None:
        """Remove every fault rule."""
        self._ask("faults", method="DELETE")

    def refuse(self, seconds: float) -> None:
        """Nobody listens for so long; connections that are open stay so."""
        self._ask("refuse", method="POST", body={"s": seconds})

    def _ask(self, path: str, *, method: str = "GET", body: object = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        # An address on loopback that the simulator itself has given.
        request = urllib.request.Request(  # noqa: S310
            f"{self.url}/__sim/{path}", data=data, method=method, headers={"Content-Type": "application/json"}
        )
        deadline = time.monotonic() + OUTAGE_PATIENCE_S
        while True:
            try:
                with urllib.request.urlopen(request, timeout=ANSWER_TIMEOUT_S) as answer:  # noqa: S310
                    return json.load(answer)
            except urllib.error.HTTPError as error:
                raise ValueError(f"the simulator refused {method} {path}: {error.read().decode()}") from None
            except OSError:
                self.child.must_run()
                if time.monotonic() > deadline:
                    raise
            time.sleep(0.05)
