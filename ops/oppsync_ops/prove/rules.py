"""How the CRM misbehaves: fault rules of the simulator, each a probability per request, drawn from the seed.

Draws are keyed by job and by how often that job was seen, so that no interleaving changes what a job meets first.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from oppsync_ops.prove.form import Form
from oppsync_ops.prove.load import INSTANCES, TIGHT

LOST: Final = 0.05
"""Writes that are carried out and whose answer never comes: the fault that makes doubles."""

THROTTLES: Final = 2
"""Times a rule throttles an instance: each costs it a cool-down, and a slow climb back to its pace."""

WRITE: Final = "/crmopportunity*"


@dataclass(frozen=True, slots=True)
class Rule:
    """One fault of the CRM: its name for people, and the simulator's rule."""

    name: str
    given: dict[str, Any]

    def document(self) -> dict[str, Any]:
        """As the simulator is told."""
        return {"name": self.name, **self.given}


def rules_for(form: Form, *, killer_mark: str | None = None) -> tuple[Rule, ...]:
    """All rules, in the order in which the simulator tries them.

    Args:
        form: how late is late.
        killer_mark: the job that takes its workers down; its call is slow, so that it can be caught, and has no effect.
    """
    slow = {"action": "slow", "ms": 6_000, "commit": "never", "marker": killer_mark}
    return (
        *([Rule("the killer's slow call", slow)] if killer_mark else []),
        *_writes(form),
        *_look_ups(),
        *_throttles(),
        Rule("connection closed on arrival", {"action": "close_on_accept", "p": 0.01}),
    )


def _writes(form: Form) -> Iterator[Rule]:
    write = {"path": WRITE}
    create, update = {**write, "method": "POST"}, {**write, "method": "PUT"}
    late, too_slow_ms = {"action": "late_commit", "s": form.late_s}, form.too_slow_s * 1000
    yield Rule("answer lost after commit", {"action": "drop_after_commit", "p": LOST / 2, **write})
    yield Rule(
        "answer lost after commit, list lags",
        {"action": "drop_after_commit", "p": LOST / 2, "lag_s": form.lag_s, **write},
    )
    yield Rule("create committed late, 504", {**late, "p": 0.01, **create})
    yield Rule(
        "create committed late, silence", {**late, "answer": "silence", "hang_s": form.too_slow_s, "p": 0.005, **create}
    )
    yield Rule("update committed late, 504", {**late, "p": 0.01, **update})
    yield Rule("dropped before commit", {"action": "drop_before_commit", "p": 0.01, **write})
    yield Rule("reset after commit", {"action": "drop_after_commit", "how": "rst", "p": 0.005, **write})
    yield Rule("HTML page, not committed", {"action": "gateway", "p": 0.01, **write})
    yield Rule("HTML page, committed", {"action": "gateway", "status": 504, "commit": "yes", "p": 0.01, **write})
    yield Rule("500, not committed", {"action": "http", "p": 0.01, **write})
    yield Rule(
        "503, committed", {"action": "http", "status": 503, "body": "empty", "commit": "yes", "p": 0.005, **write}
    )
    yield Rule("200 with an HTML page", {"action": "bad_200", "kind": "html", "p": 0.005, **write})
    yield Rule("200 cut short", {"action": "bad_200", "kind": "cut", "p": 0.005, **write})
    yield Rule("200 without an id", {"action": "bad_200", "kind": "missing_id", "p": 0.005, **create})
    yield Rule("slow answer", {"action": "slow", "ms": form.slow_s * 1000, "p": 0.03, **write})
    yield Rule(
        "too slow, committed at the end", {"action": "slow", "ms": too_slow_ms, "commit": "end", "p": 0.006, **write}
    )
    yield Rule("new record missing from lists", {"action": "visibility_lag", "s": form.lag_s, "p": 0.05})


def _look_ups() -> Iterator[Rule]:
    yield Rule("look-up refused (400)", {"action": "lead_list_400", "p": 0.03})
    yield Rule("look-up down (503)", {"action": "lead_list_down", "p": 0.03})
    yield Rule("look-up: HTML page", {"action": "gateway", "p": 0.03, "method": "GET"})


def _throttles() -> Iterator[Rule]:
    """A throttle teaches a lower limit: one instance gets none, and stays at the very edge of its own."""
    for instance in (name for name in INSTANCES if name != TIGHT):
        often = {"instance": instance, "times": THROTTLES}
        yield Rule(f"throttled, 401 ({instance})", {"action": "throttle_burst", "n": 2, "p": 0.02, **often})
        yield Rule(f"look-up throttled, 401 ({instance})", {"action": "throttle_reads", "p": 0.1, **often})
