"""Every row of the classification table, for both kinds and for look-ups."""

# ruff: noqa: D103 - the test tools here speak through their names

import json
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oppsync_worker.contract.names import Kind
from oppsync_worker.crm.answers import Expected, Record
from oppsync_worker.crm.body import Answer
from oppsync_worker.crm.classify import classify_answer, classify_failure, classify_listing, stray
from oppsync_worker.crm.listings import Listing
from oppsync_worker.crm.sightings import Sought
from oppsync_worker.errors import (
    AnswerLost,
    AttemptError,
    CredentialRefused,
    NotSent,
    Rejected,
    Seen,
    Throttled,
    Unavailable,
)

NOW = datetime(2024, 3, 19, 21, 14, 35, tzinfo=UTC)
CREATE = Expected(Kind.CREATE, lead_id=8473, crm_column=159)
UPDATE = Expected(Kind.UPDATE, opportunity_id=4534)
SOUGHT = Sought("A sale", None, None, 159, 8473, "m-1", "oppsync")
UNSETTLED: dict[Kind | None, type[AttemptError]] = {
    Kind.CREATE: AnswerLost,
    Kind.UPDATE: Unavailable,
    None: Unavailable,
}

both = pytest.mark.parametrize("expected", [CREATE, UPDATE], ids=["create", "update"])
every = pytest.mark.parametrize("expected", [CREATE, UPDATE, SOUGHT], ids=["create", "update", "look-up"])
every_kind = pytest.mark.parametrize("kind", [*Kind, None])


def answer(status: int, body: Any = b"", *, complete: bool = True, **headers: str) -> Answer:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Answer(status, httpx.Headers({k.replace("_", "-"): v for k, v in headers.items()}), raw, complete)


def classified(given_answer: Answer, expected: Expected | Sought) -> Record | Listing | AttemptError:
    try:
        if isinstance(expected, Sought):
            return classify_listing(given_answer, sought=expected, page=0, now=NOW, secrets=["tok-secret"])
        return classify_answer(given_answer, expected=expected, now=NOW, secrets=["tok-secret"])
    except AttemptError as error:
        return error


def unsettled(expected: Expected | Sought) -> type[AttemptError]:
    return UNSETTLED[expected.kind if isinstance(expected, Expected) else None]


@both
@pytest.mark.parametrize("status", [200, 201, 202])
def test_a_proved_success_is_a_record(expected: Expected, status: int) -> None:
    """Any 2xx will do; the documented one is 200."""
    assert classified(answer(status, {"id": 4534}), expected) == Record(4534, {"id": 4534})


@pytest.mark.parametrize("status", [200, 201])
def test_a_list_that_can_be_read_is_a_listing(status: int) -> None:
    """With the far end's clock beside ours."""
    listing = classified(answer(status, [{"id": 4534}], date="Tue, 19 Mar 2024 21:13:05 GMT"), SOUGHT)

    assert isinstance(listing, Listing)
    assert [row.opportunity_id for row in listing.rows] == [4534]
    assert (listing.whole, listing.crm_ahead_s) == (True, -90.0)


@pytest.mark.parametrize("status", [202, 203, 204, 205, 206, 226])
def test_a_success_that_may_not_be_the_whole_list_is_none(status: int) -> None:
    """Whatever it shows: what it leaves out could be ours."""
    error = classified(answer(status, [{"id": 4534}]), SOUGHT)

    assert type(error) is Unavailable
    assert str(error) == f"HTTP {status}: a success that is not the whole answer"


@every
@pytest.mark.parametrize(
    "body", [b"", b"<html><title>ok</title>", b'{"id": 45', b"[7]", b"null", {"error": "x"}, b'{"id":1}' * 2]
)
def test_an_unproved_success_is_unsettled(expected: Expected | Sought, body: Any) -> None:
    """A create is in doubt, an update is sent again, a look-up has found nothing out."""
    error = classified(answer(200, body), expected)

    assert type(error) is unsettled(expected)


@both
def test_a_success_with_another_record_is_unsettled(expected: Expected) -> None:
    """The echo disagrees with the request."""
    error = classified(answer(200, {"data": {"id": 1, "lead_id": 2}}), expected)

    assert type(error) is unsettled(expected)


@every
def test_too_large_a_success_is_unsettled(expected: Expected | Sought) -> None:
    """Its beginning proves nothing, even if it reads well."""
    error = classified(answer(200, {"id": 4534, "data": []}, complete=False), expected)

    assert type(error) is unsettled(expected)
    assert str(error) == "HTTP 200: too large an answer"


@every
@pytest.mark.parametrize(
    "body",
    [
        {"msg": "Unauthorized: too many requests", "usage": 101, "limite": 100},
        {"msg": "TOO MANY REQUESTS", "usage": "101", "limite": "100"},
        {"error": "Too  Many-Requests", "usage": 101, "limite": 100},
        {"msg": "no", "error": ["too many requests"], "usage": 101, "limite": 100},
        {"message": "Too many requests", "usage": 101, "limite": 100},
    ],
)
def test_a_401_with_the_words_is_a_throttle(expected: Expected | Sought, body: Any) -> None:
    """Never a credential problem, which would hold the whole instance."""
    error = classified(answer(401, body), expected)

    assert type(error) is Throttled
    assert (error.usage, error.limit) == (101, 100)


@every
def test_a_401_with_the_words_outside_json_is_a_throttle(expected: Expected | Sought) -> None:
    """Plain text, a page, or an answer that was cut."""
    assert type(classified(answer(401, b"Too many requests"), expected)) is Throttled
    assert type(classified(answer(401, b"<html>Too Many Requests</html>"), expected)) is Throttled
    assert type(classified(answer(401, b'{"msg":"too many requests"', complete=False), expected)) is Throttled


@every
def test_a_429_is_a_throttle_whatever_it_says(expected: Expected | Sought) -> None:
    """With `Retry-After` honoured; absurd figures are left out."""
    error = classified(answer(429, {"usage": -1, "limite": True}, retry_after="7"), expected)

    assert type(error) is Throttled
    assert (error.retry_after_s, error.usage, error.limit) == (7.0, None, None)


@every
@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("body", [b"", {"msg": "Invalid token."}, b"<html><title>Forbidden</title>", b"[]", b"null"])
def test_any_other_401_or_403_is_a_credential(expected: Expected | Sought, status: int, body: Any) -> None:
    """The instance is held, the job kept."""
    assert type(classified(answer(status, body), expected)) is CredentialRefused


@every
def test_the_words_do_not_make_a_403_a_throttle(expected: Expected | Sought) -> None:
    """The table says 401 or 429."""
    assert type(classified(answer(403, {"msg": "too many requests"}), expected)) is CredentialRefused


@every
@pytest.mark.parametrize(
    "status", [400, 402, 404, 405, 406, 407, 409, 410, 411, 413, 414, 415, 421, 422, 431, 451, 499]
)
@pytest.mark.parametrize("body", [b"", {"msg": "Bad column"}, {"error": "Invalid request"}, b"<html>"])
def test_any_other_4xx_is_for_good(expected: Expected | Sought, status: int, body: Any) -> None:
    """Both of SprintHub's error shapes, and none."""
    assert type(classified(answer(status, body), expected)) is Rejected


@every
@pytest.mark.parametrize("status", [408, 425])
def test_a_4xx_that_asks_for_the_same_again_is_unsettled(expected: Expected | Sought, status: int) -> None:
    """Burying would be wrong, and a gateway's 408 proves nothing."""
    assert type(classified(answer(status), expected)) is unsettled(expected)


@every
@pytest.mark.parametrize("status", [301, 308])
def test_a_moved_api_is_for_good_and_says_why(expected: Expected | Sought, status: int) -> None:
    """Not followed: the token stays with the host it belongs to."""
    error = classified(answer(status, location="https://elsewhere.example/"), expected)

    assert type(error) is Rejected
    assert "base_url" in str(error)


@every
@pytest.mark.parametrize("status", [100, 101, 199, 300, 302, 303, 304, 307, 0, 99, 600, 999])
def test_a_status_that_proves_nothing_is_unsettled(expected: Expected | Sought, status: int) -> None:
    """302 and 303 are how some servers answer after the work."""
    assert type(classified(answer(status, {"id": 4534}), expected)) is unsettled(expected)


@every
@pytest.mark.parametrize("status", [500, 501, 502, 503, 504, 520, 524, 599])
@pytest.mark.parametrize("body", [b"", b"<html><head><title>502 Bad Gateway</title>", {"msg": "x"}, {"id": 4534}])
def test_a_5xx_is_unsettled_and_its_wait_is_kept(expected: Expected | Sought, status: int, body: Any) -> None:
    """A gateway can fail after the work was done."""
    error = classified(answer(status, body, retry_after="Tue, 19 Mar 2024 21:15:05 GMT"), expected)

    assert type(error) is unsettled(expected)
    assert isinstance(error, AttemptError)
    assert error.retry_after_s == 30.0


@every_kind
@pytest.mark.parametrize(
    "failure",
    [
        httpx.ConnectError("x"),
        httpx.ConnectTimeout("x"),
        httpx.PoolTimeout("x"),
        httpx.UnsupportedProtocol("x"),
        httpx.LocalProtocolError("x"),
    ],
    ids=lambda failure: type(failure).__name__,
)
def test_what_fails_before_the_first_byte_was_not_sent(kind: Kind | None, failure: Exception) -> None:
    """DNS, connect, TLS, pool."""
    assert type(classify_failure(kind, failure)) is NotSent


@every_kind
@pytest.mark.parametrize(
    "failure",
    [
        httpx.ReadTimeout("x"),
        httpx.WriteTimeout("x"),
        httpx.ReadError("x"),
        httpx.WriteError("x"),
        httpx.CloseError("x"),
        httpx.ProxyError("x"),
        httpx.RemoteProtocolError("x"),
        httpx.DecodingError("x"),
        httpx.TooManyRedirects("x"),
        httpx.InvalidURL("x"),
        httpx.StreamConsumed(),
        httpx.TimeoutException("x"),
        httpx.NetworkError("x"),
        httpx.TransportError("x"),
        TimeoutError(),
        OSError("x"),
        RuntimeError("x"),
        KeyError("x"),
    ],
    ids=lambda failure: type(failure).__name__,
)
def test_any_other_failure_may_have_been_sent(kind: Kind | None, failure: Exception) -> None:
    """The unknown is never taken for the harmless."""
    assert type(classify_failure(kind, failure)) is UNSETTLED[kind]


def test_every_exception_of_httpx_is_classified_by_one_of_the_two_tests_above() -> None:
    """A new one in a later httpx has to be thought about."""
    known = {name for name in dir(httpx) if isinstance(getattr(httpx, name), type)}
    errors = {name for name in known if issubclass(getattr(httpx, name), Exception)}

    assert errors == {
        *("CloseError", "ConnectError", "ConnectTimeout", "CookieConflict", "DecodingError", "HTTPError"),
        *("HTTPStatusError", "InvalidURL", "LocalProtocolError", "NetworkError", "PoolTimeout", "ProtocolError"),
        *("ProxyError", "ReadError", "ReadTimeout", "RemoteProtocolError", "RequestError", "RequestNotRead"),
        *("ResponseNotRead", "StreamClosed", "StreamConsumed", "StreamError", "TimeoutException", "TooManyRedirects"),
        *("TransportError", "UnsupportedProtocol", "WriteError", "WriteTimeout"),
    }


@every_kind
@pytest.mark.parametrize("failure", [httpx.ReadError("x"), ValueError("x"), TimeoutError()])
def test_a_request_that_was_never_complete_was_not_sent(kind: Kind | None, failure: Exception) -> None:
    """Whatever went wrong while it was put together."""
    assert type(classify_failure(kind, failure, began=False)) is NotSent


def test_an_attempt_error_stays_what_it_is() -> None:
    """The endpoint may have refused a token already."""
    error = CredentialRefused(Seen(None, "x"))

    assert classify_failure(Kind.CREATE, error) is error


def test_an_error_whose_text_raises_is_still_classified() -> None:
    """Handlers can never break the job."""

    class Broken(httpx.ReadError):
        def __str__(self) -> str:
            raise RuntimeError

    assert str(classify_failure(Kind.UPDATE, Broken("x"))) == "Broken"


@every
@pytest.mark.parametrize(("status", "kind"), [(401, CredentialRefused), (403, CredentialRefused), (400, Rejected)])
def test_every_refusal_keeps_its_wait(expected: Expected | Sought, status: int, kind: type[AttemptError]) -> None:
    """Whoever asks for time gets it, whatever else was said."""
    error = classified(answer(status, {"msg": "no"}, retry_after="9"), expected)

    assert type(error) is kind
    assert (error.retry_after_s, error.seen) == (9.0, Seen(status, "no"))


@every
def test_an_unproved_success_keeps_its_wait_and_its_words(expected: Expected | Sought) -> None:
    """Our own words: its document is never quoted."""
    error = classified(answer(200, b"[5", retry_after="9"), expected)

    assert isinstance(error, AnswerLost | Unavailable)
    assert (error.retry_after_s, error.seen.status) == (9.0, 200)
    assert error.seen.text in ("not a JSON object", "not a list")


def test_a_record_knows_the_status_that_it_came_with() -> None:
    """It stands in the job's history; two records that differ in nothing else are one."""
    for status in (200, 201):
        record = classified(answer(status, {"id": 4534}), CREATE)
        assert isinstance(record, Record)
        assert record.status == status
    assert Record(1, {"id": 1}, status=200) == Record(1, {"id": 1}, status=201)


@pytest.mark.parametrize(
    ("usage", "limit", "said"),
    [
        (101, 100, "too many requests (usage 101, limite 100)"),
        (None, 100, "too many requests (limite 100)"),
        (101, None, "too many requests (usage 101)"),
        (0, 0, "too many requests (usage 0, limite 0)"),
        (None, None, "too many requests"),
    ],
)
def test_a_throttles_figures_are_told(usage: Any, limit: Any, said: str) -> None:
    """Those that it disclosed; a limit of nothing is none."""
    error = classified(answer(429, {"msg": "too many requests", "usage": usage, "limite": limit}), UPDATE)

    assert isinstance(error, Throttled)
    assert error.seen == Seen(429, said)
    assert (error.usage, error.limit) == (usage, limit or None)


def test_the_words_count_only_near_the_beginning_of_what_is_no_json() -> None:
    """64 KB of it; nobody searches a megabyte of somebody's page."""
    near, far = b" " * 65_500 + b"too many requests", b" " * 65_530 + b"too many requests"

    assert type(classified(answer(401, near), UPDATE)) is Throttled
    assert type(classified(answer(401, b"\xff\xfe too many requests"), UPDATE)) is Throttled
    assert type(classified(answer(401, far), UPDATE)) is CredentialRefused


@pytest.mark.parametrize("words", ["too-many-requests", "Too_Many_Requests", "too many - requests", "toomanyrequests"])
def test_the_words_may_be_written_in_other_ways(words: str) -> None:
    """As instances were seen to."""
    assert type(classified(answer(401, {"msg": words}), UPDATE)) is Throttled


@pytest.mark.parametrize("words", ["too many, requests", "too     many requests", "many requests", "to many requests"])
def test_other_words_are_a_credential(words: str) -> None:
    """The instance is held."""
    assert type(classified(answer(401, {"msg": words}), UPDATE)) is CredentialRefused


@every_kind
def test_a_failure_is_told_without_secrets(kind: Kind | None) -> None:
    """Its class and its words, if it has any; our own deadline in words of ours."""
    secret = ["tok-secret"]

    assert classify_failure(kind, httpx.ReadError("at tok-secret"), secrets=secret).seen == Seen(
        None, "ReadError: at [hidden]"
    )
    assert classify_failure(kind, httpx.ConnectError("refused"), secrets=secret).seen == Seen(
        None, "ConnectError: refused"
    )
    assert classify_failure(kind, RuntimeError(), secrets=secret).seen == Seen(None, "RuntimeError")
    late = classify_failure(kind, TimeoutError("tok-secret"), secrets=secret)
    assert late.seen == Seen(None, "no whole answer within the call's deadline")
    assert late.retry_after_s is None


@every_kind
def test_an_answer_to_somebody_else_settles_nothing(kind: Kind | None) -> None:
    """It is told with its status and in words of ours."""
    error = stray(kind, answer(200, {"id": 1}), "words")

    assert type(error) is UNSETTLED[kind]
    assert error.seen == Seen(200, "words")


@every
def test_a_refusal_is_told_without_secrets(expected: Expected | Sought) -> None:
    """In JSON, in text, and in a page's title."""
    for body in (
        {"msg": "tok-secret"},
        b"tok-secret",
        b"<title>tok-secret</title>",
        b"<html><title>tok-secret</title>",
    ):
        error = classified(answer(400, body), expected)
        assert isinstance(error, AttemptError)
        assert "[hidden]" in error.seen.text
        assert "secret" not in error.seen.text


statuses = st.integers(-1, 1000) | st.sampled_from([200, 400, 401, 403, 429, 500, 503])
words = st.sampled_from(["msg", "error", "id", "data", "usage", "limite", "lead_id", "crm_column", "status"])
documents = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=5),
    max_leaves=15,
).map(lambda document: json.dumps(document).encode())


@given(
    status=statuses,
    body=st.binary(max_size=300) | documents,
    header=st.text(max_size=30),
    complete=st.booleans(),
    expected=st.sampled_from([CREATE, UPDATE, SOUGHT]),
)
def test_any_answer_is_a_record_a_listing_or_an_attempt_error(
    *, status: int, body: bytes, header: str, complete: bool, expected: Expected | Sought
) -> None:
    """No bytes, no status and no header raise anything else."""
    names = (b"retry-after", b"content-type", b"date")
    headers = httpx.Headers([(name, header.encode()) for name in names])

    outcome = classified(Answer(status, headers, body, complete), expected)

    if isinstance(outcome, Record):
        assert 200 <= status < 300
    elif isinstance(outcome, Listing):
        assert status in (200, 201)
        assert complete
    else:
        assert len(outcome.seen.text) <= 200
        assert outcome.seen.text.isprintable()
        assert outcome.seen.status == status
        if expected is CREATE:
            assert not isinstance(outcome, NotSent | Unavailable)
