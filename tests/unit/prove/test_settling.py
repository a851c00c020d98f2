"""What the audit is given is how things stand when everything is over, and not when they were first seen."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, cast

import pytest

from oppsync_ops.prove.contender import Contender
from oppsync_ops.prove.evidence import Seen
from oppsync_ops.prove.producers import Producers
from oppsync_ops.prove.settling import settle
from oppsync_ops.prove.stage import Stage
from oppsync_worker.contract.states import State
from unit.prove.world import CREATE, DONE, FIRST


class Forgets:
    """A set-up that knows the end of both jobs once, and later forgets one and has the other in line again."""

    quiet_s = patience_s = 60.0

    def __init__(self) -> None:
        self._said = iter([{CREATE.job_id: DONE, FIRST.job_id: DONE}])

    def seen(self, _client: object, _job_ids: list[str]) -> dict[str, Seen]:
        """As it stands."""
        return next(self._said, {CREATE.job_id: Seen(State.UNKNOWN), FIRST.job_id: Seen(State.QUEUED)})


@contextmanager
def nobody() -> Iterator[None]:
    """Stands for a client of Redis."""
    yield None


def test_an_outcome_that_goes_after_it_was_seen_is_no_outcome(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor is a job at its end that comes back to life."""
    monkeypatch.setattr("time.sleep", lambda _s: None)
    form = SimpleNamespace(lease_s=0.0, late_s=0.0, too_slow_s=0.0)
    stage: Any = SimpleNamespace(
        plan=SimpleNamespace(form=form),
        redis=SimpleNamespace(client=nobody),
        crm=SimpleNamespace(received=lambda: 0),
    )
    producers: Any = SimpleNamespace(so_far=lambda: [CREATE.job_id, FIRST.job_id], left=0)

    settled = settle(
        cast("Stage", stage), cast("Contender", Forgets()), cast("Producers", producers), lambda _ended, _of: None
    )

    assert settled.seen[CREATE.job_id].state is State.UNKNOWN
    assert settled.seen[FIRST.job_id].state is State.QUEUED
