"""What Celery shows and takes at the worker's edges: its requests, its remote control, its options, its consumer."""

from types import SimpleNamespace
from typing import Any

import click
import pytest
from billiard.einfo import ExceptionWithTraceback
from celery import Celery
from celery.bin.worker import worker as worker_command
from celery.exceptions import Ignore, Retry
from celery.worker import state as celery_state
from celery.worker.consumer.control import Control
from celery.worker.consumer.gossip import Gossip
from celery.worker.consumer.heart import Heart
from celery.worker.consumer.mingle import Mingle
from celery.worker.control import Panel
from celery.worker.request import Request as StockRequest
from click.testing import CliRunner

from oppsync_worker.contract.states import Cause
from oppsync_worker.engine import consumer, remote, starting
from oppsync_worker.engine.consumer import Consumer
from oppsync_worker.engine.pool import TaskPool
from oppsync_worker.engine.request import Request

# Requests.


def request(**given: Any) -> Any:
    """A request whose events are kept."""
    made = Request.__new__(Request)
    made.events = []
    made.send_event = lambda kind, **fields: made.events.append((kind, fields))
    made.acknowledge = lambda: made.events.append("acknowledged")
    made._task = SimpleNamespace(acks_late=True)
    for name, value in given.items():
        setattr(made, name, value)
    return made


def raised(error: BaseException) -> Any:
    """What Celery hands on."""
    return SimpleNamespace(exception=error)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (Ignore(), True),
        (ExceptionWithTraceback(Ignore(), ""), True),
        (ValueError(), False),
        (ExceptionWithTraceback(ValueError(), ""), False),
    ],
)
def test_a_job_that_goes_on_elsewhere_is_shown_as_put_back(
    monkeypatch: pytest.MonkeyPatch, error: BaseException, told: Any
) -> None:
    """And the rest is Celery's."""
    seen: list[Any] = []
    monkeypatch.setattr(StockRequest, "on_failure", lambda _, *args, **given: (seen.append((args, given)), "ok")[1])
    made, info = request(), raised(error)

    assert made.on_failure(info, send_failed_event=False, return_ok=True) == "ok"
    made.on_failure(info)

    event = ("task-retried", {"exception": "the job goes on: see oppsync job show", "traceback": ""})
    assert made.events == [event] * (2 if told else 0)
    assert seen == [
        ((info,), {"send_failed_event": False, "return_ok": True}),
        ((info,), {"send_failed_event": True, "return_ok": False}),
    ]


@pytest.mark.parametrize(("error", "name"), [(ValueError("Maria"), "ValueError"), (None, "Retry")])
@pytest.mark.parametrize("late", [True, False])
def test_a_retry_is_shown_by_its_error_s_name(error: Exception | None, name: str, late: Any) -> None:
    """Its text may quote a customer."""
    made = request(_task=SimpleNamespace(acks_late=late))

    made.on_retry(raised(Retry(exc=error)))

    event = ("task-retried", {"exception": name, "traceback": ""})
    assert made.events == (["acknowledged", event] if late else [event])


@pytest.mark.parametrize(
    ("kwargs", "shown"),
    [
        ({"instance": "acme", "lane": "bulk", "title": "Maria"}, {"instance": "acme", "lane": "bulk"}),
        ({"title": "Maria", "lane": "bulk"}, {"lane": "bulk"}),
        (["Maria"], {}),
    ],
)
def test_remote_control_shows_where_a_job_goes_and_nothing_of_whom(
    monkeypatch: pytest.MonkeyPatch, kwargs: Any, shown: dict[str, str]
) -> None:
    """Whatever it asks for."""
    asked: list[Any] = []
    stock = {"id": "j1", "args": ["Maria"], "kwargs": {"title": "Maria"}}
    monkeypatch.setattr(StockRequest, "info", lambda _, **given: (asked.append(given), dict(stock))[1])
    made = request(_kwargs=kwargs)

    assert made.info() == {"id": "j1", "args": [], "kwargs": shown}
    assert asked == [{"safe": True}]
    assert made.terminate(None) is None
    assert (Request.argsrepr, Request.kwargsrepr) == ("", "")


# Remote control.


@pytest.fixture
def clean(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """A worker that is busy with `j1`, and has nothing revoked."""
    revoked: set[str] = set()
    monkeypatch.setattr(celery_state, "revoked", revoked)
    monkeypatch.setattr(celery_state, "active_requests", (SimpleNamespace(id="j1"),))
    return revoked


WAITS = "will be buried as revoked when this worker gets them: "
STARTED = "under way, and not called back, for nobody could tell what the CRM has done by then: "


@pytest.mark.parametrize(
    ("ids", "answer", "revoked"),
    [
        (None, {"error": "no id was given"}, set()),
        ([], {"error": "no id was given"}, set()),
        ("j2", {"ok": WAITS + "j2"}, {"j2"}),
        (["j3", "j2", "j2"], {"ok": WAITS + "j2, j3"}, {"j2", "j3"}),
        ("j1", {"error": STARTED + "j1"}, set()),
        (["j2", "j1"], {"ok": f"{WAITS}j2; {STARTED}j1"}, {"j2"}),
        ([7], {"ok": WAITS + "7"}, {"7"}),
    ],
)
@pytest.mark.parametrize("verb", ["revoke", "terminate"])
def test_what_was_not_begun_can_be_revoked(
    clean: set[str], ids: Any, answer: dict[str, str], revoked: set[str], verb: str
) -> None:
    """What is under way goes on to its true end, and the answer says so."""
    said = remote.revoke(None, ids) if verb == "revoke" else remote.terminate(None, "KILL", ids)

    assert said == answer
    assert clean == revoked


def test_a_worker_that_only_answers_questions_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """All that does is refused, but for what Flower asks by itself; with `all`, only the impossible is."""
    closed, opened = remote.handlers("inspect"), remote.handlers("all")

    assert set(opened) == set(closed) == set(Panel.data) | set(remote.IMPOSSIBLE)
    for name, why in remote.IMPOSSIBLE.items():
        assert opened[name](None) == {"error": f"{name} was refused: {why}"}
    ours = {"revoke", "terminate", "enable_events", "disable_events", "add_consumer", "cancel_consumer"}
    for name in ours:
        assert opened[name] is getattr(remote, name)
    assert set(remote.IMPOSSIBLE) <= set(Panel.data)
    assert closed["enable_events"] is remote.enable_events
    assert closed["disable_events"] is remote.disable_events
    assert closed["heartbeat"] is Panel.data["heartbeat"]
    assert closed["ping"] is opened["ping"] is Panel.data["ping"]
    said = "this worker only answers questions: it was started with OPPSYNC_REMOTE_CONTROL=inspect"
    refused = {name for name, meta in Panel.meta.items() if meta.type == "control"} - remote.ALWAYS
    assert refused >= {"revoke", "terminate", "add_consumer", "cancel_consumer", "shutdown"}
    for name in refused:
        assert closed[name](None, 1, a=2) == {"error": f"{name} was refused: {said}"}
    assert len(caplog.records) == len(remote.IMPOSSIBLE) + len(refused)
    assert opened["shutdown"] is Panel.data["shutdown"]


def test_events_are_told_only_by_a_worker_that_can(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that was started without has no dispatcher."""
    deaf = SimpleNamespace(consumer=SimpleNamespace(event_dispatcher=None))
    dispatcher = SimpleNamespace(groups=set())
    state = SimpleNamespace(consumer=SimpleNamespace(event_dispatcher=dispatcher))
    monkeypatch.setitem(Panel.data, "enable_events", lambda given: ("on", given))
    monkeypatch.setitem(Panel.data, "disable_events", lambda given: ("off", given))

    assert "start it as" in remote.enable_events(deaf)["error"]
    assert remote.disable_events(deaf) == {"ok": "this worker tells no events, as it was started without -E"}
    assert remote.enable_events(state) == ("on", state)
    assert remote.disable_events(state) == ("off", state)
    assert dispatcher.groups == {"worker", "task"}
    dispatcher.groups = {"worker"}
    remote.disable_events(state)
    assert dispatcher.groups == {"worker"}


def test_only_lanes_can_be_served(monkeypatch: pytest.MonkeyPatch) -> None:
    """And only what is served can be left."""
    monkeypatch.setitem(Panel.data, "add_consumer", lambda *args, **given: (args, given))
    monkeypatch.setitem(Panel.data, "cancel_consumer", lambda *args, **given: (args, given))
    queues = SimpleNamespace(consume_from={"opportunities.bulk": 1})
    state = SimpleNamespace(app=SimpleNamespace(amqp=SimpleNamespace(queues=queues)))

    assert remote.add_consumer(state, "x") == {
        "error": "there is no queue 'x': only opportunities.interactive, opportunities.bulk"
    }
    assert remote.add_consumer(state, "opportunities.bulk", a=1) == ((state, "opportunities.bulk"), {"a": 1})
    assert remote.cancel_consumer(state, "x") == {"error": "this worker does not serve a queue 'x'"}
    assert remote.cancel_consumer(state, "opportunities.bulk", a=1) == ((state, "opportunities.bulk"), {"a": 1})


# Starting.


def conf(**given: Any) -> Any:
    """Celery's settings as this worker has them."""
    return SimpleNamespace(**{"worker_pool": TaskPool, "worker_concurrency": 200, **given})


def problems(capsys: pytest.CaptureFixture[str], options: dict[str, Any], settings: Any) -> list[str]:
    """What a start is refused for; nothing if it is not."""
    said: list[list[str]] = []
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(starting, "refuse", lambda *given: said.append([f"oppsync: {one}" for one in given]))
        starting.refuse_what_cannot_be_kept(None, options, settings)
    # Nothing to say is no refusal.
    assert all(said)
    found = [line for lines in said for line in lines]
    if found:
        with pytest.raises(SystemExit) as end:
            starting.refuse_what_cannot_be_kept(None, options, settings)
        assert end.value.code == 2
        assert capsys.readouterr().err.splitlines() == found
    return found


@pytest.mark.parametrize("option", list(starting.OPTIONS))
def test_an_option_that_cannot_be_kept_ends_the_start(capsys: pytest.CaptureFixture[str], option: str) -> None:
    """With one sentence; not when it is given and says nothing."""
    name, why = starting.OPTIONS[option]

    assert problems(capsys, {option: 1}, conf()) == [f"oppsync: {name}: {why}"]
    assert problems(capsys, {option: None}, conf()) == problems(capsys, {option: 0}, conf()) == []
    assert name == "--" + option.replace("_", "-")


@pytest.mark.parametrize(("setting", "option"), starting.SETTINGS.items())
def test_so_does_a_setting(capsys: pytest.CaptureFixture[str], setting: str, option: str) -> None:
    """But for the autoscaler's class, which every Celery has."""
    found = problems(capsys, {}, conf(**{setting: 1}))

    why = starting.OPTIONS[option][1]
    assert found == ([] if option == "autoscale" else [f"oppsync: Celery's setting {setting}: {why}"])


def test_what_is_refused_is_called_as_celery_calls_it() -> None:
    """Under another name it would be taken, and forgotten."""
    options = {option.name for option in worker_command.params}

    assert set(starting.OPTIONS) <= options
    assert {"pool", "queues", "exclude_queues", "concurrency"} <= options
    assert set(starting.SETTINGS) <= set(Celery(set_as_current=False).conf)


POOL = "oppsync: --pool: another pool than this worker's own would claim jobs and send none: leave it out"


@pytest.mark.parametrize(
    ("options", "settings", "refused"),
    [
        ({}, {}, False),
        ({"pool": TaskPool}, {}, False),
        ({"pool": type("Mine", (TaskPool,), {})}, {}, False),
        ({"pool": "prefork"}, {}, True),
        ({"pool_cls": "prefork"}, {}, True),
        ({"pool_cls": TaskPool}, {}, False),
        ({"pool": dict}, {}, True),
        ({"pool": TaskPool}, {"worker_pool": "prefork"}, True),
        ({}, {"worker_pool": "prefork"}, True),
    ],
)
def test_another_pool_ends_the_start(
    capsys: pytest.CaptureFixture[str], options: dict[str, Any], settings: dict[str, Any], refused: Any
) -> None:
    """Wherever it was chosen."""
    assert problems(capsys, options, conf(**settings)) == ([POOL] if refused else [])


@pytest.mark.parametrize(
    ("line", "environ", "refused"),
    [
        ([], {}, False),
        (["--pool", "prefork"], {}, True),
        (["--pool", "ours"], {}, True),
        ([], {"WORKER_POOL": "ours"}, True),
    ],
)
def test_a_pool_that_was_asked_for_ends_the_start_whatever_celery_makes_of_it(
    line: list[str], environ: dict[str, str], refused: Any
) -> None:
    """Celery resolves the name after its settings, and gives the settings' pool for the default's name."""
    found: list[str] = []

    @click.command()
    @click.option("--pool", default="ours", envvar="WORKER_POOL")
    def worker(pool: str) -> None:
        assert pool
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(starting, "refuse", lambda *given: found.extend(given))
            starting.refuse_what_cannot_be_kept(None, {}, conf())

    done = CliRunner().invoke(worker, line, env=environ)

    assert done.exit_code == 0, done.output
    assert [f"oppsync: {one}" for one in found] == ([POOL] if refused else [])


@pytest.mark.parametrize("option", ["queues", "exclude_queues"])
@pytest.mark.parametrize(
    ("given", "unknown"),
    [
        (None, ""),
        ("opportunities.bulk,opportunities.interactive", ""),
        ("opportunities.bulk,x,a", "a, x"),
        (["x"], "x"),
    ],
)
def test_only_lanes_are_served(capsys: pytest.CaptureFixture[str], option: str, given: Any, unknown: str) -> None:
    """A name that is wrong would serve nothing."""
    name = "--" + option.replace("_", "-")
    said = f"oppsync: {name}: there is no queue {unknown}, only opportunities.bulk, opportunities.interactive"

    assert problems(capsys, {option: given}, conf()) == ([said] if unknown else [])


@pytest.mark.parametrize(
    ("value", "fits"),
    [(1, True), ("7", True), (starting.MOST_CONCURRENCY, True), (0, False), (-1, False), ("many", False), ([], False)],
)
def test_the_number_of_calls_is_within_bounds(capsys: pytest.CaptureFixture[str], value: Any, fits: Any) -> None:
    """Whether it was an option or a setting."""
    most = starting.MOST_CONCURRENCY
    said = f"--concurrency: must be a whole number from 1 to {most}, and is {value}"

    assert starting.concurrency_problem(value) == ([] if fits else [said])
    assert problems(capsys, {}, conf(worker_concurrency=value)) == ([] if fits else [f"oppsync: {said}"])
    assert problems(capsys, {"concurrency": value or 1}, conf(worker_concurrency="x")) == (
        [] if fits or not value else [f"oppsync: {said}"]
    )
    assert starting.concurrency_problem(most + 1) != []
    assert starting.concurrency_problem("x" * 50)[0].endswith("and is " + "x" * 40)


def test_what_celery_made_of_it_is_looked_at_once_more(capsys: pytest.CaptureFixture[str]) -> None:
    """Before anything is claimed."""
    pool = TaskPool.__new__(TaskPool)

    starting.check_pool(SimpleNamespace(concurrency=1), pool)
    for wrong in ((SimpleNamespace(concurrency=1), object()), (SimpleNamespace(concurrency=0), pool)):
        with pytest.raises(SystemExit) as end:
            starting.check_pool(*wrong)
        assert end.value.code == 2
    assert [line[:21] for line in capsys.readouterr().err.splitlines()] == [POOL[:21], "oppsync: --concurrenc"]


# The consumer.


@pytest.mark.parametrize(
    ("verb", "args", "cause", "says"),
    [
        ("on_unknown_message", ("body", "MESSAGE"), Cause.MALFORMED, "the message names no task"),
        (
            "on_unknown_task",
            ("body", "MESSAGE", KeyError()),
            Cause.UNKNOWN_TASK,
            f"there is no task '{'t' * 100}' in this worker",
        ),
        (
            "on_invalid_task",
            ("body", "MESSAGE", ValueError("Maria")),
            Cause.MALFORMED,
            "Celery refuses the message: ValueError",
        ),
        (
            "on_decode_error",
            ("MESSAGE", ValueError("Maria")),
            Cause.UNDECODABLE,
            "Celery cannot decode the message: ValueError",
        ),
    ],
)
@pytest.mark.parametrize("headers", [{"task": "t" * 150}, None])
def test_what_celery_cannot_run_is_buried_before_it_is_acknowledged(
    verb: str, args: tuple[Any, ...], cause: Cause, says: str, headers: Any
) -> None:
    """With its headers, if they are any."""
    if headers is None and verb == "on_unknown_task":
        headers = {}
        says = "there is no task 'None' in this worker"
    done: list[Any] = []
    message = SimpleNamespace(headers=headers, delivery_tag="7", ack=lambda: done.append("acknowledged"))
    made = Consumer.__new__(Consumer)
    made.engine = SimpleNamespace(bury=lambda *given, **more: done.append((given, more)))  # type: ignore[assignment]

    getattr(made, verb)(*(message if one == "MESSAGE" else one for one in args))

    assert done == [(("7", headers), {"cause": cause, "detail": says}), "acknowledged"]


def consumer_of(concurrency: int = 2, pool: Any = None, **given: Any) -> Any:
    """Celery's own making of ours, from the options that a worker was started with."""
    made: Any = type("Mine", (Consumer,), {"engine": SimpleNamespace()})
    controller = SimpleNamespace(concurrency=concurrency, use_eventloop=False)
    app = Celery("app", set_as_current=False, broker="redis://127.0.0.1:1", backend="disabled://")
    return made(
        None, app=app, controller=controller, pool=pool or TaskPool.__new__(TaskPool), hostname="w@host", **given
    )


@pytest.mark.parametrize(
    ("events", "options", "beats"),
    [
        (True, {}, True),
        (True, {"without_heartbeat": False}, True),
        (True, {"without_heartbeat": True}, False),
        (True, None, True),
        (False, {}, False),
        (False, {"without_heartbeat": True}, False),
    ],
)
def test_a_worker_beats_for_whoever_watches_and_greets_nobody(events: Any, options: Any, beats: Any) -> None:
    """Flower takes a worker with events and without a heartbeat for dead; whoever wants that has to say it."""
    made = consumer_of(task_events=events, worker_options=options)

    doing = {type(step) for step in made.steps}
    assert (Heart in doing) is beats
    assert doing.isdisjoint({Mingle, Gossip})
    assert Control in doing


def test_a_consumer_answers_what_it_may_and_tells_what_it_consumes() -> None:
    """Questions only, unless it is told otherwise; the queues are those of this moment."""
    made = consumer_of()
    (control,) = (step for step in made.steps if isinstance(step, Control))

    assert control.box.node.handlers.keys() == remote.handlers("inspect").keys()
    assert control.box.node.handlers["shutdown"](None)["error"].endswith("OPPSYNC_REMOTE_CONTROL=inspect")
    made.app.amqp.queues.select(["one", "two"])
    assert sorted(made.engine.consumed()) == ["one", "two"]
    made.app.amqp.queues.deselect("two")
    assert made.engine.consumed() == ["one"]


@pytest.mark.parametrize("wrong", [{"pool": SimpleNamespace(is_green=False)}, {"concurrency": 0}])
def test_a_consumer_over_another_pool_is_not_made(capsys: pytest.CaptureFixture[str], wrong: Any) -> None:
    """It would claim jobs that nobody sends."""
    with pytest.raises(SystemExit):
        consumer_of(**wrong)

    assert capsys.readouterr().err.startswith("oppsync: --")


def test_redis_is_waited_for_a_little_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a second, then more, three at most; the watchdog sees that the worker is awake."""
    seen: list[Any] = []
    monkeypatch.setattr(consumer.StockConsumer, "ensure_connected", lambda _, conn: conn)
    made = Consumer.__new__(Consumer)
    made.engine = SimpleNamespace(polled=lambda: seen.append("polled"))  # type: ignore[assignment]
    connection = SimpleNamespace(ensure_connection=lambda *args, **given: seen.append((args, given)))

    assert made.ensure_connected(connection) is connection
    connection.ensure_connection("errback", 5, callback=lambda: seen.append("turn"))

    (args, given), *_ = seen
    assert args == ("errback", 5, 0.5, 0.5, 3.0)
    given.pop("callback")()
    assert given == {}
    assert seen[1:] == ["polled", "turn"]
