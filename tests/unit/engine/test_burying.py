"""The last net under a message: whatever goes wrong with it, Celery hears nothing of it."""

from typing import Any

import pytest

from oppsync_worker.contract.states import Cause
from oppsync_worker.engine.engine import Engine
from oppsync_worker.engine.hands import Hold


class Broken:
    """A Redis client, or a listener, with a defect."""

    def __getattr__(self, name: str) -> Any:
        raise ZeroDivisionError(name)


def engine() -> Engine:
    """With a claim in hand, and nothing that works."""
    one = Engine(redis_url="redis://127.0.0.1:1/0", lease_s=1, ttl_s=1, concurrency=1, reporter=Broken())  # type: ignore[arg-type]
    one._redis = Broken()  # type: ignore[assignment]
    one.hands.take("7")
    return one


@pytest.mark.parametrize("message", [None, {}, {"task": "\ud800"}, {"task": ["x"]}])
def test_burying_never_raises(message: dict[str, Any] | None) -> None:
    """The claim is left to its lease: it is no longer renewed, and will be restored."""
    one = engine()

    one.bury("7", message, cause=Cause.MALFORMED, detail="\ud800")

    assert one.hands.to_renew() == []
    assert one.hands.drop("7") is Hold.ABANDONED


def test_acknowledging_never_raises() -> None:
    """Celery ends the worker for what escapes here."""
    one = engine()

    one.acknowledged("7")

    assert len(one.hands) == 0
