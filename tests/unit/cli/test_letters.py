"""Mending, masking and the filter's own words: no Redis needed."""

import json
import re
import shlex

import pytest

from oppsync_ops.cli.letter_options import as_options
from oppsync_ops.jobs.moments import Bound
from oppsync_ops.letters.filters import Filter
from oppsync_ops.letters.letter import Letter
from oppsync_ops.letters.mending import MENDABLE, Mending
from oppsync_ops.letters.opening import escaped, masked, opened, outlined
from oppsync_worker.contract.errors import InvalidJob, NotAJob
from oppsync_worker.contract.jobs import CreateOpportunity, UpdateOpportunity
from oppsync_worker.contract.names import Kind
from oppsync_worker.contract.states import Cause
from oppsync_worker.contract.wire import encode, read_message

NOW = 1_700_000_000_000
JOB = CreateOpportunity(
    instance="acme", funnel_id=7, title="Casa de João", crm_column=130, lead_id=8473, fields={"CPF": "1", "Nota": 3}
)


def test_mending_keeps_all_that_is_not_set() -> None:
    """Id, lane and every other field."""
    mended = read_message(
        Mending.parse(["crm_column=131", "expected_close_date=2030-01-01T00:00:00Z"]).mend(_message())
    )

    assert mended.model_copy(update={"crm_column": 130, "expected_close_date": None}) == JOB
    assert mended.crm_column == 131


def test_an_empty_value_takes_a_field_out() -> None:
    """A custom field too; an equals sign in a value is part of it."""
    mended = read_message(Mending.parse(["lead_id=", "fields.CPF=", "fields.A=b=c"]).mend(_message()))

    assert (mended.lead_id, mended.fields) == (None, {"Nota": 3, "A": "b=c"})


def test_the_contract_has_the_last_word() -> None:
    """A create without a column is none."""
    with pytest.raises(InvalidJob, match="crm_column: is missing"):
        Mending.parse(["crm_column="]).mend(_message())


def test_what_is_no_message_cannot_be_mended() -> None:
    """Raw bytes stay raw bytes."""
    for raw in (b"", b"\xff", b"[]", b'{"headers": {}}'):
        with pytest.raises(NotAJob):
            Mending.parse(["crm_column=1"]).mend(raw)


def test_fields_that_are_no_object_cannot_take_another() -> None:
    """Said in words, not with a traceback."""
    message = json.loads(encode(JOB))
    args, kwargs, embed = json.loads(message["body"])
    message["body"] = json.dumps([args, {**kwargs, "fields": "text"}, embed])

    with pytest.raises(InvalidJob, match="must be an object"):
        Mending.parse(["fields.A=1"]).mend(json.dumps(message).encode())


def test_every_wrong_assignment_is_named_at_once() -> None:
    """One mistake at a time would take as many tries."""
    with pytest.raises(InvalidJob) as caught:
        Mending.parse(["crm_column=x", "instance=globex", "colour=red", "fields.=1", "title"])

    assert [problem.field for problem in caught.value.problems] == [
        "crm_column",
        "instance",
        "colour",
        "fields.",
        "title",
    ]


def test_what_the_ledger_has_filed_the_job_under_cannot_be_changed() -> None:
    """Everything else of a job can."""
    fields = {*CreateOpportunity.model_fields, *UpdateOpportunity.model_fields, "fields"}

    assert fields - set(MENDABLE) == {"fields", "job_id", "instance", "lane", "external_ref", "idempotency_key"}


def test_masking_shows_ids_and_hides_words() -> None:
    """A number where a number belongs, a text only by its length."""
    shown = masked({**json.loads(JOB.model_dump_json(exclude_none=True)), "phone": "+55 11", "user": "João da Silva"})

    assert (shown["crm_column"], shown["lead_id"], shown["instance"], shown["status"]) == (130, 8473, "acme", "open")
    assert shown["title"] == "(text of 12 characters)"
    assert shown["fields"] == {"CPF": "(text of 1 characters)", "Nota": "(a number)"}
    assert shown["phone"] == "(text of 6 characters)"
    assert shown["user"] == "(text of 13 characters)"


@pytest.mark.parametrize(
    ("value", "shown"), [(True, "(yes or no)"), (None, "(nothing)"), ([1], "(something else)"), (1.5, "(a number)")]
)
def test_masking_tells_the_kind(value: object, shown: str) -> None:
    """Of whatever a foreign producer sent."""
    assert masked({"title": value}) == {"title": shown}


def test_opening_reveals_only_when_asked() -> None:
    """And falls back to bytes for what is no message."""
    assert opened(_message(), reveal=True)["job"]["title"] == "Casa de João"
    assert "João" not in json.dumps(opened(_message(), reveal=False), ensure_ascii=False)
    assert opened(b"\x00\xff", reveal=False) == {"raw": r"\x00\xff"}
    assert opened(None, reveal=True) == {"job": None}


@pytest.mark.parametrize(
    "raw",
    [
        b"Florisbela",
        b'{"body": "[[], {\\"title\\": \\"Casa de Florisbela\\"}, {}]", "headers": {"id": "x"}, "properties": {}}',
        b'{"headers": {"task": "opportunities.create", "kwargsrepr": "Florisbela 529982"}, "body": "529982',
        b"... (Florisbela 529982)",
        b'["Florisbela", 529982]\\Florisbela',
        "Florisbela \u00e9 529982".encode(),
    ],
)
def test_what_no_job_can_be_read_from_may_be_a_broken_one(raw: bytes) -> None:
    """Its shape is shown, with the names of fields and headers; its words only where somebody asks for them."""
    assert not re.search("Florisbela|529982", json.dumps(opened(raw, reveal=False)))
    assert "Florisbela" in json.dumps(opened(raw, reveal=True))


def test_a_broken_message_is_recognised_by_its_shape() -> None:
    """Which part is missing can be seen; a long one is cut, and what is beyond is counted."""
    raw = b'{"body": "Rosa", "headers": {"task": "opportunities.create", "id": "a7"}}'

    assert outlined(raw) == '{"body": "****", "headers": {"task": "opportunities.create", "id": "**"}}'
    assert outlined(b"x" * 1_000) == "*" * 240 + "... (760 more bytes)"


def test_bytes_are_cut_and_the_rest_is_counted() -> None:
    """Nothing but plain ASCII is left as it is."""
    assert escaped("é\x1b".encode() + b"x" * 10, most=4) == r"\xc3\xa9\x1bx... (9 more bytes)"


def test_a_filter_in_words_means_the_same_letters() -> None:
    """Ages become times, and what is buried later is out."""
    wanted = Filter(instance="acme", kind=Kind.UPDATE, cause=Cause.EXHAUSTED, newer_than=Bound.parse("2h"), limit=5)

    assert shlex.join(as_options(wanted, now=NOW)) == (
        "--instance acme --kind update --cause exhausted --newer-than 2023-11-14T20:13:20.000Z"
        " --older-than 2023-11-14T22:13:20.001Z --limit 5"
    )
    assert as_options(Filter(job_ids=("a", "b")), now=NOW) == ["--id", "a", "--id", "b"]


def test_a_filter_takes_what_it_says() -> None:
    """None means anything."""
    letter = Letter.from_entry("x", {"state": "dead", "instance": "acme", "kind": Kind.CREATE, "cause": "rejected"})

    assert letter is not None
    assert Filter().takes(letter)
    assert Filter(instance="acme", kind=Kind.CREATE, cause=Cause.REJECTED).takes(letter)
    assert not Filter(instance="globex").takes(letter)
    assert not Filter(kind=Kind.UPDATE).takes(letter)
    assert not Filter(cause=Cause.POISON).takes(letter)


def test_only_the_dead_are_letters() -> None:
    """An entry that has moved on, or is gone, is none."""
    assert Letter.from_entry("x", {"state": "queued"}) is None
    assert Letter.from_entry("x", {}) is None


def _message() -> bytes:
    return encode(JOB).encode()


@pytest.mark.parametrize("reveal", [True, False])
def test_a_number_that_is_none_is_shown_as_json(*, reveal: bool) -> None:
    """Python writes NaN, and other programs stop reading there."""
    message = json.loads(encode(JOB))
    fields = {"value": float("nan"), "external_ref": [float("inf")], "fields": {"a": float("-inf")}, "lead_id": 1}
    message["body"] = json.dumps([[], fields, {}])

    shown = opened(json.dumps(message).encode(), reveal=reveal)

    json.dumps(shown, allow_nan=False)
    assert shown["job"]["external_ref"] == ["inf"]
    assert shown["job"]["lead_id"] == 1
