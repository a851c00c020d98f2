"""A request leaves when it is handed to the network: not before there is a connection, nor when its answer comes."""

import asyncio
import time
from typing import Any, Final

import pytest

from integration.crm.loopback import Wire, naming, serving
from integration.crm.test_one_call_one_request import CREATE, LOOK, UPDATE, another, outcome
from oppsync_worker.crm.client import CrmClient
from oppsync_worker.crm.connections import Connector
from oppsync_worker.departures import departing

SLOW_S: Final = 0.2


async def slow_answers(wire: Wire) -> None:
    """Each answer names its call, and takes its time."""
    while request := await wire.request():
        await asyncio.sleep(SLOW_S)
        await wire.answer(naming(request))


async def departures(client: CrmClient, job: Any, url: str) -> list[float]:
    """When the request of one call left."""
    left: list[float] = []
    with departing(lambda: left.append(time.monotonic())):
        await outcome(client, job, url)
    return left


@pytest.mark.parametrize("job", [CREATE, UPDATE, LOOK], ids=["POST", "PUT", "GET"])
async def test_it_leaves_when_there_is_a_connection(job: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow name, a lost SYN, a long way to shake hands: the CRM counts the request when it comes."""
    connect = Connector.connect

    async def slowly(self: Connector, *given: Any, **more: Any) -> Any:
        await asyncio.sleep(SLOW_S)
        return await connect(self, *given, **more)

    monkeypatch.setattr(Connector, "connect", slowly)
    async with serving(slow_answers) as seen, CrmClient() as client:
        began = time.monotonic()
        (left,) = await departures(client, job, seen.url)
        ended = time.monotonic()

    assert began + SLOW_S <= left <= ended - SLOW_S


async def test_each_call_has_its_own() -> None:
    """Also on a connection that another call had before, and while others are under way."""

    async def trip(client: CrmClient, url: str, number: int) -> tuple[float, float, float]:
        began = time.monotonic()
        (left,) = await departures(client, another(CREATE, number), url)
        return began, left, time.monotonic()

    async with serving(slow_answers) as seen, CrmClient() as client:
        trips = []
        for number in range(4):
            trips += await asyncio.gather(*(trip(client, seen.url, number + more) for more in (0, 9)))

    assert seen.connections < len(trips), "no connection was used again"
    for began, left, ended in trips:
        assert began <= left <= ended - SLOW_S


async def test_what_never_left_has_no_departure() -> None:
    """Nobody listens there."""
    async with serving(slow_answers) as seen:
        pass
    async with CrmClient() as client:
        assert await departures(client, UPDATE, seen.url) == []
