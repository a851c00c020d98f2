"""What the audit is given is everything there is."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from oppsync_ops.processes import ProcessEnded
from oppsync_ops.prove.collecting import kept_back, whole_journal
from oppsync_ops.prove.neighbours import Neighbour, Trouble
from oppsync_ops.prove.poison import Poison
from oppsync_ops.prove.producers import Handed
from oppsync_ops.witness import Witness
from unit.prove.world import CREATE

ROW: dict[str, Any] = {"at": 1.0, "instance": "alder", "method": "GET", "path": "/x", "status": 200}


class Remembers:
    """A witness that has received three requests, and tells of so many each time it is asked."""

    def __init__(self, *rows: int) -> None:
        self._rows = list(rows)

    def received(self) -> int:
        """As its counters say."""
        return 3

    def journal(self, _kind: str) -> list[dict[str, Any]]:
        """The rows that are there."""
        rows = self._rows.pop(0) if len(self._rows) > 1 else self._rows[0]
        return [{**ROW, "fault": None, "marker": None}] * rows


def test_a_call_that_is_not_over_yet_is_waited_for() -> None:
    """Its row is written at its end."""
    found = whole_journal(cast("Witness", Remembers(2, 3)), patience_s=60)

    assert len(found) == 3


def test_nothing_is_concluded_from_a_journal_with_gaps() -> None:
    """One request too many could be among those that are forgotten."""
    with pytest.raises(ProcessEnded, match="received 3 requests, and its journal tells of 2"):
        whole_journal(cast("Witness", Remembers(2)), patience_s=0)


def test_a_hostile_element_that_nobody_pushed_and_a_neighbour_that_never_came_are_told() -> None:
    """What was not tried proves nothing."""
    pushed, kept = (Poison(name, 0.1, "bulk", name.encode()) for name in ("poison-1", "poison-2"))
    here, away = (Neighbour(name, Trouble.HELD, 40, 45, 8) for name in ("elm", "fir"))
    plan: Any = SimpleNamespace(poison=(pushed, kept), neighbours=(here, away))
    handed = Handed(jobs={"elm-r1-v0": replace(CREATE, instance="elm")}, poison=[pushed])

    assert list(kept_back(plan, handed)) == ["poison-2", f"fir: {Trouble.HELD}"]
