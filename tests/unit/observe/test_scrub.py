"""What may leave with an event."""

import logging

import pytest
from pydantic import SecretStr

from oppsync_worker.contract.failures import JobRejected
from oppsync_worker.observe.scrub import WITHHELD, Scrubber

TOKEN = "Zq81-päss/word"


def scrubber(*secrets: str) -> Scrubber:
    """With `secrets`, and a redactor that does nothing."""
    return Scrubber(secrets=map(SecretStr, secrets), redact=lambda text: text)


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("mail to maria.souza+crm@example.com.br now", "mail to [e-mail] now"),
        ("call +55 (11) 99876-5432 now", "call [number] now"),
        ("cpf 123.456.789-09", "cpf [number]"),
        ("GET https://api.example/crm?apitoken=abc&i=x failed", "GET https://api.example/crm?[query] failed"),
        ("redis://:pw@localhost:6379/0", "redis://[credentials]@localhost:6379/0"),
        ("Authorization: Bearer abc.def", "Authorization: [secret]"),
        ("token=abc, password: 'xyz'", "token=[secret], password: '[secret]'"),
        ("id 3f2b8a52-7a5e-4a0c-9b3e-0f6a1d2c3b4a", "id [uuid]"),
        ('got {"dataLead": {"name": "Maria"}} back', "got {…}"),
        ('got {"name": "Maria", "cut off in the mid', "got {…}"),
        ("dataLead name Maria", "[lead]"),
        ("two\nlines", r"two\nlines"),
        ("HTTP 400: column 159 of funnel 12 is closed", "HTTP 400: column 159 of funnel 12 is closed"),
        ("opportunity-sync@0.1.0.dev3", "opportunity-sync@0.1.0.dev3"),
    ],
)
def test_texts_lose_what_is_personal_or_secret(text: str, clean: str) -> None:
    """And keep what an operator needs."""
    assert scrubber().text(text) == clean


@pytest.mark.parametrize("written", [TOKEN, TOKEN.upper(), "Zq81-p%C3%A4ss%2Fword", repr(TOKEN)])
def test_known_secrets_are_found_however_they_are_written(written: str) -> None:
    """Plain, in other letters, in a URL, in a repr."""
    assert scrubber(TOKEN).text(f"a {written.strip(chr(39))} b") == "a [secret] b"


def test_secrets_too_short_to_hide_hide_nothing() -> None:
    """An empty one would match everywhere."""
    assert scrubber("", " ", "abc").text("abcdef") == "abcdef"


def test_an_event_is_built_from_what_is_allowed() -> None:
    """Everything else stays, known to us or not; secrets are taken out of the rest."""
    event = {
        "event_id": "e",
        "level": "error",
        "message": "m",
        "request": {"url": "https://x?apitoken=1", "data": "d"},
        "user": {"email": "m@example.com"},
        "extra": {"sys.argv": ["-b", "redis://:pw@x"]},
        "modules": {"a": "1"},
        "server_name": f"host-{TOKEN}",
        "tags": {"instance": "acme", "strange": "x", "celery_task_id": "j1"},
        "contexts": {"trace": {"trace_id": "t", "data": {"url": "u"}}, "strange": {}},
        "exception": {"values": [{"type": "E", "value": "Maria", "stacktrace": {"frames": [{"vars": {"a": 1}}]}}]},
        "breadcrumbs": {"values": [{"message": "m", "data": {"a": 1}}]},
        "of_a_later_sdk": "Maria",
    }

    assert scrubber(TOKEN).event(event, None) == {
        "event_id": "e",
        "level": "error",
        "message": "m",
        "server_name": "host-[secret]",
        "tags": {"instance": "acme", "job_id": "j1"},
        "contexts": {"trace": {"trace_id": "t"}},
        "exception": {"values": [{"type": "E", "value": WITHHELD, "stacktrace": {"frames": [{}]}}]},
        "breadcrumbs": {"values": [{"message": "m"}]},
    }


def test_only_texts_of_our_own_errors_are_told() -> None:
    """A foreign error may quote a person in words that no pattern finds."""
    error = JobRejected("HTTP 400: no such column, says maria@example.com")
    error.__cause__ = ValueError("Maria Souza")
    values = [
        {"type": "ValueError", "module": "builtins", "value": "Maria Souza"},
        {"type": "JobRejected", "module": JobRejected.__module__, "value": "whatever the SDK made of it"},
    ]

    built = scrubber().event({"exception": {"values": values}}, error)

    texts = [one["value"] for one in built["exception"]["values"]]
    assert texts == [WITHHELD, "HTTP 400: no such column, says [e-mail]"]


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (logging.LogRecord("x", 30, "f.py", 7, "lost %s", ("Maria",), None, "go"), "lost %s"),
        (logging.LogRecord("x", 30, "f.py", 7, "lost Maria", (), None, "go"), "f.go:7"),
    ],
)
def test_a_breadcrumb_tells_the_template_or_the_place(record: logging.LogRecord, message: str) -> None:
    """Never the arguments."""
    crumb = scrubber().breadcrumb({"message": "lost Maria", "data": {"a": 1}, "category": "x"}, record)

    assert crumb == {"category": "x", "message": message}


def test_a_breadcrumb_that_no_record_vouches_for_is_dropped() -> None:
    """A URL, a query, whatever an integration leaves."""
    assert scrubber().breadcrumb({"category": "httplib", "data": {"url": "u"}}, None) is None


def test_a_trace_has_names_and_times_only() -> None:
    """No descriptions, no data."""
    event = {
        "type": "transaction",
        "transaction": "opportunities.create",
        "spans": [{"op": "db", "description": "GET maria", "data": {"a": 1}, "span_id": "s"}],
        "contexts": {"trace": {"trace_id": "t", "data": {"a": 1}}},
        "request": {"data": "d"},
    }

    assert scrubber().transaction(event) == {
        "type": "transaction",
        "transaction": "opportunities.create",
        "spans": [{"op": "db", "span_id": "s"}],
        "contexts": {"trace": {"trace_id": "t"}},
    }
