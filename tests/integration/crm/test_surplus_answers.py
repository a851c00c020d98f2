"""Far ends that say more than they were asked: no answer is ever taken for the answer to another call."""

# ruff: noqa: D103 - the test tools here speak through their names

import asyncio
import contextlib
import inspect
import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

import aiohttp
import pytest
from aiohttp.client_proto import ResponseHandler
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from integration.crm.loopback import Wire, naming, serving
from oppsync_worker.contract.jobs import CreateOpportunity, UpdateOpportunity
from oppsync_worker.crm.client import CrmClient
from oppsync_worker.crm.connections import Connector, WatchedHandler
from oppsync_worker.crm.sightings import Sought
from oppsync_worker.errors import AnswerLost, AttemptError, CredentialRefused, Rejected, Throttled
from oppsync_worker.instances import InstanceSettings

HEAD_END: Final = b"\r\n\r\n"
MARKED: Final = "m-"
FIELD: Final = "Sync"


def instance(url: str, *, marked: bool = False) -> InstanceSettings:
    return InstanceSettings(
        name="acme",
        token="tok-0123456789",
        base_url=url,
        read_seconds=0.1,
        # After a 1xx only the whole call's deadline ends the silence.
        connect_seconds=2,
        call_seconds=3,
        marker_field=FIELD if marked else None,
    )


def create(lead: int) -> CreateOpportunity:
    return CreateOpportunity(instance="acme", funnel_id=12, title=f"Deal {lead}", crm_column=159, lead_id=lead)


def update(record: int) -> UpdateOpportunity:
    return UpdateOpportunity(instance="acme", funnel_id=12, opportunity_id=record, value="5")


def http(body: Any, status: bytes = b"200 OK", extra: bytes = b"") -> bytes:
    text = json.dumps(body).encode()
    return b"HTTP/1.1 %b\r\nContent-Length: %d\r\n%b\r\n%b" % (status, len(text), extra, text)


async def send(client: CrmClient, job: Any, url: str, **how: Any) -> Any:
    try:
        return await client.send(job, instance(url, **how), marker=None)
    except AttemptError as error:
        return error


async def says(wire: Wire, surplus: bytes, told: asyncio.Event, *, until_closed: bool) -> None:
    """Speak unasked, when the answer before has been read; and be done when that was said, or the client has closed."""
    await asyncio.sleep(0.01)
    await wire.answer(surplus)
    if until_closed:
        await wire.reader.read()
    told.set()


@pytest.mark.parametrize(
    "surplus",
    [
        http({"id": 999, "lead_id": 1, "crm_column": 159}),
        http({"id": 999}),
        http({"id": 999})[:-4],
        http({"id": 999})[:7],
        http([]),
        b"rest of a body",
        http({"msg": "no"}, b"408 Request Timeout", b"Connection: close\r\n"),
        http({"msg": "no"}, b"400 Bad Request"),
        b"HTTP/1.1 100 Continue\r\n\r\n",
    ],
    ids=["named", "bare", "cut", "part of a head", "list", "text", "408", "400", "1xx"],
)
@pytest.mark.parametrize(
    "when", ["with the answer", "behind its end", "while nothing is asked", "unread", "on its way"]
)
async def test_what_nobody_asked_for_ends_the_connection(surplus: bytes, when: str) -> None:
    """Whole or in part, and at whatever moment: the next create's id is its own, or it is in doubt."""
    told = asyncio.Event()
    asked: list[int] = []

    async def behave(wire: Wire) -> None:
        first = wire.seen.connections == 1
        while True:
            if first and when == "on its way" and asked:
                await wire.reader.readexactly(1)  # the next request has left
                await wire.answer(surplus)
                await wire.reader.read()
            request = await wire.request()
            asked.append(len(asked))
            answer = naming(request, opportunity_id=100 + len(asked))
            if first and when == "with the answer":
                await wire.answer(answer + surplus)
            elif first and when == "behind its end":
                await wire.answer(answer[:-9])
                await asyncio.sleep(0.01)
                await wire.answer(answer[-9:] + surplus)
            else:
                await wire.answer(answer)
            if first and when in ("while nothing is asked", "unread"):
                await says(wire, surplus, told, until_closed=when == "while nothing is asked")

    async with serving(behave) as seen, CrmClient() as client:
        found = await send(client, create(1), seen.url)
        # What cannot be told from a broken answer takes the answer with it.
        assert isinstance(found, AnswerLost) or found.opportunity_id == 101
        if when == "while nothing is asked":
            async with asyncio.timeout(20):
                await told.wait()
        elif when == "unread":
            # The bytes lie in the socket's buffer; nobody has looked since.
            loop = asyncio.get_running_loop()
            (entries,) = client._exchange._http._transport._session.connector._conns.values()  # type: ignore[attr-defined]
            entries[0][0].transport.pause_reading()
            await told.wait()
            entries[0][0].transport.resume_reading()
            assert loop.is_running()
        second = await send(client, create(2), seen.url)

    if isinstance(second, AttemptError):
        assert when == "on its way"
        # A refusal that is neither a repetition nor told with the connection's end may cross a request (limits.md).
        assert isinstance(second, AnswerLost) or b"400" in surplus
    else:
        assert second.opportunity_id == 102


async def test_a_connection_is_kept_for_calls_that_can_be_told_apart() -> None:
    """Another lead may follow; the same lead, an update or a look-up gets a connection of its own."""

    async def behave(wire: Wire) -> None:
        while True:
            await wire.answer(naming(await wire.request()))

    async with serving(behave) as seen, CrmClient() as client:
        counts = []
        look = Sought.of(create(1), instance("http://x"), marker=None)
        for job in (create(1), create(2), create(3), create(2), update(7), update(8), update(7), None, create(4)):
            if job is None:
                await client.look_by_lead(instance(seen.url), 1, sought=look)
            else:
                assert not isinstance(await send(client, job, seen.url), AttemptError)
            counts.append(seen.connections)

    assert counts == [1, 1, 1, 2, 3, 3, 4, 5, 5]


async def test_an_instance_whose_answers_name_nothing_has_no_kept_connections() -> None:
    """An id alone is believed, for nothing else was ever asked there."""

    async def behave(wire: Wire) -> None:
        while True:
            await wire.request()
            await wire.answer(http({"id": 4534}))

    async with serving(behave) as seen, CrmClient() as client:
        found = [await send(client, create(number), seen.url) for number in range(1, 6)]

    assert [record.opportunity_id for record in found] == [4534] * 5
    assert seen.connections == 5


async def test_an_answer_before_the_question_proves_nothing() -> None:
    """On a new connection, too."""

    async def behave(wire: Wire) -> None:
        await wire.answer(http({"id": 666}))
        await wire.reader.read()

    async with serving(behave) as seen, CrmClient() as client:
        connector = client._exchange._http._transport._session.connector  # type: ignore[attr-defined]
        connect = connector.connect

        async def then_wait(*given: Any, **how: Any) -> Any:
            connection = await connect(*given, **how)
            async with asyncio.timeout(5):
                while not connection.protocol._tail:  # noqa: ASYNC110 - the far end brings it about
                    await asyncio.sleep(0)
            return connection

        connector.connect = then_wait
        found = await send(client, create(1), seen.url)

    assert isinstance(found, AnswerLost)


# --- Drawn far ends -----------------------------------------------------------------------------------------------

SURPLUS = st.sampled_from(
    ["none"] * 3 + ["again", "older", "bare", "bare", "list", "cut", "text", "408", "1xx", "long"]
)
MOMENT = st.sampled_from(["before", "amid", "after reading", "glued", "at once", "later"])


@dataclass
class Behaviour:
    """What the far end does about one request."""

    surplus: str
    moment: str
    answer: str
    pieces: int
    closes: bool


BEHAVIOURS = st.builds(
    Behaviour,
    SURPLUS,
    MOMENT,
    st.sampled_from(["named"] * 6 + ["bare", "400", "401", "500", "throttle", "other"]),
    st.integers(1, 3),
    st.sampled_from([False] * 7 + [True]),
)

CALLS = st.one_of(
    st.tuples(st.just("create"), st.integers(1, 12)),
    st.tuples(st.just("create"), st.integers(1, 12)),
    st.tuples(st.just("update"), st.integers(1, 3)),
    st.tuples(st.just("look"), st.integers(1, 4)),
)


@dataclass
class FarEnd:
    """Misbehaves as drawn, and remembers what it did about each request."""

    plan: list[Behaviour]
    created: dict[str, set[int]] = field(default_factory=dict)
    refused: set[str] = field(default_factory=set)
    done: Counter[str] = field(default_factory=Counter)
    """How often each was carried out."""
    next_id: int = 5000

    async def __call__(self, wire: Wire) -> None:
        said: list[bytes] = []
        while True:
            todo = self.plan[len(wire.seen.requests) % len(self.plan)]
            surplus = self._surplus(todo.surplus, said)
            if todo.moment == "amid" and said:
                await self._amid(wire, surplus)
            if todo.moment == "before" and said:
                await wire.answer(surplus)
            request = await wire.request()
            answer = self._answer(request, todo.answer)
            if todo.surplus == "long" and todo.moment == "glued":
                answer += b"and more than its length says"
            if todo.moment == "after reading" and said:
                await wire.answer(surplus)
            if todo.moment == "glued":
                answer += surplus
            await self._write(wire, answer, todo.pieces)
            said.append(answer)
            if todo.moment in ("at once", "later"):
                await asyncio.sleep(0.002 if todo.moment == "later" else 0)
                await wire.answer(surplus)
            if todo.closes:
                return

    async def _amid(self, wire: Wire, surplus: bytes) -> None:
        while not wire.reader._buffer:  # type: ignore[attr-defined]
            if wire.reader.at_eof():
                return
            await asyncio.sleep(0)
        await wire.answer(surplus)

    async def _write(self, wire: Wire, data: bytes, pieces: int) -> None:
        size = -(-len(data) // pieces)
        for start in range(0, len(data), size):
            await wire.answer(data[start : start + size])
            await asyncio.sleep(0)

    def _answer(self, request: bytes, how: str) -> bytes:
        what = _subject(request)
        if how in ("400", "401", "500", "throttle"):
            if how != "500":
                self.refused.add(what)
            status = {"400": b"400 Bad Request", "500": b"500 Oops"}.get(how, b"401 Unauthorized")
            return http({"msg": "too many requests" if how == "throttle" else "no"}, status)
        self.done[what] += 1
        if not what.startswith("create"):
            if what.startswith("look"):
                return http([{"id": int(what.split()[1]), "title": "x", "crm_column": 1}])
            return naming(request)
        self.next_id += 1
        self.created.setdefault(what, set()).add(self.next_id)
        body = json.loads(request.partition(HEAD_END)[2])
        shown = {"id": self.next_id}
        if how != "bare":
            shown |= {name: body[name] for name in ("lead_id", "crm_column", "title")}
            shown["fields"] = body.get("fields", {})
        if how == "other":
            shown |= {"title": "Quite another", "fields": {FIELD: "11111111-2222"}}
        return http(shown)

    def _surplus(self, kind: str, said: list[bytes]) -> bytes:
        last = said[-1] if said else b""
        return {
            "again": last,
            "older": said[0] if said else b"",
            "bare": http({"id": 999}) if said else b"",
            "list": http([]),
            "cut": last[:-5],
            "text": b"xyz",
            "408": http({}, b"408 Request Timeout", b"Connection: close\r\n"),
            "1xx": b"HTTP/1.1 103 Early Hints\r\n\r\n",
        }.get(kind, b"")


def _subject(request: bytes) -> str:
    line = request.split(b"\r\n")[0].decode()
    path = line.split()[1].split("?")[0]
    if line.startswith("POST"):
        return f"create {json.loads(request.partition(HEAD_END)[2])['title']}"
    return f"{'update' if line.startswith('PUT') else 'look'} {path.rpartition('/')[2]}"


@dataclass
class Caller:
    """Makes the drawn calls, and judges what each believed."""

    far_end: FarEnd
    marked: bool
    successes: Counter[str] = field(default_factory=Counter)

    async def call(self, client: CrmClient, url: str, number: int, call: tuple[str, int]) -> None:
        kind, which = call
        try:
            if kind == "look":
                await self._look(client, url, which)
            else:
                await self._send(client, url, number, call)
        except (Rejected, Throttled, CredentialRefused):
            assert self._what(number, call) in self.far_end.refused
        except AttemptError:
            pass

    def _what(self, number: int, call: tuple[str, int]) -> str:
        return f"create {self._title(number)}" if call[0] == "create" else f"{call[0]} {call[1]}"

    def _title(self, number: int) -> str:
        return f"{number:04x} {chr(97 + number) * 5}"

    async def _look(self, client: CrmClient, url: str, lead: int) -> None:
        given_settings = instance(url, marked=self.marked)
        sought = Sought.of(create(lead), given_settings, marker=None)
        listing = await client.look_by_lead(given_settings, lead, sought=sought)
        assert [row.opportunity_id for row in listing.rows] == [lead]

    async def _send(self, client: CrmClient, url: str, number: int, call: tuple[str, int]) -> None:
        kind, which = call
        what = self._what(number, call)
        job: Any = update(which)
        if kind == "create":
            job = create(which).model_copy(update={"title": self._title(number)})
        marker = f"{MARKED}{number}" if self.marked and kind == "create" else None
        record = await client.send(job, instance(url, marked=self.marked), marker=marker)
        self.successes[what] += 1
        assert self.successes[what] <= self.far_end.done[what]
        if kind == "create":
            assert record.opportunity_id in self.far_end.created[what]


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.lists(BEHAVIOURS, min_size=1, max_size=8), st.lists(CALLS, min_size=2, max_size=14), st.booleans(), st.booleans()
)
def test_no_drawn_far_end_makes_a_call_believe_another_calls_answer(
    plan: list[Behaviour],
    calls: list[tuple[str, int]],
    marked: bool,  # noqa: FBT001
    together: bool,  # noqa: FBT001
) -> None:
    """An id is recorded only for the job that it was made for, a refusal or a list believed only by whom it was for."""
    far_end = FarEnd(plan)
    caller = Caller(far_end, marked)
    size = max(1, len(calls) // 2) if together else 1

    async def run() -> None:
        async with serving(far_end) as seen, CrmClient() as client:
            for start in range(0, len(calls), size):
                part = enumerate(calls[start : start + size], start)
                await asyncio.gather(*(caller.call(client, seen.url, number, call) for number, call in part))

    asyncio.run(run())


def test_what_is_overridden_in_aiohttp_is_still_there() -> None:
    """Not public, so a new version may take it away without a word."""
    assert list(inspect.signature(aiohttp.TCPConnector._get).parameters) == ["self", "key", "traces"]
    assert list(inspect.signature(aiohttp.TCPConnector._release).parameters) == [
        "self",
        "key",
        "protocol",
        "should_close",
    ]
    assert "_factory" in inspect.getsource(aiohttp.TCPConnector._create_direct_connection)
    for name in ("set_response_params", "start_timeout", "data_received", "should_close", "is_connected"):
        assert hasattr(ResponseHandler, name)


async def test_the_connector_makes_watched_connections() -> None:
    """And forgets one that it finds closed."""

    async def behave(wire: Wire) -> None:
        await wire.answer(naming(await wire.request()))

    async with serving(behave) as seen, CrmClient() as client:
        for number in range(1, 4):
            with contextlib.suppress(AttemptError):
                await client.send(create(number), instance(seen.url), marker=None)
        connector = client._exchange._http._transport._session.connector  # type: ignore[attr-defined]
        assert isinstance(connector, Connector)
        kept = [protocol for entries in connector._conns.values() for protocol, _ in entries]

    assert len(kept) <= 1
    assert all(isinstance(protocol, WatchedHandler) for protocol in kept)
