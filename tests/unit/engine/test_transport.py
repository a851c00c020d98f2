"""Handing a claimed message on: it neither raises, nor is it forgotten with its lease renewed."""

from types import SimpleNamespace
from typing import Any

import pytest

from oppsync_worker.contract.jobs import CreateOpportunity
from oppsync_worker.contract.states import Cause
from oppsync_worker.contract.wire import encode
from oppsync_worker.engine import transport
from oppsync_worker.engine.hands import Hands
from oppsync_worker.engine.transport import Channel
from oppsync_worker.ledger.claims import Claimed

GOOD = encode(CreateOpportunity(instance="acme", funnel_id=7, title="T", crm_column=130)).encode()


class Engine:
    """Keeps what was buried."""

    def __init__(self) -> None:
        self.hands = Hands()
        self.hands.take("7")
        self.buried: list[tuple[str, Cause, str]] = []

    def bury(self, tag: str, message: Any, *, cause: Cause, detail: str) -> None:
        assert tag == "7"
        self.buried.append((message["task"], cause, detail))


def channel(deliver: Any) -> Any:
    """A channel of kombu's without a connection."""
    one = Channel.__new__(Channel)
    one.engine = Engine()
    one.connection = SimpleNamespace(_deliver=deliver)
    one.acked = []
    one._qos = SimpleNamespace(_quick_ack=one.acked.append)
    return one


def fail(*_: object) -> None:
    """A defect."""
    raise ZeroDivisionError


def test_what_cannot_be_read_is_buried_once_with_its_task() -> None:
    """Celery never sees it."""
    one = channel(fail)

    one._hand_on(Claimed("7", "opportunities.bulk", GOOD.replace(b'{\\"v', b'[\\"v')))

    assert one.engine.buried == [("opportunities.create", Cause.UNDECODABLE, "the body is not JSON that can be read")]
    assert len(one.engine.hands) == 0
    assert one.acked == []


def test_a_defect_in_reading_is_buried_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under a cause of its own, and with its name."""
    monkeypatch.setattr(transport, "prepare", fail)
    one = channel(fail)

    one._hand_on(Claimed("7", "opportunities.bulk", GOOD))

    assert one.engine.buried == [("", Cause.INTERNAL, "the message cannot be read: ZeroDivisionError")]
    assert len(one.engine.hands) == 0


def test_a_message_that_celery_does_not_take_is_left_to_its_lease() -> None:
    """It was written here and is not to blame: another worker may have it, and nothing is buried."""
    one = channel(fail)

    one._hand_on(Claimed("7", "opportunities.bulk", GOOD))

    assert one.engine.buried == []
    assert len(one.engine.hands) == 0
    assert one.acked == ["7"]
