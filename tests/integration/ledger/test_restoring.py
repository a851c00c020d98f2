"""Only claims whose owner really fell silent are taken back."""

from collections.abc import Iterator

import pytest
import redis

from oppsync import CreateOpportunity
from oppsync_worker.ledger import claims, enqueuing, keys
from oppsync_worker.ledger.scripts import Call, run
from stage import claiming

QUEUE = "opportunities.interactive"


@pytest.fixture
def silent(ledger: redis.Redis) -> str:
    """The tag of a claim whose lease ran out."""
    run(
        ledger,
        enqueuing.enqueue(CreateOpportunity(instance="acme", funnel_id=7, title="T", crm_column=1, lead_id=1)),
    )
    (one,), _ = claims.claimed(run(ledger, claiming([QUEUE], most=1)))
    ledger.zadd(keys.LEASES, {one.tag: 1})
    return one.tag


@pytest.fixture
def full(ledger: redis.Redis) -> Iterator[redis.Redis]:
    """A Redis that refuses whatever needs memory."""
    ledger.config_set("maxmemory", "1")
    try:
        yield ledger
    finally:
        ledger.config_set("maxmemory", "0")


def restoring(*, not_after_ms: int | None = None) -> Call:
    """What housekeeping asks."""
    return claims.restore(most=10, crashes=3, ttl_s=60, not_after_ms=not_after_ms)


def test_a_redis_that_is_full_keeps_leases_that_nobody_can_renew(silent: str, full: redis.Redis) -> None:
    """It refuses both: renewing, and taking for lost what was not renewed."""
    with pytest.raises(redis.ResponseError, match=r"OOM|used memory > 'maxmemory'"):
        run(full, claims.renew([silent], lease_ms=60_000))

    with pytest.raises(redis.ResponseError, match=r"OOM|used memory > 'maxmemory'"):
        run(full, restoring())

    assert full.zscore(keys.LEASES, silent) == 1


def test_a_call_that_arrives_late_takes_nothing_back(silent: str, ledger: redis.Redis) -> None:
    """It was on its way while nobody could renew."""
    seconds, _ = ledger.time()

    assert run(ledger, restoring(not_after_ms=(seconds - 1) * 1000)) == [0, 0, []]
    assert ledger.zscore(keys.LEASES, silent) == 1
    assert run(ledger, restoring(not_after_ms=(seconds + 60) * 1000)) == [1, 0, []]
