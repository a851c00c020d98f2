"""A request left when it was handed to the network: not before there is a connection, and not when its answer comes."""

import asyncio
import time
from typing import Any, Final

import pytest

from integration.crm.loopback import OK, Wire, serving
from integration.crm.test_one_call_one_request import CREATE, UPDATE, another, every, outcome
from oppsync_worker.crm.client import CrmClient
from oppsync_worker.crm.connections import Connector
from oppsync_worker.departures import current, departing

SLOW_S: Final = 0.2


async def slow_answers(wire: Wire) -> None:
    """Each answer takes its time."""
    while await wire.request():
        await asyncio.sleep(SLOW_S)
        await wire.answer(OK)


@every
async def test_it_leaves_when_there_is_a_connection(job: Any, unsettled: type, monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow name, a lost SYN, a long way to shake hands: the CRM counts the request when it comes."""
    connect = Connector.connect

    async def slowly(self: Connector, *given: Any, **more: Any) -> Any:
        await asyncio.sleep(SLOW_S)
        return await connect(self, *given, **more)

    monkeypatch.setattr(Connector, "connect", slowly)
    async with serving(slow_answers) as seen, CrmClient() as client:
        began = time.monotonic()
        with departing() as departure:
            await outcome(client, job, seen.url)
        ended = time.monotonic()

    assert departure.at is not None
    assert began + SLOW_S <= departure.at <= ended - SLOW_S
    assert unsettled


async def test_each_call_has_its_own() -> None:
    """Also on a connection that another call had before, and while others are under way."""

    async def at(client: CrmClient, url: str, number: int) -> tuple[float, float, float]:
        began = time.monotonic()
        with departing() as departure:
            await outcome(client, another(CREATE, number), url)
        assert departure.at is not None
        return began, departure.at, time.monotonic()

    async with serving(slow_answers) as seen, CrmClient() as client:
        trips = [
            trip
            for number in range(3)
            for trip in await asyncio.gather(*(at(client, seen.url, number + i) for i in (0, 9)))
        ]

    for began, left, ended in trips:
        assert began <= left <= ended - SLOW_S


async def test_what_never_left_has_no_departure() -> None:
    """Nobody listens there. And where nobody counts, nothing is kept."""
    async with serving(slow_answers) as seen, CrmClient() as client:
        pass
    async with CrmClient() as client:
        with departing() as departure:
            await outcome(client, UPDATE, seen.url)

    assert departure.at is None
    current().leaves()
    assert current().at is None
