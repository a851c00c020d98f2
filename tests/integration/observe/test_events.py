"""What Sentry receives, byte for byte, from a real SDK over a real socket."""

import logging
import socket
import time
import uuid
from collections.abc import Callable
from typing import Any

import aiohttp
import httpx
import pytest
import sentry_sdk

from integration.observe.sentry_server import SentryServer
from oppsync_worker.observe.context import handling
from oppsync_worker.observe.lines import AttemptLine
from oppsync_worker.observe.observer import NoReports, Observer
from oppsync_worker.observe.scrub import WITHHELD
from oppsync_worker.observe.sentry import flush, init_sentry
from oppsync_worker.version import release

JOB_ID = "0b7c6c1e-5f43-4b2e-9d0a-7a1f4f3c2b1a"
TOKEN = str(uuid.UUID(int=0x5EC2E7_0A0B_4C0D_8E0F_112233445566))
PASSWORD = "corr&ct h0rse/baty"
NAME, MAIL, PHONE = "Marivalda", "marivalda.q@example.com.br", "+55 (11) 99876-5432"
PLANTED = (TOKEN, TOKEN.replace("-", ""), PASSWORD, "corr%26ct", NAME, NAME.upper(), MAIL, PHONE, "99876")


def line(**given: Any) -> AttemptLine:
    """A dead letter of which only `given` matters."""
    known = {
        "job_id": JOB_ID,
        "instance": "acme",
        "kind": "opportunities.create",
        "lane": "bulk",
        "verdict": "bury",
        "state": "dead",
        "cause": "rejected",
        "status": 400,
        "error": "Rejected",
        "attempt": 3,
        "age_ms": 8123,
    }
    return AttemptLine(**{**known, **given})


def normal(event: dict[str, Any]) -> dict[str, Any]:
    """The event without what changes from run to run; missing parts raise."""
    assert len(event.pop("event_id")) == 32
    assert event.pop("timestamp").endswith("Z")
    trace = event["contexts"].pop("trace")
    assert set(trace) <= {"trace_id", "span_id", "parent_span_id", "op", "status", "origin"}
    assert event["sdk"].pop("version") == sentry_sdk.VERSION
    assert event["sdk"].pop("packages")
    return event


def test_a_dead_letter_is_one_whole_event(observer: Observer, sentry: SentryServer) -> None:
    """The golden sample: nothing is in an event but this."""
    logging.getLogger("kombu.connection").warning("lost %s", "redis")

    observer.buried(line(), detail="HTTP 400: user cannot be cast to number")
    flush(5)

    (event,) = sentry.events
    # The SDK keeps what was logged before this test, too.
    crumbs = [crumb for crumb in event["breadcrumbs"]["values"] if crumb["category"] == "kombu.connection"]
    assert crumbs[-1].pop("timestamp")
    event["breadcrumbs"]["values"] = crumbs[-1:]
    assert normal(event) == {
        "message": "dead letter: rejected (HTTP 400)",
        "level": "error",
        "logger": "oppsync_worker",
        "platform": "python",
        "fingerprint": ["dead", "rejected", "opportunities.create", "400"],
        "tags": {
            "instance": "acme",
            "kind": "opportunities.create",
            "job_id": JOB_ID,
            "lane": "bulk",
            "cause": "rejected",
            "attempt": "3",
        },
        "contexts": {
            "dead_letter": {
                "verdict": "bury",
                "state": "dead",
                "replays": 0,
                "status": 400,
                "error": "Rejected",
                "age_ms": 8123,
                "detail": "HTTP 400: user cannot be cast to number",
            }
        },
        "breadcrumbs": {
            "values": [{"type": "log", "level": "warning", "category": "kombu.connection", "message": "lost %s"}]
        },
        "environment": "test",
        "release": f"opportunity-sync@{release()}",
        "server_name": "worker-1",
        "sdk": {
            "name": "sentry.python",
            "integrations": ["atexit", "celery", "excepthook", "logging", "threading"],
        },
    }


def test_dead_letters_are_grouped_by_what_one_would_mend(observer: Observer, sentry: SentryServer) -> None:
    """Jobs of one cause, kind and status are one group, whatever their ids and texts."""
    observer.buried(line(job_id="a"), detail="one")
    observer.buried(line(job_id="b", instance="beta", lane="interactive", attempt=1), detail="two")
    observer.buried(line(status=404), detail="three")
    observer.buried(line(cause="exhausted", status=None, error="Unavailable"), detail="four")
    observer.buried(line(cause="poison", status=None, error=None, kind=None, instance=None), detail="five")
    flush(5)

    titles = [event["message"] for event in sentry.events]
    groups = {tuple(event["fingerprint"]) for event in sentry.events}
    assert titles == [
        "dead letter: rejected (HTTP 400)",
        "dead letter: rejected (HTTP 400)",
        "dead letter: rejected (HTTP 404)",
        "dead letter: exhausted (Unavailable)",
        "dead letter: poison",
    ]
    assert groups == {
        ("dead", "rejected", "opportunities.create", "400"),
        ("dead", "rejected", "opportunities.create", "404"),
        ("dead", "exhausted", "opportunities.create", "Unavailable"),
        ("dead", "poison", "unknown", "none"),
    }


def test_attempts_notices_and_logged_errors_are_no_events(observer: Observer, sentry: SentryServer) -> None:
    """Retries are no news, and the log is the log."""
    for verdict in ("succeeded", "retry", "wait", "hold", "in_doubt", "parked"):
        observer.attempt(line(verdict=verdict, state="scheduled"))
    observer.notice("held", instance="acme")
    observer.notice("no such event")
    try:
        int(NAME)
    except ValueError:
        logging.getLogger("anything").exception("%s failed", NAME)
    flush(5)

    assert sentry.events == []


def leak() -> None:
    """Fails with a customer's data in its arguments, its locals, its notes and its cause."""
    lead = {"dataLead": {"name": NAME, "email": MAIL, "phone": PHONE}}
    url = f"https://api.example/crm?apitoken={TOKEN}&i=acme&p={PASSWORD}"
    try:
        {}[lead["dataLead"]["name"]]
    except KeyError as cause:
        error = ValueError(f"POST {url}: lead {NAME} <{MAIL}> {PHONE}", lead, {"password": PASSWORD})
        error.add_note(f"the lead was {lead}")
        raise error from cause


def test_nothing_planted_leaves(observing: Callable[..., Observer], sentry: SentryServer) -> None:
    """Not from arguments, locals, notes, causes, breadcrumbs, log messages, queries, tags, users, extras or details."""
    observer = observing(TOKEN, PASSWORD)
    log = logging.getLogger("some.library")
    lead = {"dataLead": {"name": NAME, "email": MAIL, "phone": PHONE}}
    scope = sentry_sdk.get_isolation_scope()
    scope.set_user({"email": MAIL, "username": NAME})
    scope.set_extra("lead", lead)
    scope.set_tag("lead", NAME)
    scope.set_context("lead", lead)
    sentry_sdk.add_breadcrumb(message=f"lead {NAME}", category="http", data={"url": f"https://x?apitoken={TOKEN}"})
    log.warning("lead %s has %r", NAME, lead, extra={"lead": lead})
    log.error(f"lead {NAME} {MAIL} {PASSWORD}")  # noqa: G004  as libraries do
    log.error("mail %(mail)s to {MAIL}".replace("{MAIL}", MAIL), {"mail": MAIL})

    with handling(JOB_ID, instance="acme"):
        try:
            leak()
        except ValueError as error:
            observer.unexpected(error, job_id=JOB_ID, instance="acme", kind="opportunities.create", lane="bulk")
        observer.buried(
            line(message=f"for {MAIL}"),
            detail=f'HTTP 400 to https://x/crm?apitoken={TOKEN}: {PASSWORD} {MAIL} {PHONE} {{"dataLead": "{NAME}',
        )
        observer.buried(line(job_id=MAIL, instance=TOKEN, cause=PHONE, kind=PASSWORD), detail="hostile identities")
    flush(5)

    assert len(sentry.events) == 3
    assert [planted for planted in PLANTED if planted.encode() in sentry.everything] == []
    assert [planted for planted in PLANTED if planted.encode("ascii", "backslashreplace") in sentry.everything] == []


def test_an_unexpected_error_has_its_stack_and_its_job(observer: Observer, sentry: SentryServer) -> None:
    """Classes, source lines and tags; no texts, no locals, no paths of the machine."""
    try:
        leak()
    except ValueError as error:
        observer.unexpected(error, job_id=JOB_ID, instance="acme", kind="opportunities.create", lane="bulk")
    flush(5)

    (event,) = sentry.events
    cause, error = event["exception"]["values"]
    assert (cause["type"], cause["value"]) == ("KeyError", WITHHELD)
    assert (error["type"], error["value"]) == ("ValueError", WITHHELD)
    assert [frame["function"] for frame in error["stacktrace"]["frames"]][-1] == "leak"
    assert "raise error from cause" in error["stacktrace"]["frames"][-1]["context_line"]
    assert not {key for frame in error["stacktrace"]["frames"] for key in frame} & {"vars", "abs_path"}
    assert event["tags"] == {
        "instance": "acme",
        "kind": "opportunities.create",
        "job_id": JOB_ID,
        "lane": "bulk",
        "cause": "unexpected",
    }


def test_the_same_error_is_told_once(observer: Observer, sentry: SentryServer) -> None:
    """However often it is handed in, and by whom; another one of its class is told again."""
    error = RuntimeError("x")
    for _ in range(3):
        observer.unexpected(error, job_id="a", instance=None, kind=None)
    sentry_sdk.capture_exception(error)
    observer.unexpected(RuntimeError("x"), job_id="b", instance=None, kind=None)
    flush(5)

    assert [event["tags"]["job_id"] for event in sentry.events] == ["a", "b"]


class Hostile(Exception):
    """Nothing about it works."""

    def __str__(self) -> str:
        raise RuntimeError("no")

    __repr__ = __str__

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(name)


def test_a_hostile_error_is_told_by_its_class(observer: Observer, sentry: SentryServer) -> None:
    """Nothing can be asked of it, and still somebody should know."""
    observer.unexpected(Hostile(), job_id=JOB_ID, instance="acme", kind=None)
    flush(5)

    (event,) = sentry.events
    assert event["exception"]["values"][0]["type"] == "Hostile"
    assert event["tags"]["job_id"] == JOB_ID


@pytest.mark.parametrize("style", ["httpx", "aiohttp"])
async def test_the_crm_sees_no_tracing_headers(observer: Observer, sentry: SentryServer, style: str) -> None:
    """Whatever transport carries the request, within a traced job too."""
    del observer
    from oppsync_worker.crm.transport import AiohttpTransport  # noqa: PLC0415  after the SDK was set up, as in the worker

    with sentry_sdk.start_transaction(name="job"):
        if style == "aiohttp":
            async with aiohttp.ClientSession() as session, session.get(sentry.url) as answer:
                await answer.read()
        else:
            async with httpx.AsyncClient(transport=AiohttpTransport()) as client:
                await client.get(sentry.url)
                async with httpx.AsyncClient() as plain:
                    await plain.get(sentry.url)

    sent = {name for headers in sentry.headers for name in headers}
    assert sentry.headers
    assert not sent & {"sentry-trace", "baggage", "traceparent"}


def test_tracing_is_off_and_can_be_turned_on(observing: Callable[..., Observer], sentry: SentryServer) -> None:
    """Traces carry names and times only."""
    observing()
    with sentry_sdk.start_transaction(name="off"):
        pass
    sentry_sdk.get_client().close(timeout=5)
    without = sentry.kinds
    observing(TOKEN, traces_sample_rate=1.0)
    with sentry_sdk.start_transaction(name="on"), sentry_sdk.start_span(op="db", name=f"GET {NAME} {TOKEN}") as span:
        span.set_data("lead", NAME)
    flush(5)

    assert "transaction" not in without
    assert "transaction" in sentry.kinds
    assert NAME.encode() not in sentry.everything
    assert TOKEN.encode() not in sentry.everything


@pytest.mark.parametrize("dsn", [None, "", "  "])
def test_without_a_dsn_nothing_happens(monkeypatch: pytest.MonkeyPatch, dsn: str | None) -> None:
    """Not even when the SDK would find one in the environment."""
    monkeypatch.setenv("SENTRY_DSN", "http://k@127.0.0.1:9/1")

    reports = init_sentry(dsn, environment="test", redact=str)

    assert isinstance(reports, NoReports)
    assert not sentry_sdk.get_client().is_active()
    flush(0.1)


@pytest.mark.parametrize(
    "dsn", ["nonsense", "https://host/1", "https://k@host/project", "ftp://k@h/1", "http://k@h:x/1"]
)
def test_an_impossible_dsn_is_refused_by_the_name_of_its_setting(dsn: str) -> None:
    """And is not repeated."""
    with pytest.raises(ValueError, match=r"^SENTRY_DSN is not a Sentry DSN") as refusal:
        init_sentry(dsn, environment="test", redact=str)

    assert dsn not in str(refusal.value)


def test_an_unreachable_sentry_stops_nobody(observing: Callable[..., Observer]) -> None:
    """Reports are dropped; nothing raises, and nothing waits longer than it was told."""
    observing()
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    observer = Observer(reports=init_sentry(f"http://k@127.0.0.1:{port}/1", environment="test", redact=str))

    started = time.monotonic()
    for number in range(300):
        observer.buried(line(job_id=str(number)), detail="d")
    flush(0.5)

    assert time.monotonic() - started < 20


def test_personal_data_stays_off_in_the_sdk(observer: Observer) -> None:
    """The options that nobody may turn on by accident."""
    del observer
    client = sentry_sdk.get_client()

    assert client.should_send_default_pii() is False
    assert client.options["include_local_variables"] is False
    assert client.options["max_request_body_size"] == "never"
    assert client.options["trace_propagation_targets"] == []
    assert client.options["traces_sample_rate"] is None
    assert client.options["event_scrubber"].recursive is True
    assert client.options["spotlight"] is False
    assert set(client.integrations) == {"atexit", "celery", "excepthook", "logging", "threading"}
