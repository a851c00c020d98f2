"""Messages on the wire: what was shipped once is readable for ever."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from integration.engine.hostile import Drawn
from oppsync_worker.contract.errors import InvalidJob, NotAJob, Unreadable
from oppsync_worker.contract.jobs import AnyJob, CreateOpportunity, UpdateOpportunity
from oppsync_worker.contract.names import MAX_JOB_BYTES, Lane
from oppsync_worker.contract.states import Cause
from oppsync_worker.contract.wire import Envelope, decode, digest, encode, encode_with_digest, kwargs_of, read_message

GOLDEN = Path(__file__).parents[2] / "golden"

SAMPLES: dict[str, AnyJob] = {
    "create-1-full": CreateOpportunity(
        job_id="0b6f0f3a-6f0e-4f7e-9d6b-3f2f7f1f0001",
        instance="acme",
        funnel_id=7,
        title="Ação nº 1",
        value="1234.50",
        crm_column=130,
        lead_id=8473,
        sequence=0,
        status="open",
        expected_close_date=datetime(2026, 3, 21, 21, 27, tzinfo=UTC),
        user=156,
        fields={" Campo com espaço ": "x", "CPF": "0", "Aceita": True},
        external_ref="order-1",
        idempotency_key="order-1:create",
        lane=Lane.BULK,
        not_before=datetime(2026, 3, 1, tzinfo=UTC),
        deadline=datetime(2026, 4, 1, tzinfo=UTC),
    ),
    "create-1-least": CreateOpportunity(
        job_id="0b6f0f3a-6f0e-4f7e-9d6b-3f2f7f1f0002", instance="acme", funnel_id=7, title="T", crm_column=130
    ),
    "update-1-by-id": UpdateOpportunity(
        job_id="0b6f0f3a-6f0e-4f7e-9d6b-3f2f7f1f0003", instance="acme", funnel_id=7, opportunity_id=4534, status="gain"
    ),
    "update-1-by-reference": UpdateOpportunity(
        job_id="0b6f0f3a-6f0e-4f7e-9d6b-3f2f7f1f0004",
        instance="acme",
        funnel_id=7,
        external_ref="order-1",
        value="0.10",
    ),
}


@pytest.mark.parametrize("name", SAMPLES)
def test_a_job_is_written_as_its_golden_sample(name: str) -> None:
    """Byte for byte. A changed contract adds a sample under a new name; it never edits one."""
    assert encode(SAMPLES[name]) == (GOLDEN / f"{name}.json").read_text("utf-8").rstrip("\n")


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.json")), ids=lambda path: path.stem)
def test_every_golden_sample_is_readable(path: Path) -> None:
    """All that was ever shipped."""
    job = read_message(path.read_text("utf-8"))

    assert job == SAMPLES.get(path.stem, job)


def test_every_sample_has_its_golden_file() -> None:
    """And no file is left without one of the versions that can still be written."""
    assert {path.stem for path in GOLDEN.glob("*.json")} >= set(SAMPLES)


def test_nulls_do_not_travel() -> None:
    """What was not given is not there."""
    assert set(kwargs_of(SAMPLES["create-1-least"])) == {
        "v",
        "instance",
        "funnel_id",
        "title",
        "crm_column",
        "status",
        "lane",
    }


def test_the_id_is_the_task_id() -> None:
    """A job_id among the fields must agree with it."""
    kwargs = kwargs_of(SAMPLES["create-1-least"])

    assert decode("opportunities.create", "a", (), {**kwargs, "job_id": "a"}).job_id == "a"
    with pytest.raises(InvalidJob, match="job_id"):
        decode("opportunities.create", "a", (), {**kwargs, "job_id": "b"})


def test_unknown_tasks_versions_and_positional_arguments_are_no_jobs() -> None:
    """Each says which."""
    with pytest.raises(NotAJob, match="no task 'x'"):
        decode("x", "a", (), {})
    with pytest.raises(NotAJob, match="version 2"):
        decode("opportunities.create", "a", (), {"v": 2})
    with pytest.raises(NotAJob, match="positional"):
        decode("opportunities.create", "a", (1,), {})


def test_an_oversized_job_is_refused_with_the_limit() -> None:
    """64 KiB of body."""
    fields = {f"F{number}": "x" * 1000 for number in range(70)}
    job = CreateOpportunity(instance="acme", funnel_id=7, title="T", crm_column=1, fields=fields)

    with pytest.raises(InvalidJob, match=str(MAX_JOB_BYTES)):
        encode(job)


@given(st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
def test_reading_garbage_says_so(raw: bytes) -> None:
    """No input makes it raise anything else."""
    with pytest.raises((NotAJob, InvalidJob)):
        read_message(raw.decode("utf-8", "surrogateescape"))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.dictionaries(
        st.sampled_from([*CreateOpportunity.model_fields, "expectedCloseDate", "v", "foo"]), json_values, max_size=12
    )
)
def test_any_kwargs_make_a_job_or_a_named_refusal(kwargs: dict[str, object]) -> None:
    """Whatever another application sends."""
    try:
        job = decode("opportunities.create", "id-1", (), json.loads(json.dumps(kwargs)))
    except (InvalidJob, NotAJob):
        return
    assert read_message(encode(job)) == job


def test_a_copy_that_nobody_validated_is_refused_by_field() -> None:
    """`model_copy` checks nothing; a message that cannot be written must not take a batch down with it."""
    job = SAMPLES["create-1-least"].model_copy(update={"title": "\ud800", "fields": {"a": "\udfff"}})

    with pytest.raises(InvalidJob) as refused:
        encode(job)

    assert [problem.field for problem in refused.value.problems] == ["title", "fields"]


def test_more_fields_than_a_job_has_are_counted_not_looked_at() -> None:
    """Twenty thousand unknown fields cost no more than one."""
    with pytest.raises(InvalidJob, match="there are 20000 fields"):
        decode("opportunities.create", "a", (), {f"k{number}": 1 for number in range(20_000)})


def test_bytes_are_read_as_utf_8_and_as_nothing_else() -> None:
    """`json.loads` would guess UTF-16, and take half a character's bytes for a lone surrogate."""
    message = encode(SAMPLES["create-1-least"])

    with pytest.raises(NotAJob, match="not UTF-8"):
        read_message(message.encode().replace(b'"T"', b'"\xed\xa0\x80"').replace(b"acme", b"\xed\xa0\x80"))
    with pytest.raises(NotAJob):
        read_message(message.encode("utf-16"))


def test_whatever_the_contract_takes_is_read_as_it_was_written() -> None:
    """A producer that is told "in hand" for a job that every worker must refuse has lost it."""
    drawn, taken = Drawn(8), 0
    for _ in range(4_000):
        kind = drawn.random.choice((CreateOpportunity, UpdateOpportunity))
        values = {"instance": "acme", "funnel_id": 7, "title": "T"}
        values |= {"crm_column": 130} if kind is CreateOpportunity else {"opportunity_id": 5}
        name = drawn.random.choice(list(kind.model_fields))
        custom = name == "fields" and drawn.random.random() < 0.5
        values[name] = {drawn.value_text(): drawn.value()} if custom else drawn.value()
        try:
            job = kind.parse(values)
            message = encode(job)
        except InvalidJob:
            continue
        taken += 1

        assert read_message(message) == job
    assert taken > 100


def test_custom_fields_that_read_like_a_value_of_another_type_are_refused() -> None:
    """Every worker would take them for one, as Celery does."""
    fields = {"__type__": "decimal", "__value__": "1", "Nada": None}
    with pytest.raises(InvalidJob, match="fields: must not be __type__ and __value__ alone"):
        CreateOpportunity.parse({"instance": "acme", "funnel_id": 7, "title": "T", "crm_column": 1, "fields": fields})


def test_the_digest_of_a_job_is_the_same_for_ever() -> None:
    """The ledger keeps it: with another, the same request would conflict with itself."""
    digests = {name: digest(job) for name, job in SAMPLES.items()}

    assert digests == {
        "create-1-full": "5fd91fc852eef97f76ff2605",
        "create-1-least": "af90181398501c949f81fd4a",
        "update-1-by-id": "180005d39b47a7787b453dc6",
        "update-1-by-reference": "789385b4cf6d6a0faef0b319",
    }
    assert {name: encode_with_digest(job)[1] for name, job in SAMPLES.items()} == digests


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({"lane": Lane.INTERACTIVE}, True),
        ({"not_before": None}, True),
        ({"deadline": None}, True),
        ({"job_id": "other"}, True),
        ({"idempotency_key": "other"}, False),
        ({"external_ref": "other"}, False),
        ({"instance": "other"}, False),
        ({"title": "other"}, False),
        ({"lead_id": 1}, False),
        ({"user": None}, False),
    ],
)
def test_the_digest_covers_what_is_asked_for_and_not_how_it_travels(change: dict[str, Any], *, same: bool) -> None:
    """A producer that tries again may have a new deadline."""
    job = SAMPLES["create-1-full"]

    assert (digest(job.model_copy(update=change)) == digest(job)) is same


@pytest.mark.parametrize("lane", [None, ...])
def test_a_job_that_names_no_lane_has_the_ordinary_one(lane: object) -> None:
    """Another producer may write null."""
    kwargs = {"instance": "acme", "funnel_id": 7, "title": "T", "crm_column": 1}
    if lane is None:
        kwargs["lane"] = None  # type: ignore[assignment]

    assert decode("opportunities.create", "a", [], kwargs).lane is Lane.INTERACTIVE


@pytest.mark.parametrize(("size", "taken"), [(MAX_JOB_BYTES, True), (MAX_JOB_BYTES + 1, False)])
def test_the_bound_of_a_job_counts_bytes_of_its_body(size: int, *, taken: bool) -> None:
    """An accented letter is two."""
    job = SAMPLES["create-1-least"].model_copy(update={"fields": {"a": "é"}})
    around = len(json.loads(encode(job))["body"].encode())
    job = job.model_copy(update={"fields": {"a": "é" + "x" * (size - around)}})

    if taken:
        assert len(json.loads(encode(job))["body"].encode()) == MAX_JOB_BYTES
        return
    with pytest.raises(InvalidJob, match=r"^the job is 65537 bytes; at most 65536 are accepted$"):
        encode(job)


@pytest.mark.parametrize(("count", "taken"), [(64, True), (65, False)])
def test_at_most_sixty_four_fields_are_looked_at(count: int, *, taken: bool) -> None:
    """With one more they are only counted."""
    with pytest.raises(InvalidJob) as refused:
        decode("opportunities.create", "a", (), {f"k{number}": 1 for number in range(count)})

    assert ("fields; a job has at most 64" in str(refused.value)) is not taken


def message(**given: Any) -> str:
    """A message with some of it changed; `...` leaves a part out."""
    whole = {
        "body": json.dumps([[], {"a": 1}, None]),
        "headers": {"task": "opportunities.create", "id": "j1"},
        "properties": {"body_encoding": "utf-8"},
        **given,
    }
    return json.dumps({name: value for name, value in whole.items() if value is not ...})


def test_an_envelope_holds_its_parts() -> None:
    """As they were sent."""
    body = '[[1], {"a": "x"}, {"chain": null}]'
    opened = Envelope.open(message(body=body))

    assert (opened.task, opened.job_id) == ("opportunities.create", "j1")
    assert (opened.args, opened.fields, opened.embed) == ([1], {"a": "x"}, {"chain": None})
    assert opened.headers == {"task": "opportunities.create", "id": "j1"}
    assert Envelope.open(message(properties=[])).job_id == "j1"


def test_an_envelope_with_kombu_s_own_types_holds_plain_values() -> None:
    """As the contract takes them."""
    opened = Envelope.open(message(body='[[], {"a": {"__type__": "decimal", "__value__": "1"}}, null]'))

    assert opened.fields == {"a": "1"}


@pytest.mark.parametrize(
    ("given_", "cause", "says", "task"),
    [
        ({"headers": ...}, Cause.MALFORMED, "the message has no headers", ""),
        ({"headers": "x"}, Cause.MALFORMED, "the message has no headers", ""),
        ({"headers": [1]}, Cause.MALFORMED, "the message has no headers", ""),
        ({"headers": []}, Cause.MALFORMED, "the message has no header task or id", ""),
        ({"properties": None}, Cause.MALFORMED, "the message has no properties", ""),
        ({"headers": {"task": "t"}}, Cause.MALFORMED, "the message has no header task or id", "t"),
        ({"headers": {"task": "t", "id": 5}}, Cause.MALFORMED, "the message has no header task or id", "t"),
        ({"headers": {"task": "", "id": "j"}}, Cause.MALFORMED, "the message has no header task or id", ""),
        ({"headers": {"task": 5, "id": "j"}}, Cause.MALFORMED, "the message has no header task or id", ""),
        ({"body": ...}, Cause.MALFORMED, "the message has no body", "opportunities.create"),
        ({"body": "{}"}, Cause.UNDECODABLE, "the body is not JSON [args, kwargs, embed]", "opportunities.create"),
        ({"body": "[[], {}]"}, Cause.UNDECODABLE, "the body is not JSON [args, kwargs, embed]", "opportunities.create"),
        (
            {"body": "[[], {}, 5]"},
            Cause.UNDECODABLE,
            "the body is not JSON [args, kwargs, embed]",
            "opportunities.create",
        ),
        ({"body": "["}, Cause.UNDECODABLE, "the body is not JSON that can be read", "opportunities.create"),
    ],
)
def test_an_envelope_that_cannot_be_read_says_why(given_: dict[str, Any], cause: Cause, says: str, task: str) -> None:
    """With the task that it names, as far as that can be read."""
    with pytest.raises(Unreadable) as refused:
        Envelope.open(message(**given_))

    assert (refused.value.cause, str(refused.value), refused.value.task) == (cause, says, task)


@pytest.mark.parametrize("whole", ["[]", "5", "null"])
def test_a_message_that_is_no_object_has_no_parts(whole: str) -> None:
    """Whatever else it is."""
    with pytest.raises(Unreadable, match="no headers"):
        Envelope.open(whole)


@pytest.mark.parametrize(
    ("task", "kwargs", "says"),
    [
        ("x" * 200, {}, f"there is no task '{'x' * 100}'"),
        (
            "opportunities.create",
            {"v": "9" * 50},
            f"version '{'9' * 19} of the contract is not known here; this worker",
        ),
    ],
)
def test_a_stranger_s_task_or_version_is_told_in_bounds(task: str, kwargs: dict[str, Any], says: str) -> None:
    """They are his words."""
    with pytest.raises(NotAJob) as refused:
        decode(task, "a", (), kwargs)

    assert str(refused.value).startswith(says)
