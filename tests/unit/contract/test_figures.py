"""Bounds, words and units of the contract: what is just accepted, what is just refused, and what is said of it."""

import base64
import bz2
import json
import zlib
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oppsync_worker.contract import failures
from oppsync_worker.contract.body import body_text, is_deep, read_json, typed_json
from oppsync_worker.contract.errors import (
    FieldProblem,
    InvalidJob,
    JobConflict,
    JobConflicts,
    NotAJob,
    Unreadable,
    told,
)
from oppsync_worker.contract.fields import iso_utc, milliseconds
from oppsync_worker.contract.jobs import JOB_TYPES, CreateOpportunity, UpdateOpportunity
from oppsync_worker.contract.names import CONTRACT_VERSION, Kind, Lane
from oppsync_worker.contract.outcomes import OUTCOME_FIELDS, Outcome, success
from oppsync_worker.contract.states import TERMINAL, Cause, State
from oppsync_worker.contract.wire import Envelope, decode, digest, encode, encode_with_digest, kwargs_of
from oppsync_worker.tasks import failure_of

LEAST: dict[str, Any] = {"instance": "acme", "funnel_id": 7, "title": "Deal", "crm_column": 130}
KIBIBYTE = 1024


def refused(kind: type[Any] = CreateOpportunity, **given_: Any) -> list[str]:
    """What is said of a job with these fields; nothing of one that is taken."""
    try:
        kind.parse({**LEAST, **given_})
    except InvalidJob as error:
        return [str(problem) for problem in error.problems]
    return []


# Bounds, each from both sides.


@pytest.mark.parametrize(
    ("field", "most", "beyond", "says"),
    [
        ("title", "x" * 500, "x" * 501, "title: must have at most 500 characters"),
        ("title", "x", "", "title: must not be empty"),
        ("crm_column", 2**53 - 1, 2**53, "crm_column: must be less than or equal to 9007199254740991"),
        ("crm_column", 1, 0, "crm_column: must be greater than 0"),
        ("sequence", 2**31 - 1, 2**31, "sequence: must be less than or equal to 2147483647"),
        ("sequence", 0, -1, "sequence: must be greater than or equal to 0"),
        ("sequence", 5, "5", "sequence: must be a valid integer"),
        ("lead_id", 5, "5", "lead_id: must be a valid integer"),
        ("value", "9999999999999.99", "10000000000000", "value: must have at most 13 digits before the point"),
        ("value", "-9999999999999.99", "-10000000000000", "value: must have at most 13 digits before the point"),
        ("value", "0.01", "0.001", "value: must have at most 2 decimal places"),
        ("external_ref", "x" * 200, "x" * 201, "external_ref: must have at most 200 characters"),
        ("external_ref", "x", "", "external_ref: must have at least 1 character"),
        ("idempotency_key", "x" * 200, "x" * 201, "idempotency_key: must have at most 200 characters"),
        ("instance", "a" + "b" * 62, "a" * 64, "instance: holds characters that are not allowed, or is too long"),
        ("instance", "a", "", "instance: holds characters that are not allowed, or is too long"),
        ("job_id", "a" + "b" * 127, "a" * 129, "job_id: holds characters that are not allowed, or is too long"),
        ("job_id", "raw", "raw-1", "job_id: must not begin with raw-, which names messages that are no jobs"),
        ("fields", {"a": 2**53 - 1}, {"a": 2**53}, "fields.a: is too large a number: send it as text"),
        ("fields", {"a": -(2**53) + 1}, {"a": -(2**53)}, "fields.a: is too large a number: send it as text"),
        ("fields", {"a": 0.5}, {"a": float("nan")}, "fields.a: must be a text, a finite number or a boolean"),
        ("fields", {"a": "x"}, {"a": "\x00"}, "fields.a: must not contain a NUL character"),
        ("fields", {"a": "x"}, {"\x00": "a"}, "fields: must not contain a NUL character"),
        ("fields", {"a": False}, {"": "x"}, "fields: a custom field's name must not be empty"),
        ("external_ref", "a\nb", "a\x00b", "external_ref: must not contain a NUL character"),
        ("expectedCloseDate", "2026-01-01T00:00:00Z", "2026-01-01T00:00:00", None),
    ],
)
def test_a_bound_is_where_it_is_said_to_be(field: str, most: object, beyond: object, says: str | None) -> None:
    """The last that is taken, and the first that is not."""
    says = says or "expectedCloseDate: must name its time zone, for example a final Z for UTC"

    assert refused(**{field: most}) == []
    assert refused(**{field: beyond}) == [says]


@pytest.mark.parametrize("name", ["instance", "job_id"])
@pytest.mark.parametrize("character", "-._")
def test_names_hold_these_characters_inside_and_not_in_front(name: str, character: str) -> None:
    """A dot in front would be a way up in a file system, a dash an option."""
    assert refused(**{name: f"A0{character}z9"}) == []
    assert refused(**{name: f"{character}a"}) != []


def test_only_a_job_id_holds_a_colon() -> None:
    """An instance is a sub-domain."""
    assert refused(job_id="a:b") == []
    assert refused(instance="a:b") != []


@pytest.mark.parametrize("size", [64 * KIBIBYTE, 64 * KIBIBYTE + 1])
def test_a_job_is_at_most_64_kib_of_json(size: int) -> None:
    """Counted in bytes, not characters."""
    job = CreateOpportunity.parse({**LEAST, "fields": {"a": "é", "b": ""}})
    missing = size - len(json.loads(encode(job))["body"].encode())
    job = job.model_copy(update={"fields": {"a": "é", "b": "x" * missing}})

    if size == 64 * KIBIBYTE:
        assert len(json.loads(encode(job))["body"].encode()) == size
    else:
        with pytest.raises(InvalidJob, match=f"^the job is {size} bytes; at most 65536 are accepted$"):
            encode(job)


def test_a_job_has_at_most_64_fields() -> None:
    """That are looked at one by one; of 65 none is."""
    strange: dict[str, Any] = {f"k{number}": 1 for number in range(64)}

    with pytest.raises(InvalidJob, match="is not a field of this job"):
        decode("opportunities.create", "a", (), strange)
    with pytest.raises(InvalidJob, match=r"^there are 65 fields; a job has at most 64$"):
        decode("opportunities.create", "a", (), {**strange, "more": 1})


@pytest.mark.parametrize(("count", "says"), [(19, None), (20, None), (21, "and 1 more"), (22, "and 2 more")])
def test_twenty_problems_are_named(count: int, says: str | None) -> None:
    """Of more, only how many there are."""
    said = refused(**{f"k{number}": 1 for number in range(count)})

    assert len(said) == min(count, 20) + (1 if says else 0)
    assert all(one.endswith(": is not a field of this job") for one in said[:20])
    assert says in {None, said[-1]}


def test_a_field_s_name_is_told_up_to_80_characters() -> None:
    """A stranger chose it."""
    assert refused(**{"x" * 80: 1}) == ["x" * 80 + ": is not a field of this job"]
    assert refused(**{"x" * 81: 1}) == ["x" * 80 + "...: is not a field of this job"]


def test_what_is_missing_is_said_to_be() -> None:
    """By field, and no rule of pydantic's is quoted."""
    with pytest.raises(InvalidJob) as error:
        CreateOpportunity.parse({})

    assert [str(one) for one in error.value.problems] == [
        f"{name}: is missing" for name in ("instance", "funnel_id", "title", "crm_column")
    ]
    assert refused(title=5) == ["title: must be a valid string"]
    assert refused(UpdateOpportunity, opportunity_id=0) == ["opportunity_id: must be greater than 0"]


def test_a_problem_within_a_list_of_forms_is_told_once() -> None:
    """And in no more than two words of where."""
    assert refused(fields={"a": {"b": 1}}) == ["fields.a: must be a text, a finite number or a boolean"]
    assert refused(fields={1: "x"}) == ["fields.1: must be a valid string"]


# Times and amounts.


@given(st.datetimes(min_value=datetime(1970, 1, 2), max_value=datetime(9990, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001
def test_a_time_is_milliseconds_in_the_ledger(moment: datetime) -> None:
    """Rounded down once, by the contract."""
    job = CreateOpportunity.parse({**LEAST, "deadline": moment.isoformat()})
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)

    assert milliseconds(job.deadline) == since // timedelta(milliseconds=1)
    assert kwargs_of(job)["deadline"] == iso_utc(moment)


def test_a_time_is_written_in_utc_to_the_millisecond() -> None:
    """Whatever zone it was given in."""
    there = datetime(2026, 3, 21, 18, 27, 0, 123_999, tzinfo=timezone(timedelta(hours=-3)))

    assert iso_utc(there) == "2026-03-21T21:27:00.123Z"
    job = CreateOpportunity.parse({**LEAST, "deadline": there})
    assert job.deadline == datetime(2026, 3, 21, 21, 27, 0, 123_000, tzinfo=UTC)
    assert job.deadline.utcoffset() == timedelta(0)
    # Only JSON knows times as texts.
    assert job.model_dump()["deadline"] == job.deadline


def test_a_deadline_is_later_than_its_start() -> None:
    """By a millisecond at least."""
    start = "2026-01-01T00:00:00.000Z"

    assert refused(not_before=start, deadline="2026-01-01T00:00:00.001Z") == []
    assert refused(not_before=start, deadline=start) == ["deadline must be later than not_before"]
    assert refused(deadline="1999-01-01T00:00:00Z") == refused(not_before=start) == []


@pytest.mark.parametrize("amount", [Decimal("1.50"), 1, 1.5, "1.50", "1e2", "1.500"])
def test_an_amount_keeps_two_decimals(amount: object) -> None:
    """However it was given; only JSON knows it as a text."""
    job = CreateOpportunity.parse({**LEAST, "value": amount})

    assert job.value == Decimal(str(amount))
    assert job.value.as_tuple().exponent == -2
    assert kwargs_of(job)["value"] == format(Decimal(str(amount)).quantize(Decimal("0.01")), "f")
    assert isinstance(job.model_dump()["value"], Decimal)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ([], "must be a decimal number such as 1234.56"),
        (True, "must be a decimal number such as 1234.56"),
        ("1.234,56", "must be a decimal number such as 1234.56, without thousands separators"),
        ("inf", "must be a finite number"),
        ("-inf", "must be a finite number"),
        ("nan", "must be a finite number"),
    ],
)
def test_what_is_no_amount_is_told(value: object, says: str) -> None:
    """With an example."""
    assert refused(value=value) == [f"value: {says}"]


# Jobs.


def test_what_an_update_writes_can_be_taken_from_it() -> None:
    """Names as the ledger keeps them, plain and custom; what is left is the same job."""
    job = UpdateOpportunity.parse(
        {
            "instance": "acme",
            "funnel_id": 7,
            "opportunity_id": 1,
            "title": "T",
            "value": "1",
            "fields": {"A": 0, "B": ""},
        }
    )

    assert job.written() == ("title", "value", "fields.A", "fields.B")
    assert job.without([]) == job
    assert job.without(["title", "fields.A"]).document() == {"value": Decimal("1.00"), "fields": {"B": ""}}
    assert job.without(["fields.A", "fields.B"]).document() == {"title": "T", "value": Decimal("1.00")}
    # Only what SprintHub is sent can be taken away.
    assert job.without(["job_id", "opportunity_id", "instance", "A"]) == job
    assert UpdateOpportunity.parse({**LEAST, "opportunity_id": 1}).without(["title"]).document() == {"crm_column": 130}


def test_the_document_has_its_fields_in_sprinthub_s_order() -> None:
    """And nothing of how the job travels."""
    given_ = {
        **LEAST,
        "fields": {"A": 1},
        "user": 1,
        "expectedCloseDate": "2026-01-01T00:00:00Z",
        "status": "gain",
        "sequence": 0,
        "lead_id": 3,
        "value": "0",
        "deadline": "2099-01-01T00:00:00Z",
        "external_ref": "r",
    }

    assert list(CreateOpportunity.parse(given_).document()) == [
        *("title", "value", "crm_column", "lead_id", "sequence", "status", "expected_close_date", "user", "fields"),
    ]


def test_a_job_is_of_its_kind_and_an_update_names_its_record() -> None:
    """A create never does."""
    create = CreateOpportunity.parse(LEAST)
    update = UpdateOpportunity.parse({**LEAST, "opportunity_id": 9})

    assert {Kind.CREATE: CreateOpportunity, Kind.UPDATE: UpdateOpportunity} == JOB_TYPES
    assert (create.kind, update.kind) == ("opportunities.create", "opportunities.update")
    assert (create.target, update.target) == (None, 9)
    assert (create.status, update.status) == ("open", None)
    assert (create.lane, create.lane.queue) == (Lane.INTERACTIVE, "opportunities.interactive")
    assert Lane.BULK.queue == "opportunities.bulk"
    assert UpdateOpportunity.parse({**LEAST, "external_ref": "r"}).target is None
    assert create.job_id != CreateOpportunity.parse(LEAST).job_id
    assert len(create.job_id) == 36


# Errors, as a person reads them.


@pytest.mark.parametrize(
    ("text", "shown"),
    [("a" * 10, "a" * 10), ("a" * 11, "a" * 10 + "..."), ("a\nb", "a\\nb"), ("a\u2028ç", "a\\u2028ç"), ("", "")],
)
def test_a_stranger_s_text_is_told_in_one_line(text: str, shown: str) -> None:
    """Of bounded length."""
    assert told(text, 10) == shown


def test_problems_are_joined_and_kept() -> None:
    """With and without a field."""
    problems = (FieldProblem("a", "is bad"), FieldProblem("", "all is bad"))

    assert str(InvalidJob(problems)) == "a: is bad; all is bad"
    assert InvalidJob(problems).problems == problems


@pytest.mark.parametrize(
    ("reason", "says"),
    [
        ("id", "the id j1 is taken by a job that stands as S; this one (A) asks for something else: give it an id"),
        ("key", "job j1 (A) bears the idempotency key of job j0 (S), which asks for something else: give it a key"),
        (
            "discarded",
            "job j1 (A) bears the idempotency key of job j0 (S), which asked for the same and was discarded by a",
        ),
    ],
)
def test_a_conflict_says_who_stands_where(reason: str, says: str) -> None:
    """For each reason that the scripts give."""
    conflict = JobConflict("j1", "j0", reason, asked="A", stands="S")

    assert str(conflict).startswith(says)
    assert str(conflict).endswith({"id": "an id of its own", "key": "a key of its own"}.get(reason, "another key"))
    assert (conflict.job_id, conflict.standing, conflict.reason) == ("j1", "j0", reason)
    alone = JobConflicts((conflict,), (None, "j2"))
    assert str(alone) == f"1 of 2 jobs were refused: {conflict}"
    assert (alone.conflicts, alone.job_ids) == ((conflict,), (None, "j2"))
    assert str(JobConflicts((conflict,) * 3, (None,) * 4)) == f"3 of 4 jobs were refused: {conflict} (and 2 more)"


def test_what_cannot_be_read_knows_its_task() -> None:
    """Or that there is none."""
    error = Unreadable(Cause.INVALID, "why", task="t")

    assert (str(error), error.cause, error.task) == ("why", Cause.INVALID, "t")
    assert Unreadable(Cause.INVALID, "why").task == ""
    assert isinstance(error, NotAJob)


# States, causes and outcomes: words that stand in ledgers, in other people's programs and in alarms.


def test_states_are_these() -> None:
    """Stored for ever; five of them are an end."""
    assert [state.value for state in State] == [
        *("unknown", "queued", "sending", "scheduled", "waiting", "held", "blocked", "in_doubt"),
        *("succeeded", "dead", "discarded", "merged", "expired"),
    ]
    assert {state for state in State if state.is_terminal} == TERMINAL
    assert sorted(TERMINAL) == ["dead", "discarded", "expired", "merged", "succeeded"]


def test_causes_are_these_and_each_has_its_exception() -> None:
    """Under the name that the ledger writes into a result."""
    assert [cause.value for cause in Cause] == [
        *("rejected", "refused", "exhausted", "invalid", "unknown_task", "undecodable", "malformed", "oversized"),
        *("poison", "conflict", "lost", "internal"),
    ]
    for cause in Cause:
        found = failure_of(cause)
        assert found.__name__ == "Job" + cause.value.title().replace("_", "")
        assert issubclass(found, failures.JobFailed)


ENTRY = {
    "state": "succeeded",
    "kind": "k",
    "instance": "i",
    "lane": "bulk",
    "ref": "r",
    "opportunity_id": "9",
    "attempts": "2",
    "replays": "1",
    "cause": "c",
    "detail": "d",
    "points_to": "p",
    "at": "1700000000123",
    "since": "1700000001500",
}
AT = datetime(2023, 11, 14, 22, 13, 20, 123_000, tzinfo=UTC)
SINCE = datetime(2023, 11, 14, 22, 13, 21, 500_000, tzinfo=UTC)


def test_an_outcome_is_read_field_by_field() -> None:
    """Times are milliseconds since 1970, in UTC."""
    result = json.dumps({"result": {"record": {"title": "T"}}})

    found = Outcome.from_ledger("j1", ENTRY, due_ms=1_700_000_002_000.0, result=result)

    assert tuple(ENTRY) == OUTCOME_FIELDS
    assert found == Outcome(
        "j1",
        State.SUCCEEDED,
        kind="k",
        instance="i",
        lane="bulk",
        external_ref="r",
        opportunity_id=9,
        attempts=2,
        replays=1,
        cause="c",
        detail="d",
        points_to="p",
        enqueued_at=AT,
        since=SINCE,
        due=datetime(2023, 11, 14, 22, 13, 22, tzinfo=UTC),
        record={"title": "T"},
    )
    assert found.as_dict() == {
        "job_id": "j1",
        "state": "succeeded",
        "kind": "k",
        "instance": "i",
        "lane": "bulk",
        "external_ref": "r",
        "opportunity_id": 9,
        "attempts": 2,
        "replays": 1,
        "cause": "c",
        "detail": "d",
        "points_to": "p",
        "enqueued_at": AT.isoformat(),
        "since": SINCE.isoformat(),
        "due": "2023-11-14T22:13:22+00:00",
        "record": {"title": "T"},
    }


@pytest.mark.parametrize("nothing", [None, ""])
def test_what_an_entry_has_not_an_outcome_has_not(nothing: str | None) -> None:
    """An empty field is none; a job that has not moved is there since it was enqueued."""
    entry = {**dict.fromkeys(ENTRY, nothing), "state": "dead", "at": ENTRY["at"]}

    assert Outcome.from_ledger("j1", entry) == Outcome("j1", State.DEAD, enqueued_at=AT, since=AT)
    assert Outcome.from_ledger("j1", {**ENTRY, "state": nothing}) == Outcome("j1", State.UNKNOWN)
    assert Outcome("j1", State.DEAD).as_dict() == {"job_id": "j1", "state": "dead", "attempts": 0, "replays": 0}


def test_a_record_is_read_of_jobs_that_succeeded_only() -> None:
    """The result of a dead one is an exception's."""
    failed = json.dumps({"result": {"exc_type": "JobDead", "record": {"a": 1}}})

    assert Outcome.from_ledger("j1", {**ENTRY, "state": "dead"}, result=failed).record == {}
    assert Outcome.from_ledger("j1", ENTRY, result=json.dumps({"result": {}})).record == {}
    assert Outcome.from_ledger("j1", ENTRY).record == {}


def test_a_success_is_told_field_by_field() -> None:
    """As `AsyncResult.get()` gives it."""
    told_ = success(job_id="j1", kind="k", instance="i", opportunity_id=9, attempts=2, replays=1, record={"title": "T"})

    assert told_ == {
        "state": "succeeded",
        "job_id": "j1",
        "kind": "k",
        "instance": "i",
        "opportunity_id": 9,
        "attempts": 2,
        "replays": 1,
        "record": {"title": "T"},
    }


# The wire.


def test_a_digest_is_the_same_for_ever() -> None:
    """It is compared with those in ledgers: another one would be a conflict for every repetition."""
    job = CreateOpportunity.parse({**LEAST, "job_id": "j", "external_ref": "r", "fields": {"b": 1, "a": "ç"}})

    assert digest(job) == "aaf80a8981d0c393ec353f58"
    assert encode_with_digest(job) == (encode(job), digest(job))


@pytest.mark.parametrize(
    "travel",
    [
        {"lane": "bulk"},
        {"not_before": "2026-01-01T00:00:00Z"},
        {"deadline": "2026-01-01T00:00:00Z"},
        {"job_id": "other"},
    ],
)
def test_how_a_job_travels_is_not_in_its_digest(travel: dict[str, str]) -> None:
    """A producer that tries again may be in more of a hurry."""
    assert digest(CreateOpportunity.parse({**LEAST, **travel})) == digest(CreateOpportunity.parse(LEAST))


@pytest.mark.parametrize(
    "other",
    [
        *({"instance": "b"}, {"funnel_id": 8}, {"title": "x"}, {"crm_column": 1}, {"lead_id": 1}, {"value": "1"}),
        *({"status": "gain"}, {"user": 1}, {"sequence": 1}, {"fields": {"a": 1}}, {"external_ref": "r"}),
        *({"idempotency_key": "k"}, {"expectedCloseDate": "2026-01-01T00:00:00Z"}),
    ],
)
def test_what_a_job_asks_for_is_in_its_digest(other: dict[str, Any]) -> None:
    """Field by field, and its kind."""
    assert digest(CreateOpportunity.parse({**LEAST, **other})) != digest(CreateOpportunity.parse(LEAST))


def test_the_kind_is_in_the_digest() -> None:
    """Of two jobs with the same fields."""
    both = {**LEAST, "external_ref": "r", "status": "open"}

    assert digest(CreateOpportunity.parse(both)) != digest(UpdateOpportunity.parse(both))


def test_a_lane_that_is_null_is_none() -> None:
    """As an application in another language may write it; and a version is the first unless one is given."""
    fields = {**LEAST, "lane": None}

    assert decode("opportunities.create", "a", (), fields).lane is Lane.INTERACTIVE
    assert decode("opportunities.create", "a", (), {**LEAST, "v": CONTRACT_VERSION, "lane": "bulk"}).lane is Lane.BULK
    assert fields == {**LEAST, "lane": None}
    for version in (0, 2, "1", None):
        with pytest.raises(NotAJob, match=r"of the contract is not known here; this worker knows 1$"):
            decode("opportunities.create", "a", (), {**LEAST, "v": version})


def envelope(body: object, **headers: Any) -> str:
    """A message with this body."""
    text = body if isinstance(body, str) else json.dumps(body)
    return json.dumps({"body": text, "headers": {"task": "t", "id": "i", **headers}, "properties": {}})


def nested(depth: int, kind: str) -> Any:
    """A value in so many lists or objects."""
    value: Any = 1
    for _ in range(depth):
        value = [value] if kind == "list" else {"a": value}
    return value


@pytest.mark.parametrize("kind", ["list", "object"])
@pytest.mark.parametrize("part", ["args", "fields"])
def test_a_body_is_nested_32_deep_at_most(kind: str, part: str) -> None:
    """Counted from the arguments, or from the fields: the value of a field is the second level."""

    def call(depth: int) -> list[Any]:
        value = nested(depth - 1, kind)
        return [[value], {}, None] if part == "args" else [[], {"x": value}, None]

    assert Envelope.open(envelope(call(33))).task == "t"
    with pytest.raises(Unreadable, match=r"^the body is nested deeper than 32$") as refused_:
        Envelope.open(envelope(call(34)))
    assert (refused_.value.cause, refused_.value.task) == (Cause.UNDECODABLE, "t")


def test_depth_is_that_of_the_deepest() -> None:
    """Wherever it stands."""
    assert [is_deep(nested(depth, "list"), 2) for depth in (2, 3, 4, 5)] == [False, False, True, True]
    assert is_deep([1, {"a": [], "b": 1}, nested(3, "object")], 2)
    assert not is_deep({"a": [[]]}, 2)
    assert not is_deep({"[[[[": "{{{{"}, 0)


@pytest.mark.parametrize(
    ("call", "parts"),
    [
        ([[1], {"a": 2}, {"chain": None}], ([1], {"a": 2}, {"chain": None})),
        ([[], {}, None], ([], {}, None)),
    ],
)
def test_a_body_is_taken_apart(call: list[Any], parts: tuple[Any, ...]) -> None:
    """Into what it says."""
    opened = Envelope.open(envelope(call, eta="soon"))

    assert (opened.args, opened.fields, opened.embed) == parts
    assert (opened.task, opened.job_id) == ("t", "i")
    assert opened.headers == {"task": "t", "id": "i", "eta": "soon"}


@pytest.mark.parametrize(
    ("message", "cause", "says"),
    [
        ("[]", Cause.MALFORMED, "the message has no headers"),
        ("{", Cause.UNDECODABLE, "the message is not JSON that can be read"),
        ("[" * 200_000, Cause.UNDECODABLE, "the message is nested too deeply"),
        (b"\xff", Cause.UNDECODABLE, "the message is not UTF-8 text"),
        ('{"headers": {}}', Cause.MALFORMED, "the message has no properties"),
        ('{"headers": {}, "properties": []}', Cause.MALFORMED, "the message has no body"),
        (
            '{"headers": [], "properties": [], "body": "[[],{},{}]"}',
            Cause.MALFORMED,
            "the message has no header task or id",
        ),
        ('{"headers": [1], "properties": []}', Cause.MALFORMED, "the message has no headers"),
        (envelope([[], {}, {}], task=""), Cause.MALFORMED, "the message has no header task or id"),
        (envelope([[], {}, {}], id=None), Cause.MALFORMED, "the message has no header task or id"),
        (envelope([[], {}]), Cause.UNDECODABLE, "the body is not JSON [args, kwargs, embed]"),
        (envelope("x"), Cause.UNDECODABLE, "the body is not JSON that can be read"),
    ],
)
def test_a_message_that_is_none_is_told(message: str | bytes, cause: Cause, says: str) -> None:
    """Which part of it is missing."""
    with pytest.raises(Unreadable) as refused_:
        Envelope.open(message)

    assert (refused_.value.cause, str(refused_.value)) == (cause, says)


# Bodies.


@pytest.mark.parametrize("encoding", ["utf-8", "UTF-8", "utf8", "us-ascii", None, ""])
@pytest.mark.parametrize("kind", [{}, {"content-type": "application/json"}])
def test_a_plain_body_is_taken_as_it_is(encoding: str | None, kind: dict[str, str]) -> None:
    """Whether or not its form is named."""
    assert body_text({"body": "[]", "content-encoding": encoding, **kind}, {}, {}) == "[]"
    assert body_text({"body": "[]", **kind}, {"compression": None}, {"body_encoding": None}) == "[]"


@pytest.mark.parametrize(
    ("given_", "headers", "properties", "says"),
    [
        ({"body": None}, {}, {}, "the message has no body"),
        ({"content-type": "a/b"}, {}, {}, "the body is 'a/b'; only JSON in UTF-8 is accepted"),
        ({"content-type": "x" * 90}, {}, {}, f"the body is '{'x' * 59}; only JSON in UTF-8 is accepted"),
        ({"content-encoding": "latin1"}, {}, {}, "the body is 'application/json'; only JSON in UTF-8 is accepted"),
        ({}, {"compression": "x" * 90}, {}, f"the body is compressed ('{'x' * 59}), but not base64"),
        ({"body": "%"}, {}, {"body_encoding": "base64"}, "the body is not base64 of UTF-8 text"),
        ({"body": "/w=="}, {}, {"body_encoding": "BASE64"}, "the body is not base64 of UTF-8 text"),
        (
            {"body": "QQ=="},
            {"compression": "zstd"},
            {"body_encoding": "base64"},
            "the body is compressed with 'zstd', which is not read here: send it plain, or with zlib or bzip2",
        ),
        (
            {"body": "QQ=="},
            {"compression": ["a"]},
            {"body_encoding": "base64"},
            "the body is compressed with ['a'], which is not read here: send it plain, or with zlib or bzip2",
        ),
        (
            {"body": "QUJD"},
            {"compression": "application/x-gzip"},
            {"body_encoding": "base64"},
            "the body is not what 'application/x-gzip' makes",
        ),
    ],
)
def test_a_body_that_cannot_be_read_is_told(
    given_: dict[str, Any], headers: dict[str, Any], properties: dict[str, Any], says: str
) -> None:
    """In words of bounded length."""
    with pytest.raises(Unreadable) as refused_:
        body_text({"body": "[]", **given_}, headers, properties)

    assert str(refused_.value) == says
    assert refused_.value.cause is (Cause.MALFORMED if says == "the message has no body" else Cause.UNDECODABLE)


@pytest.mark.parametrize(("name", "pack"), [("application/x-gzip", zlib.compress), ("application/x-bz2", bz2.compress)])
@pytest.mark.parametrize("size", [256 * KIBIBYTE, 256 * KIBIBYTE + 1])
def test_a_body_is_unpacked_up_to_256_kib(name: str, pack: Any, size: int) -> None:
    """And not a byte more."""
    body = base64.b64encode(pack(b"x" * size)).decode()

    def read() -> str:
        return body_text({"body": body}, {"compression": name}, {"body_encoding": "base64"})

    if size == 256 * KIBIBYTE:
        assert len(read()) == size
        return
    with pytest.raises(Unreadable, match="the body is larger than 262144 bytes once it is unpacked") as refused_:
        read()
    assert refused_.value.cause is Cause.OVERSIZED


@pytest.mark.parametrize(
    (
        "text",
        "value",
    ),
    [
        ('{"a": 1}', {"a": 1}),
        ('{"__type__": "datetime", "__value__": "t"}', "t"),
        ('{"__type__": "decimal", "__value__": "1.5"}', "1.5"),
        ('{"__type__": "decimal", "__value__": 1.5}', ["'decimal'"]),
        ('{"__type__": "uuid", "__value__": "x"}', ["'uuid'"]),
        ('{"__type__": "uuid", "__value__": "x", "more": 1}', {"__type__": "uuid", "__value__": "x", "more": 1}),
        ('{"__type__": "uuid", "other": "x"}', {"__type__": "uuid", "other": "x"}),
        ('{"\\u005f_type__": "decimal", "__value__": "1"}', "1"),
        (json.dumps({"__type__": "x" * 90, "__value__": 1}), ["'" + "x" * 59]),
    ],
)
def test_kombu_s_own_types_are_plain_values(text: str, value: object) -> None:
    """However their names are written."""
    assert typed_json(text) == value
    assert Envelope.open(envelope(f"[[{text}], {{}}, null]")).args == [value]


@pytest.mark.parametrize("raw", ["1" * 5_000, "NaN1", "\ud800"])
def test_json_is_read_strictly(raw: str) -> None:
    """A number of five thousand digits is refused by Python itself."""
    with pytest.raises(Unreadable, match=r"^it is not JSON that can be read$"):
        read_json(raw, "it", json.loads)
