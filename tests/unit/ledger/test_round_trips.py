"""Scripts in one round trip: what is queued on a pipeline, how often, and what is made of what comes back."""

import asyncio
import re
from collections.abc import Callable
from typing import Any, Final

import pytest
from redis.exceptions import NoScriptError, ResponseError

from oppsync_worker.contract.names import Lane
from oppsync_worker.ledger import assembly, chains, rights, scripts
from oppsync_worker.ledger.assembly import READS, load
from oppsync_worker.ledger.scripts import Call, packed

STAND, PRESENT = Call("stand", ("1", "j1")), Call("present", ("w", 1))
FORGOTTEN, WRONG = NoScriptError("NOSCRIPT"), ResponseError("wrong")
THREADS_AND_ASYNCIO = pytest.mark.parametrize("form", ["threads", "asyncio"])


class Server:
    """Answers pipelines, one after the other, with what the test gives; keeps what it was sent."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.trips: list[list[tuple[Any, ...]]] = []
        self.transactions: list[bool] = []

    def pipeline(self, *, transaction: bool) -> Any:
        self.transactions.append(transaction)
        self.trips.append([])
        return self

    def take(self, raise_on_error: Any) -> Any:
        assert raise_on_error is False
        return self.answers.pop(0)

    def evalsha(self, digest: str, keys: int, *arguments: bytes) -> None:
        self.trips[-1].append(("evalsha", digest, keys, *arguments))

    def eval(self, text: str, keys: int, *arguments: bytes) -> None:
        self.trips[-1].append(("eval", text, keys, *arguments))

    def execute_command(self, *words: Any) -> None:
        self.trips[-1].append(words)

    def execute(self, *, raise_on_error: Any = None) -> Any:
        return self.take(raise_on_error)


class AsyncServer(Server):
    """The same, awaited."""

    async def execute(self, *, raise_on_error: Any = None) -> Any:
        return self.take(raise_on_error)


def called(form: str, verb: str, calls: list[Call], *answers: Any) -> tuple[Server, Any]:
    """Run calls from threads or from asyncio."""
    server: Any = Server(*answers) if form == "threads" else AsyncServer(*answers)
    run: Callable[..., Any] = getattr(
        chains if verb == "run_in_order" else scripts, verb if form == "threads" else f"{verb}_async"
    )
    answer = run(server, calls)
    return server, asyncio.run(answer) if form == "asyncio" else answer


def short(call: Call) -> tuple[Any, ...]:
    """By its digest."""
    return ("evalsha", load(call.script).digest, 0, *packed(call))


def whole(call: Call) -> tuple[Any, ...]:
    """With its text."""
    return ("eval", load(call.script).text, 0, *packed(call))


@THREADS_AND_ASYNCIO
def test_calls_that_were_missed_are_repeated_script_by_script(form: str) -> None:
    """The first of each with its text; an error of another kind is an answer."""
    calls = [STAND, PRESENT, STAND, PRESENT]
    # From asyncio many are one transaction: Redis forgets nothing in the middle of it.
    within = in_a_transaction if form == "asyncio" else list[Any]

    server, answers = called(
        form,
        "run_many",
        calls,
        *map(heard, [within, within, list], ([FORGOTTEN, WRONG, FORGOTTEN, FORGOTTEN], [1, 2], [WRONG])),
    )

    assert answers == [1, WRONG, 2, WRONG]
    assert server.trips == [
        within([short(one) for one in calls]),
        within([whole(STAND), short(STAND)]),
        [whole(PRESENT)],
    ]
    assert server.transactions == [False] * 3


def in_a_transaction(calls: list[Any]) -> list[Any]:
    """What is sent for it."""
    return [("MULTI",), *calls, ("EXEC",)]


def heard(sent: Any, answers: list[Any]) -> list[Any]:
    """What comes back: the transaction's answers last, as one."""
    return ["OK", *["QUEUED" for _ in answers], answers] if sent is in_a_transaction else answers


@pytest.mark.parametrize("place", range(4))
def test_a_transaction_that_is_refused_is_refused_for_the_first_reason(place: int) -> None:
    """Not for the last, which says only that there were others."""
    words: list[Any] = ["OK", "QUEUED", "QUEUED", ResponseError("EXECABORT")]
    words[place] = WRONG

    with pytest.raises(ResponseError, match="wrong"):
        called("asyncio", "run_many", [STAND, PRESENT], words)


def test_one_call_needs_no_transaction() -> None:
    """It is whole by itself."""
    server, answers = called("asyncio", "run_many", [STAND], [7])

    assert (answers, server.transactions) == ([7], [False])


def enqueue(job: str) -> Call:
    """A call that must keep its place."""
    return Call("enqueue", ("", 0, job))


@THREADS_AND_ASYNCIO
@pytest.mark.parametrize("out_of_turn", [b"out of turn", "out of turn"])
def test_calls_in_order_go_on_where_the_first_was_missed(form: str, out_of_turn: Any) -> None:
    """Under one new token a round trip, each with its place; the first of the rest with its text."""
    calls = [enqueue(job) for job in "abc"]

    server, answers = called(form, "run_in_order", calls, [1, FORGOTTEN, out_of_turn], [2, 3])

    assert answers == [1, 2, 3]
    first, second = server.trips
    tokens = [first[0][3], second[0][3]]
    assert tokens[0] != tokens[1]
    assert all(len(token) == 16 for token in tokens)
    assert first == [short(Call("enqueue", (tokens[0].decode(), place, job))) for place, job in enumerate("abc")]
    assert second == [
        whole(Call("enqueue", (tokens[1].decode(), 0, "b"))),
        short(Call("enqueue", (tokens[1].decode(), 1, "c"))),
    ]
    assert server.transactions == [False, False]


@THREADS_AND_ASYNCIO
def test_a_last_call_that_was_missed_needs_no_token(form: str) -> None:
    """Nothing comes after it."""
    server, answers = called(form, "run_in_order", [enqueue("a"), enqueue("b")], [1, FORGOTTEN], [2])

    assert answers == [1, 2]
    assert server.trips[1] == [whole(Call("enqueue", ("", 0, "b")))]


@THREADS_AND_ASYNCIO
def test_the_error_of_a_call_in_order_is_raised(form: str) -> None:
    """That of the first that failed."""
    calls = [enqueue(job) for job in "abc"]

    with pytest.raises(ResponseError, match="wrong"):
        called(form, "run_in_order", calls, [1, WRONG, FORGOTTEN])


@THREADS_AND_ASYNCIO
def test_no_calls_in_order_ask_nothing(form: str) -> None:
    """Of nobody."""
    server, answers = called(form, "run_in_order", [])

    assert (answers, server.trips) == ([], [])


def waited(*answers: Any) -> tuple[Server, Any]:
    """Two calls of which two replicas must take note within 70 ms."""
    server: Any = AsyncServer(*answers)
    return server, asyncio.run(scripts.run_many_and_wait(server, [STAND, PRESENT], replicas=2, within_ms=70))


def test_replicas_are_waited_for_behind_the_transaction() -> None:
    """On its connection: `WAIT` counts what that has written."""
    server, answer = waited(["OK", "QUEUED", "QUEUED", [1, 2], 2])

    assert answer == ([1, 2], 2)
    assert server.trips == [[("MULTI",), short(STAND), short(PRESENT), ("EXEC",), ("WAIT", 2, 70)]]
    assert server.transactions == [False]


def test_calls_that_were_missed_are_waited_for_anew() -> None:
    """The last count is that of all of it."""
    server, answer = waited(["OK", "Q", "Q", [FORGOTTEN, WRONG], 2], ["OK", "Q", [5], 1])

    assert answer == ([5, WRONG], 1)
    assert server.trips[1] == [("MULTI",), whole(STAND), ("EXEC",), ("WAIT", 2, 70)]


@pytest.mark.parametrize("answers", [[WRONG, 2], [[1, 2], WRONG]])
def test_a_transaction_that_failed_is_an_error(answers: list[Any]) -> None:
    """Or a wait that did."""
    with pytest.raises(ResponseError, match="wrong"):
        waited(["OK", "Q", "Q", *answers])


# Scripts as they are loaded.


def test_every_command_of_a_script_is_known_and_every_known_one_is_used() -> None:
    """As one that only reads, or as one that is taken back by others that are known too."""
    used = set().union(*(rights.commands_named("\n".join(assembly.lines_of(one))) for one in rights.script_names()))
    back = {name for names in rights.WRITES.values() for name in names.split()}

    assert used <= READS | rights.WRITES.keys()
    assert used | back >= rights.WRITES.keys() | READS
    assert back - READS - rights.WRITES.keys() == {"persist"}  # which no script uses itself
    assert not READS & rights.WRITES.keys()
    assert set(rights._LANES) == {lane.queue for lane in Lane}


LIBRARY: Final = ["local function often() return 1 end", "local function seldom() return often() end"]


def test_what_is_rarely_needed_is_built_by_the_first_who_needs_it() -> None:
    """What an ordinary run comes to is named, stands where it stood, and is called by its name."""
    text = assembly._rarely([*LIBRARY, "-- #first often", "-- seldom() is asked for", "return often() + seldom()"])

    assert text == [
        "local rare",
        LIBRARY[0],
        *("local built", "function rare(name)", "if not built then", LIBRARY[1]),
        *("built = { seldom = seldom }", "end", "return built[name]", "end"),
        *("-- seldom() is asked for", "return often() + rare('seldom')()"),
    ]


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["-- #first often never"], "no function never"),
        (["local now = seldom()", "-- #first often"], "seldom is needed before it can be built"),
        (["local TABLE = { seldom }", "-- #first often"], "seldom is needed before it can be built"),
        (["-- #first often", "return pcall(seldom)"], "seldom is built by a call of its own alone"),
        (["-- #first often", "return apart(seldom, 1)"], "seldom is built by a call of its own alone"),
    ],
)
def test_a_function_that_would_not_be_there_is_an_error_of_the_script(lines: list[str], said: str) -> None:
    """When the script is put together, not when it runs."""
    with pytest.raises(ValueError, match=said):
        assembly._rarely([*LIBRARY, *lines])


def test_a_word_in_a_text_is_no_function() -> None:
    """Nor is one in a remark."""
    assert "local rare" in assembly._rarely([*LIBRARY, "local said = 'seldom' -- seldom", "-- #first often"])


def test_a_command_that_is_chosen_when_the_script_runs_is_refused() -> None:
    """Whether it is noted is decided when the script is put together."""
    with pytest.raises(ValueError, match="must stand in the call"):
        assembly.direct("redis.call(front and 'RPUSH' or 'LPUSH', key, id)")


def test_what_only_reads_is_asked_of_redis_itself() -> None:
    """Past the undo log, which has nothing to take back."""
    text = load("stand").text

    assert "server('" in text
    named = re.findall(r"(\w+)\('([A-Z]+)'", text.partition("local function main()")[2])
    assert {how for how, name in named if name.lower() in READS} == {"server"}
    assert "redis.call(" not in text.partition("local function main()")[2]
    assert text.endswith("\nend\nreturn whole(main)")
