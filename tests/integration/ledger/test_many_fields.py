"""An update that sets ten thousands of custom fields: it is sent, remembered and forgotten like any other."""

import pytest
import redis

from integration.ledger.aborting import Aborter, everything
from integration.ledger.desk import Desk, change
from integration.ledger.test_same_id import foreign
from oppsync_worker.contract.jobs import UpdateOpportunity
from oppsync_worker.contract.states import State
from oppsync_worker.ledger import ends, keys, operating

FIELDS = {f"f{number}": 0 for number in range(14_000)}


@pytest.fixture
def desk(ledger: redis.Redis) -> Desk:
    """An instance without limits."""
    return Desk(ledger)


def dead(desk: Desk, job: UpdateOpportunity) -> None:
    """A letter that may be replayed."""
    desk.enqueue(job)
    hand, _, _ = desk.send_next()
    desk.bury(hand)


def carried_out(desk: Desk) -> int:
    """One that another application sends (our own producers are held to 64 KiB); how many commands its end took."""
    job = change(5, fields=FIELDS)
    desk.client.lpush("opportunities.bulk", foreign(change(5, lane="bulk"), fields=FIELDS))
    hand, _, _ = desk.send_next()
    desk.client.config_resetstat()
    effects = ends.Effects(answers=True, wrote=job.written())
    desk.run(ends.succeed(hand, opportunity_id=5, result={}, effects=effects))
    return sum(counted["calls"] for counted in desk.client.info("commandstats").values())


def test_what_it_has_written_is_remembered_at_once(desk: Desk) -> None:
    """For others Redis stands still meanwhile."""
    letter = change(5, title="old", fields={"f1": 1, "f13999": 1, "mine": 1})
    dead(desk, letter)

    commands = carried_out(desk)

    assert commands < 300
    assert desk.client.hlen(keys.PREFIX + "newer:acme:id:5") == len(FIELDS) + 1
    assert desk.replay(letter) == "dead"
    _, _, go = desk.send_next()
    assert set(go.overwritten) == {"title", "fields.f1", "fields.f13999"}


def test_what_it_has_written_comes_back_with_an_aborted_script(desk: Desk) -> None:
    """Were it too much to be put back, newer values would be overwritten by a replay."""
    letter = change(5, title="old")
    dead(desk, letter)
    carried_out(desk)
    before = everything(desk.client)

    Aborter().run(desk.client, operating.discard(letter.job_id, state=State.DEAD, by="me", ttl_s=60))

    assert before != everything(desk.client)
    assert not desk.client.exists(keys.PREFIX + "newer:acme:id:5")
