"""Which connection may carry which call: what each call does to its connection, and which kept one a call is given."""

# ruff: noqa: D103 - the test tools here speak through their names

import asyncio
import json
import socket
import ssl
from collections import deque
from collections.abc import AsyncIterator, Hashable
from dataclasses import dataclass, field
from typing import Any, cast

import aiohttp
import httpx
import pytest
from aiohttp.client_reqrep import ConnectionKey
from aiohttp.connector import Connection

from oppsync_worker.contract.jobs import CreateOpportunity, UpdateOpportunity
from oppsync_worker.contract.names import Kind
from oppsync_worker.crm import connections
from oppsync_worker.crm.client import CrmClient
from oppsync_worker.crm.connections import CURRENT, KEEPALIVE_SECONDS, USE, Connector, Use, WatchedHandler
from oppsync_worker.crm.sightings import Sought
from oppsync_worker.errors import (
    AnswerLost,
    AttemptError,
    CredentialRefused,
    Rejected,
    Throttled,
    Unavailable,
)
from oppsync_worker.instances import InstanceSettings

ACME = InstanceSettings(name="acme", token="t0ken", base_url="https://crm.example", marker_field="Sync")
UNMARKED = InstanceSettings(name="acme", token="t0ken", base_url="https://crm.example")
CREATE = CreateOpportunity(job_id="j-1", instance="acme", funnel_id=12, title="Deal", crm_column=159, lead_id=7)
UPDATE = UpdateOpportunity(job_id="j-2", instance="acme", funnel_id=12, opportunity_id=5, value="5")


@dataclass
class Line:
    """A connection, as a call's `Use` sees it."""

    calls: int = 0
    kind: str = ""
    carried: set[Hashable] = field(default_factory=set)
    vouched: bool = False
    early: bool = False
    closed: bool = False

    def close(self) -> None:
        self.closed = True


def taken(use: Use, line: Line) -> Line:
    use.begin(cast("WatchedHandler", line))
    return line


# --- What a call notes on its connection ---------------------------------------------------------------------------


def test_a_new_connection_learns_what_it_carries() -> None:
    """Nothing was kept or shared, and nobody has vouched for it."""
    use = Use("create", ("m", (7, 159)), ("m",))
    line = taken(use, Line(vouched=True))

    assert (use.kept, use.shared, use.early) == (False, frozenset(), False)
    assert line == Line(1, "create", {"m", (7, 159)}, vouched=False)


def test_a_kept_one_tells_what_its_calls_have_in_common() -> None:
    """By anything that an answer could name."""
    use = Use("create", ("m2", (7, 159)), ("m2",))
    line = taken(use, Line(3, "create", {"m1", (7, 159)}, vouched=True))

    assert (use.kept, use.shared) == (True, frozenset({(7, 159)}))
    assert line == Line(4, "create", {"m1", "m2", (7, 159)}, vouched=False)


@pytest.mark.parametrize(
    ("calls", "keep", "early", "vouched"),
    [
        (0, True, False, True),
        (0, False, False, False),
        (0, True, True, False),
        (0, False, True, False),
        (198, True, False, True),
        (199, True, False, False),
        (500, True, False, False),
    ],
)
def test_a_connection_is_vouched_for_or_closed(*, calls: int, keep: bool, early: bool, vouched: bool) -> None:
    """One that spoke early is closed, and so is one after its 200th call."""
    use = Use("create", ("m",), ("m",))
    line = taken(use, Line(calls, early=early))
    assert use.early is early

    use.settle(keep=keep)

    assert (line.vouched, line.closed) == (vouched, not vouched)


def test_a_call_has_one_word_about_its_connection() -> None:
    """The first: what is said afterwards may be about a connection that another call has by then."""
    use = Use("create", ("m",), ("m",))
    line = taken(use, Line())

    use.settle(keep=True)
    use.settle(keep=False)

    assert (line.vouched, line.closed, use.early) == (True, False, False)
    Use().settle(keep=True)


# --- What the answer to a call does to its connection ---------------------------------------------------------------


class Far:
    """Answers one request after the other, each over the connection that is given with it."""

    def __init__(self) -> None:
        self.answers: list[tuple[Line, Any]] = []
        self.uses: list[Use] = []

    def says(self, status: int = 200, body: Any = None, *, line: Line | None = None, **headers: str) -> Line:
        line = line or Line()
        self.answers.append((line, httpx.Response(status, headers=headers, content=json.dumps(body).encode())))
        return line

    def fails(self, error: Exception, *, line: Line | None = None) -> Line:
        line = line or Line()
        self.answers.append((line, error))
        return line

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        line, answer = self.answers.pop(0)
        self.uses.append(request.extensions[USE])
        taken(self.uses[-1], line)
        if isinstance(answer, Exception):
            raise answer
        assert isinstance(answer, httpx.Response)
        # As it comes from a wire: not read yet.
        return httpx.Response(answer.status_code, headers=answer.headers, stream=httpx.ByteStream(answer.content))

    @property
    def last(self) -> tuple[str, set[Hashable], tuple[Hashable, ...] | None]:
        use = self.uses[-1]
        return use.kind, set(use.subjects), use.distinct


@pytest.fixture
def far() -> Far:
    return Far()


@pytest.fixture
async def client(far: Far) -> AsyncIterator[CrmClient]:
    async with CrmClient(transport=httpx.MockTransport(far)) as made:
        yield made


async def send(client: CrmClient, job: Any = CREATE, settings: InstanceSettings = ACME) -> Any:
    try:
        return await client.send(job, settings, marker=job.job_id if job is not UPDATE else None)
    except AttemptError as error:
        return error


NAMED = {"id": 9, "lead_id": 7, "crm_column": 159}
MARKED = {**NAMED, "fields": {"Sync": "j-1"}}


@pytest.mark.parametrize(
    ("job", "body", "kept"),
    [
        (CREATE, MARKED, True),
        (CREATE, NAMED, True),
        (CREATE, {"id": 9, "fields": {"Sync": "j-1"}}, True),
        (CREATE, {"id": 9}, False),
        (CREATE, {"id": 9, "lead_id": 7}, False),
        (CREATE, {"id": 9, "crm_column": 159}, False),
        (UPDATE, {"msg": "", "data": {"id": 5}}, True),
        (UPDATE, {"msg": ""}, False),
    ],
)
async def test_a_success_keeps_its_connection_only_if_it_names_its_job(
    far: Far, client: CrmClient, job: Any, body: Any, *, kept: bool
) -> None:
    """By the marker, by lead and column together, or by an update's id."""
    line = far.says(body=body)

    assert not isinstance(await send(client, job), AttemptError)

    assert (line.vouched, line.closed) == (kept, not kept)


@pytest.mark.parametrize("job", [CREATE, UPDATE], ids=["create", "update"])
@pytest.mark.parametrize("status", [400, 401, 403, 404, 408, 422, 429, 500, 502, 503, 301, 302])
async def test_every_refusal_retires_its_connection(far: Far, client: CrmClient, job: Any, status: int) -> None:
    """It names nobody: a second one may follow it, and would be the next call's."""
    line = far.says(status, {"msg": "no"})

    assert isinstance(await send(client, job), AttemptError)

    assert (line.vouched, line.closed) == (False, True)


@pytest.mark.parametrize(
    "error", [httpx.ReadTimeout("x"), httpx.ReadError("x"), httpx.ConnectError("x"), ZeroDivisionError()]
)
async def test_every_failure_retires_its_connection(far: Far, client: CrmClient, error: Exception) -> None:
    """Its answer may still come."""
    line = far.fails(error)

    assert isinstance(await send(client), AttemptError)

    assert (line.vouched, line.closed) == (False, True)


async def test_a_cancelled_call_retires_its_connection() -> None:
    """Its answer will still come."""
    line, begun = Line(), asyncio.Event()

    async def hang(request: httpx.Request) -> httpx.Response:
        taken(request.extensions[USE], line)
        begun.set()
        await asyncio.Event().wait()
        raise AssertionError

    async with CrmClient(transport=httpx.MockTransport(hang)) as client:
        call = asyncio.ensure_future(send(client))
        await begun.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call

    assert (line.vouched, line.closed) == (False, True)


async def test_a_look_up_has_a_connection_of_its_own(far: Far, client: CrmClient) -> None:
    """An empty list names nobody."""
    line = far.says(body=[])

    await client.look_by_lead(ACME, 7, sought=Sought.of(CREATE, ACME, marker="j-1"))

    assert (line.vouched, line.closed) == (False, True)
    assert far.last == ("", set(), None)


async def test_a_call_is_told_apart_by_what_the_last_success_named(far: Far, client: CrmClient) -> None:
    """Of the same instance and kind; the first one of all gets a connection of its own."""
    both: set[Hashable] = {"j-1", (7, 159)}
    for body, distinct in (
        (MARKED, None),
        (NAMED, ("j-1",)),
        ({"id": 9}, ((7, 159),)),
        (MARKED, None),
    ):
        far.says(body=body)
        await send(client)
        assert far.last == (Kind.CREATE, both, distinct)

    far.says(body={"data": {"id": 5}})
    await send(client, UPDATE)
    assert far.last == (Kind.UPDATE, {5}, None)
    far.says(500)
    await send(client, UPDATE)
    assert far.last == (Kind.UPDATE, {5}, (5,))
    far.says(body=MARKED)
    await send(client)
    assert far.last == (Kind.CREATE, both, ("j-1",))
    far.says(body=MARKED)
    await send(client, CREATE, ACME.model_copy(update={"name": "globex"}))
    assert far.last == (Kind.CREATE, both, None)


async def test_what_a_call_can_be_named_by(far: Far, client: CrmClient) -> None:
    """No marker without a field for it, no lead where the job has none."""
    for job, settings, subjects in (
        (CREATE, ACME, {"j-1", (7, 159)}),
        (CREATE, UNMARKED, {(7, 159)}),
        (CREATE.model_copy(update={"lead_id": None}), ACME, {"j-1"}),
        (CREATE.model_copy(update={"lead_id": None}), UNMARKED, set()),
        (UPDATE, ACME, {5}),
    ):
        far.says(500)
        await send(client, job, settings)
        assert set(far.uses[-1].subjects) == subjects
    far.says(500)
    with pytest.raises(AttemptError):
        await client.send(CREATE, ACME, marker=None)
    assert set(far.uses[-1].subjects) == {(7, 159)}


async def test_a_success_on_a_kept_connection_counts_only_if_it_names_this_call(far: Far, client: CrmClient) -> None:
    """By something that no earlier call on it had as well."""
    for body, carried, believed in (
        (MARKED, {"another"}, True),
        (MARKED, {(7, 159)}, True),
        (MARKED, {"j-1"}, False),
        (NAMED, {"another"}, True),
        (NAMED, {(7, 159)}, False),
        ({"id": 9}, {"another"}, False),
    ):
        line = far.says(body=body, line=Line(1, "create", set(carried)))
        found = await send(client)
        assert isinstance(found, AnswerLost) is not believed, body
        assert (line.vouched, line.closed) == (believed, not believed)
        if isinstance(found, AnswerLost):
            assert (found.seen.status, found.seen.text) == (
                200,
                "a success that may have been meant for another request",
            )


async def test_a_success_that_began_before_its_request_was_sent_counts_for_nothing(far: Far, client: CrmClient) -> None:
    """Not even on a new connection."""
    line = far.says(body=MARKED, line=Line(early=True))
    assert isinstance(await send(client), AnswerLost)
    assert (line.vouched, line.closed) == (False, True)
    far.says(body={"data": {"id": 5}}, line=Line(early=True))
    assert isinstance(await send(client, UPDATE), Unavailable)


@pytest.mark.parametrize(
    ("status", "error"),
    [(400, Rejected), (403, CredentialRefused), (401, CredentialRefused), (429, Throttled)],
)
@pytest.mark.parametrize(
    ("calls", "early", "closes", "believed"),
    [
        (0, False, "", True),
        (0, True, "", True),
        (0, False, "close", True),
        (1, False, "", True),
        (1, False, "keep-alive", True),
        (1, True, "", False),
        (1, False, "close", False),
        (1, False, "Close", False),
    ],
)
async def test_a_refusal_counts_unless_it_may_be_of_the_connection_itself(
    far: Far,
    client: CrmClient,
    status: int,
    error: type[AttemptError],
    closes: str,
    *,
    calls: int,
    early: bool,
    believed: bool,
) -> None:
    """A far end that gives up an idle connection says so just as a request leaves."""
    headers = {"connection": closes} if closes else {}
    far.says(status, {"msg": "no"}, line=Line(calls, "create", early=early), **headers)

    found = await send(client)

    assert type(found) is (error if believed else AnswerLost)
    if not believed:
        assert found.seen.text == "a refusal that may have been meant for another request"


# --- Which kept connection a call is given --------------------------------------------------------------------------

KEY: Any = ConnectionKey("crm.example", 443, True, True, None, None, None)


class Kept(WatchedHandler):
    """A connection of the pool."""

    def __init__(self, *, vouched: bool = True, kind: str = "create", carried: tuple[Hashable, ...] = ()) -> None:
        super().__init__(asyncio.get_running_loop())
        self.vouched, self.kind, self.carried = vouched, kind, set(carried)
        self.there, self.quiet, self.closed_by_us = True, True, False

    def is_connected(self) -> bool:
        return self.there

    def silent(self) -> bool:
        return self.quiet

    def close(self) -> None:
        self.closed_by_us = True


class Unwatched:
    """A connection that somebody else has put into the pool."""

    def is_connected(self) -> bool:
        return True


@pytest.fixture
async def connector() -> AsyncIterator[Connector]:
    made = Connector(ssl_context=ssl.create_default_context())
    yield made
    made._conns.clear()
    made._acquired.clear()
    await made.close()


NOW = 1_000.0


async def given(
    connector: Connector, monkeypatch: pytest.MonkeyPatch, use: Use | None, *kept: Any, age_s: float = 0.0
) -> Any:
    """What a call is given out of a pool that has these."""
    monkeypatch.setattr(connections, "monotonic", lambda: NOW)
    if kept:
        connector._conns[KEY] = deque((one, NOW - age_s) for one in kept)
    mark = CURRENT.set(use) if use is not None else None
    try:
        found = await connector._get(KEY, [])
    finally:
        if mark is not None:
            CURRENT.reset(mark)
    assert connector._conns.get(KEY) is None or connector._conns[KEY], "an empty place is left"
    if found is None:
        return None
    assert isinstance(found, Connection)
    assert found.protocol in connector._acquired
    assert (found._connector, found._key) == (connector, KEY)
    protocol = found.protocol
    found._protocol = None  # nobody gives it back
    return protocol


def left(connector: Connector) -> list[Any]:
    return [one for one, _ in connector._conns.get(KEY, ())]


async def test_a_connection_that_may_carry_a_call_is_given_and_leaves_the_pool(
    connector: Connector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first of them."""
    one, two = Kept(carried=("other",)), Kept()

    assert await given(connector, monkeypatch, Use("create", ("m",), ("m",)), one, two) is one

    assert left(connector) == [two]
    assert await given(connector, monkeypatch, Use("create", ("m",), ("m",))) is two
    assert KEY not in connector._conns
    assert await given(connector, monkeypatch, Use("create", ("m",), ("m",))) is None


async def test_one_that_may_not_carry_it_stays_for_others(
    connector: Connector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of another kind, not vouched for, or that has carried what this call has in common with it."""
    unfit = [
        Kept(vouched=False),
        Kept(kind="update"),
        Kept(carried=("m",)),
        Unwatched(),
    ]

    assert await given(connector, monkeypatch, Use("create", ("m",), ("m",)), *unfit) is None

    assert left(connector) == unfit
    assert not any(one.closed_by_us for one in unfit[:-1] if isinstance(one, Kept))


async def test_what_is_not_distinct_may_be_shared(connector: Connector, monkeypatch: pytest.MonkeyPatch) -> None:
    """The call is told apart by something else."""
    one = Kept(carried=((7, 159),))

    assert await given(connector, monkeypatch, Use("create", ("m", (7, 159)), ("m",)), one) is one


@pytest.mark.parametrize("use", [None, Use(), Use("create", ("m",), None)], ids=["unknown", "look-up", "not named"])
async def test_a_call_that_nothing_tells_apart_gets_none(
    connector: Connector, monkeypatch: pytest.MonkeyPatch, use: Use | None
) -> None:
    """And leaves all of them where they are."""
    one = Kept(kind="" if use is None else use.kind)

    assert await given(connector, monkeypatch, use, one) is None
    assert left(connector) == [one]


async def test_one_that_is_gone_is_forgotten(connector: Connector, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the next one taken."""
    gone, one = Kept(), Kept()
    gone.there = False

    assert await given(connector, monkeypatch, Use("create", ("m",), ("m",)), gone, one) is one
    assert left(connector) == []


@pytest.mark.parametrize(
    ("age_s", "fresh"), [(0.0, True), (KEEPALIVE_SECONDS, True), (KEEPALIVE_SECONDS + 0.01, False)]
)
async def test_one_that_rested_too_long_is_closed(
    connector: Connector, monkeypatch: pytest.MonkeyPatch, age_s: float, *, fresh: bool
) -> None:
    """Four seconds: a far end that closes after five must not meet our next create."""
    assert KEEPALIVE_SECONDS == connector._keepalive_timeout == 4.0
    one = Kept()

    found = await given(connector, monkeypatch, Use("create", ("m",), ("m",)), one, age_s=age_s)

    assert (found is one, one.closed_by_us) == (fresh, not fresh)
    assert left(connector) == []


async def test_one_that_has_spoken_is_closed(connector: Connector, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the next one taken."""
    loud, one = Kept(), Kept()
    loud.quiet = False

    assert await given(connector, monkeypatch, Use("create", ("m",), ("m",)), loud, one) is one
    assert loud.closed_by_us
    assert left(connector) == []


@pytest.mark.parametrize(("before", "found"), [(15, True), (16, False)])
async def test_sixteen_are_tried(
    connector: Connector, monkeypatch: pytest.MonkeyPatch, before: int, *, found: bool
) -> None:
    """Making a new one costs less than to look at hundreds."""
    fits = Kept()
    others = [Kept(carried=("m",)) for _ in range(before)]

    answer = await given(connector, monkeypatch, Use("create", ("m",), ("m",)), *others, fits)

    assert (answer is fits) is found


@dataclass
class Made:
    """A connection as aiohttp has made it."""

    protocol: Any


async def test_a_call_begins_on_whatever_connection_it_gets(
    connector: Connector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """New or kept; a call that nobody has told of has nothing in common with any other."""
    asked: list[Any] = []
    made = Made(Kept(carried=("m",)))

    async def connect(*args: Any) -> Any:
        asked.append(args)
        return made

    monkeypatch.setattr(aiohttp.TCPConnector, "connect", connect)
    use, given_timeout = Use("create", ("m",), ("m",)), aiohttp.ClientTimeout()
    mark = CURRENT.set(use)
    try:
        found: Any = await connector.connect("request", [], given_timeout)  # type: ignore[arg-type]
    finally:
        CURRENT.reset(mark)

    assert found is made
    assert asked == [(connector, "request", [], given_timeout)]
    assert (made.protocol.calls, use.shared) == (1, frozenset({"m"}))
    await connector.connect("request", [], given_timeout)  # type: ignore[arg-type]
    assert made.protocol.calls == 2
    made.protocol = Unwatched()
    unwatched: Any = await connector.connect("request", [], given_timeout)  # type: ignore[arg-type]
    assert unwatched is made


async def test_every_connection_that_is_made_is_watched(connector: Connector) -> None:
    """And asks the authorities that were given."""
    assert isinstance(connector._factory(), WatchedHandler)
    context = ssl.create_default_context()
    other = Connector(ssl_context=context)
    assert other._ssl is context
    await other.close()


async def test_nobody_waits_for_a_connection(connector: Connector) -> None:
    """The budget and the worker's concurrency bound the calls."""
    assert (connector.limit, connector.limit_per_host) == (0, 0)


async def test_a_connection_that_is_given_back_rests(connector: Connector) -> None:
    """What comes from then on was asked for by nobody."""
    closed, one, two = Kept(), Kept(), Kept()
    connector._acquired.update({closed, one, two})

    connector._release(KEY, closed, should_close=True)
    connector._release(KEY, one)
    connector._release(KEY, two, should_close=False)

    assert (closed.resting, one.resting, two.resting) == (True, True, True)
    assert (closed.closed_by_us, one.closed_by_us, two.closed_by_us) == (True, False, False)
    assert left(connector) == [one, two]
    assert not connector._acquired


# --- What a connection notices ----------------------------------------------------------------------------------------


class Counting(WatchedHandler):
    """Tells how many bytes came."""

    came = 0

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self.came += len(data)


@dataclass
class Pair:
    """A connection, and its far end."""

    ours: "Counting"
    theirs: socket.socket

    async def says(self, data: bytes) -> None:
        """Until all of it was read, or nothing is read any more."""
        expected = self.ours.came + len(data)
        self.theirs.sendall(data)
        async with asyncio.timeout(5):
            while self.ours.came < expected and self.ours.is_connected():  # noqa: ASYNC110 - whoever brings it about
                await asyncio.sleep(0)

    def asks(self) -> None:
        self.ours.set_response_params(read_timeout=1)
        self.ours.start_timeout()

    async def answered(self) -> None:
        """One whole call."""
        self.asks()
        await self.says(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]")
        message, payload = await self.ours.read()
        assert message.code == 200
        await payload.read()
        self.ours.resting = True


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    near, far = socket.socketpair()
    near.setblocking(False)
    loop = asyncio.get_running_loop()
    transport, ours = await loop.create_connection(lambda: Counting(loop), sock=near)
    yield Pair(ours, far)
    transport.close()
    far.close()
    await asyncio.sleep(0)


async def test_a_new_connection_has_carried_nothing(pair: Pair) -> None:
    """And may not be used again until somebody vouches for it."""
    ours = pair.ours

    assert (ours.calls, ours.kind, ours.carried) == (0, "", set())
    assert (ours.vouched, ours.resting, ours.early) == (False, False, False)
    assert not ours.silent(), "it has no parser yet, so nothing can be said of it"


async def test_an_answer_after_the_request_is_not_early(pair: Pair) -> None:
    """And leaves a silent connection."""
    await pair.answered()

    assert not pair.ours.early
    assert pair.ours.silent()
    assert pair.ours.silent(), "looking changes nothing"


async def test_an_answer_is_waited_for_from_when_the_request_was_sent(pair: Pair) -> None:
    """As aiohttp does it: our look does not take its place."""
    pair.ours.set_response_params(read_timeout=60)
    assert pair.ours._read_timeout_handle is None

    pair.ours.start_timeout()

    assert pair.ours._read_timeout_handle is not None
    pair.ours._drop_timeout()


async def test_an_answer_before_the_request_is_early(pair: Pair) -> None:
    """Even its first byte."""
    pair.ours.set_response_params()
    await pair.says(b"H")
    pair.ours.start_timeout()

    assert pair.ours.early


async def test_a_far_end_that_speaks_first_is_early(pair: Pair) -> None:
    """On a new connection, before the first call has begun."""
    await pair.says(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]")
    pair.ours.early = False  # only what the call's beginning finds

    pair.ours.set_response_params()

    assert pair.ours.early


WHOLE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]"


@pytest.mark.parametrize("surplus", [b"x", b"HTTP/1.1 200 OK\r\nX", WHOLE], ids=["text", "part", "whole"])
async def test_bytes_that_come_while_nothing_is_asked_end_it(pair: Pair, surplus: bytes) -> None:
    """Before anybody reads them."""
    await pair.answered()

    await pair.says(surplus)

    assert not pair.ours.is_connected()
    assert not pair.ours.silent()
    assert not pair.ours._buffer


async def test_what_holds_no_bytes_says_nothing(pair: Pair) -> None:
    """Aiohttp calls so when it goes on with what it had put off."""
    pair.ours.set_response_params()
    pair.ours.data_received(b"")
    assert not pair.ours.early

    await pair.answered()
    pair.ours.data_received(b"")
    assert pair.ours.silent()


async def test_a_second_call_begins_anew(pair: Pair) -> None:
    """What comes before it was sent is early again."""
    await pair.answered()
    pair.ours.set_response_params()

    assert not pair.ours.resting
    await pair.says(b"HTTP/1.1 200")
    assert pair.ours.early


@pytest.mark.parametrize(
    "rest",
    [
        b"H",
        WHOLE,
        b"HTTP/1.1 200 O",
        b"HTTP/1.1 200 OK\r\nX: y",
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{",
        b"\x00\x01",
    ],
)
async def test_a_part_of_something_is_no_silence(pair: Pair, rest: bytes) -> None:
    """Of a head or of a body, or of nothing known."""
    await pair.answered()
    pair.ours.resting = False  # it came before the connection rested

    await pair.says(rest)

    assert not pair.ours.silent()


@pytest.mark.parametrize("rest", [b"x", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]"])
async def test_what_lies_unread_is_no_silence(pair: Pair, rest: bytes) -> None:
    """In the socket's buffer, where nobody has looked yet."""
    await pair.answered()

    pair.theirs.sendall(rest)

    assert not pair.ours.silent()


async def test_a_far_end_that_has_hung_up_is_no_silence(pair: Pair) -> None:
    """Its end lies in the socket's buffer like any byte."""
    await pair.answered()

    pair.theirs.close()

    assert not pair.ours.silent()


async def test_without_a_socket_nothing_is_sure(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """So it is not used."""
    await pair.answered()
    assert pair.ours.transport is not None
    monkeypatch.setattr(pair.ours, "transport", Bare())

    assert not pair.ours.silent()


class Bare:
    """A transport that shows no socket."""

    def is_closing(self) -> bool:
        return False

    def get_extra_info(self, _: str) -> None:
        return None

    def close(self) -> None:
        """Nothing to close."""

    def abort(self) -> None:
        """Nor here."""
