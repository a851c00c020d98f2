"""Reading claimed messages: everything Celery could choke on is found before Celery sees it."""

import base64
import bz2
import contextlib
import json
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from celery import Celery
from hypothesis import given
from hypothesis import strategies as st

from integration.engine.hostile import Drawn
from oppsync_worker.contract.errors import ContractError
from oppsync_worker.contract.jobs import CreateOpportunity
from oppsync_worker.contract.states import Cause
from oppsync_worker.contract.wire import EMBED, ORIGIN, decode, encode
from oppsync_worker.engine.engine import TAG_HEADER
from oppsync_worker.engine.envelopes import CALL, Unreadable, prepare
from oppsync_worker.ledger import begin as beginning
from oppsync_worker.ledger import ends
from oppsync_worker.ledger.claims import Claimed
from oppsync_worker.ledger.scripts import packed

JOB = CreateOpportunity(instance="acme", funnel_id=7, title="Ação", crm_column=130)


def claimed(message: str | bytes) -> Claimed:
    """A claim of a message."""
    return Claimed("41", "opportunities.bulk", message if isinstance(message, bytes) else message.encode())


def changed(**parts: Any) -> Claimed:
    """Our own message with parts of its envelope changed."""
    whole = json.loads(encode(JOB))
    for name, value in parts.items():
        whole[name.replace("_", "-")] = {**whole[name], **value} if isinstance(value, dict) else value
    return claimed(json.dumps(whole))


def test_our_own_message_passes_with_the_claims_tag() -> None:
    """The delivery tag is the fencing token."""
    payload = prepare(claimed(encode(JOB)))

    assert payload["properties"]["delivery_tag"] == payload["headers"][TAG_HEADER] == "41"
    assert fields_of(payload)["title"] == "Ação"


def test_celery_is_given_what_its_own_producers_write() -> None:
    """Every header that it reads is there, so that none is a default of some version's; nothing to be called after."""
    theirs = Celery(set_as_current=False, broker="memory://").amqp.as_task_v2(
        str(JOB.job_id), "opportunities.create", ignore_result=True, argsrepr="", kwargsrepr=""
    )

    ours = prepare(claimed(encode(JOB)))

    assert ours["headers"].pop(TAG_HEADER) == "41"
    assert ours["headers"].pop("origin") == ORIGIN
    of_no_group_and_no_host = {"group_index", "origin", "replaced_task_nesting"}
    assert ours["headers"] == {
        name: value for name, value in theirs.headers.items() if name not in of_no_group_and_no_host
    }
    assert ours["properties"] == {
        **theirs.properties,
        "delivery_mode": 2,
        "delivery_info": {"exchange": "", "routing_key": "opportunities.bulk"},
        "priority": 0,
        "body_encoding": "utf-8",
        "delivery_tag": "41",
    }
    assert (ours["content-type"], ours["content-encoding"]) == ("application/json", "utf-8")


def test_a_base64_body_is_made_plain() -> None:
    """As stock producers send it."""
    body = json.loads(encode(JOB))["body"]

    payload = prepare(changed(body=base64.b64encode(body.encode()).decode(), properties={"body_encoding": "base64"}))

    assert payload[CALL] == json.loads(body)
    assert payload["properties"]["body_encoding"] == "utf-8"


def test_a_tag_that_came_from_outside_does_not_count() -> None:
    """Nobody else may say which claim this is."""
    assert prepare(changed(headers={TAG_HEADER: "9"}))["headers"][TAG_HEADER] == "41"


def test_eta_and_expires_become_the_jobs_own_times() -> None:
    """Kept in the ledger, not in a worker's memory."""
    payload = prepare(
        changed(headers={"eta": "2099-01-01T00:00:00+00:00", "expires": "2099-01-02T00:00:00Z", "timelimit": [1, 1]})
    )

    kwargs = fields_of(payload)
    assert kwargs["not_before"] == "2099-01-01T00:00:00+00:00"
    assert kwargs["deadline"] == "2099-01-02T00:00:00+00:00"
    assert payload["headers"]["eta"] is payload["headers"]["expires"] is None
    assert payload["headers"]["timelimit"] == [None, None]


@pytest.mark.parametrize(
    ("parts", "cause"),
    [
        ({"content_type": "application/x-python-serialize"}, Cause.UNDECODABLE),
        ({"content_encoding": "binary"}, Cause.UNDECODABLE),
        ({"body": "%%", "properties": {"body_encoding": "base64"}}, Cause.UNDECODABLE),
        ({"body": "[1, 2]"}, Cause.UNDECODABLE),
        ({"body": "[[], [], {}]"}, Cause.UNDECODABLE),
        ({"body": "null"}, Cause.UNDECODABLE),
        ({"headers": {"eta": "soon"}}, Cause.INVALID),
        ({"headers": {"expires": 17}}, Cause.INVALID),
        ({"headers": {"eta": {"a": 1}}}, Cause.INVALID),
        ({"headers": {"eta": "2099-01-01T00:00:00"}}, Cause.INVALID),
        ({"headers": {"expires": "2099-01-01"}}, Cause.INVALID),
        ({"headers": {"task": ["opportunities.create"]}}, Cause.MALFORMED),
        ({"headers": {"id": 7}}, Cause.MALFORMED),
        ({"headers": {"compression": "application/x-gzip"}}, Cause.UNDECODABLE),
        ({"body": "[[], {}, {}, {}]"}, Cause.UNDECODABLE),
        ({"body": "[[], {}, 7]"}, Cause.UNDECODABLE),
        ({"body": '[[], {"a": ' + "[" * 40 + "]" * 40 + "}, {}]"}, Cause.UNDECODABLE),
        ({"body": "[[" + "[" * 40 + "]" * 40 + "], {}, {}]"}, Cause.UNDECODABLE),
        ({"body": "[[], {}, " + '{"a":' * 40 + "1" + "}" * 40 + "]"}, Cause.UNDECODABLE),
        ({"body": "[[], {}, " + '{"a":' * 3000 + "1" + "}" * 3000 + "]"}, Cause.UNDECODABLE),
        ({"body": '[[], {"a": 1' + "0" * 5000 + "}, {}]"}, Cause.UNDECODABLE),
    ],
)
def test_what_cannot_be_run_is_named(parts: dict[str, Any], cause: Cause) -> None:
    """With a cause."""
    whole = json.loads(encode(JOB))
    for name, value in parts.items():
        key = name.replace("_", "-") if name.startswith("content") else name
        whole[key] = {**whole[key], **value} if isinstance(value, dict) else value

    with pytest.raises(Unreadable) as refused:
        prepare(claimed(json.dumps(whole)))

    assert refused.value.cause is cause
    if cause is Cause.INVALID:
        assert refused.value.task == "opportunities.create"


@given(
    st.binary(max_size=200)
    | st.recursive(
        st.none() | st.integers() | st.text(max_size=8),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["headers", "properties", "body", "eta", "task"]), inner, max_size=3)
        ),
        max_leaves=10,
    ).map(lambda value: json.dumps(value).encode())
)
def test_any_bytes_are_a_payload_or_a_named_refusal(raw: bytes) -> None:
    """Nothing else ever comes out."""
    try:
        payload = prepare(claimed(raw))
    except Unreadable:
        return
    assert payload["properties"]["delivery_tag"] == "41"


def fields_of(payload: dict[str, Any]) -> dict[str, Any]:
    """What the task is called with: plain JSON, of which nothing stands in what Celery may write into its log."""
    _, fields, embed = json.loads(json.dumps(payload[CALL]))
    assert (embed, payload["body"]) == (EMBED, "")
    return fields  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("header", "field", "given_", "own", "counts"),
    [
        ("expires", "deadline", "2020-01-01T00:00:00+00:00", "2099-01-01T00:00:00Z", "2020-01-01T00:00:00+00:00"),
        ("expires", "deadline", "2099-01-01T00:00:00+00:00", "2020-01-01T00:00:00Z", "2020-01-01T00:00:00+00:00"),
        ("eta", "not_before", "2098-01-01T00:00:00+00:00", "2099-01-01T00:00:00Z", "2099-01-01T00:00:00+00:00"),
        ("eta", "not_before", "2099-01-01T00:00:00+00:00", "2098-01-01T00:00:00Z", "2099-01-01T00:00:00+00:00"),
        ("expires", "deadline", "2099-01-01T00:00:00Z", "soon", "soon"),
        ("expires", "deadline", "2099-01-01T00:00:00Z", 17, 17),
    ],
)
def test_of_two_times_the_stricter_counts(header: str, field: str, given_: str, own: object, counts: object) -> None:
    """Whichever of them is the job's own; a field that is no time is left to the contract, which names it."""
    body = json.dumps([[], {"instance": "acme", field: own}, {}])

    assert fields_of(prepare(changed(headers={header: given_}, body=body)))[field] == counts


@pytest.mark.parametrize(
    ("name", "word"),
    [("callbacks", "link:"), ("errbacks", "link_error:"), ("chain", "a chain:"), ("chord", "a chord:")],
)
def test_what_is_to_be_called_afterwards_is_refused_by_name(name: str, word: str) -> None:
    """Left out in silence it would never come, and nobody would know."""
    body = json.dumps([[], {"instance": "acme"}, {**EMBED, name: [{"task": "t"}]}])

    with pytest.raises(Unreadable, match=word) as refused:
        prepare(changed(body=body))

    assert refused.value.cause is Cause.INVALID
    assert refused.value.task == "opportunities.create"


@pytest.mark.parametrize("third", [None, {}, {"callbacks": None, "chain": []}])
def test_nothing_to_be_called_afterwards_is_nothing_to_refuse(third: Any) -> None:
    """However it is written."""
    body = json.dumps([[], {"instance": "acme"}, third])

    assert fields_of(prepare(changed(body=body))) == {"instance": "acme", "lane": "bulk"}


def test_the_third_part_of_a_body_names_neither_claim_nor_job() -> None:
    """Celery lets it overwrite every header of the request."""
    body = json.dumps([[], {"instance": "acme"}, {"id": "another", TAG_HEADER: "7", "args": [1]}])

    assert fields_of(prepare(changed(body=body))) == {"instance": "acme", "lane": "bulk"}


def test_nothing_else_of_the_envelope_reaches_celery() -> None:
    """Headers and properties are written anew."""
    ours, strange = prepare(changed()), {"x-evil": [1], "sentry-trace": "\x00", "argsrepr": "secret", "root_id": {}}

    theirs = prepare(changed(headers=strange, properties={"reply_to": "x", "expiration": 1, "priority": "9"}))

    assert theirs == ours


@pytest.mark.parametrize(("name", "pack"), [("application/x-gzip", zlib.compress), ("application/x-bz2", bz2.compress)])
def test_a_compressed_body_is_unpacked(name: str, pack: Callable[[bytes], bytes]) -> None:
    """As far as a plain one may be long, and no further."""
    body = json.dumps([[], {"instance": "acme", "lane": "bulk"}, EMBED]).encode()

    def packed_as(raw: bytes) -> Claimed:
        text = base64.b64encode(raw).decode()
        return changed(body=text, headers={"compression": name}, properties={"body_encoding": "base64"})

    assert prepare(packed_as(pack(body)))[CALL] == json.loads(body)
    for raw, cause, says in (
        (pack(body + b" " * 50_000_000), Cause.OVERSIZED, "once it is unpacked"),
        (pack(body)[:-9], Cause.UNDECODABLE, "ends too early"),
        (body, Cause.UNDECODABLE, "is not what"),
    ):
        with pytest.raises(Unreadable, match=says) as refused:
            prepare(packed_as(raw))
        assert refused.value.cause is cause
        assert name in str(refused.value)


def test_values_of_celerys_own_types_are_plain_afterwards() -> None:
    """A time and an amount as the contract takes them; of the rest, the contract names the field."""
    typed = {
        "deadline": {"__type__": "datetime", "__value__": "2099-01-01T00:00:00+00:00"},
        "value": {"__type__": "decimal", "__value__": "1.50"},
        "title": {"__type__": "uuid", "__value__": 5},
        "lane": {"__type__": [], "__value__": 5},
    }

    fields = fields_of(prepare(changed(body=json.dumps([[], typed, EMBED]))))

    assert fields == {
        "deadline": "2099-01-01T00:00:00+00:00",
        "value": "1.50",
        "title": ["'uuid'"],
        "lane": ["[]"],
    }


@pytest.mark.parametrize("seed", range(4))
def test_drawn_messages_are_a_payload_or_a_sentence(seed: int) -> None:
    """And what is a payload, kombu reads as it was read here, and the contract takes or refuses by name."""
    drawn, refused = Drawn(seed), []
    for _ in range(500):
        try:
            payload = prepare(claimed(drawn.message()))
        except Unreadable as error:
            refused.append(str(error))
            continue
        headers = payload["headers"]
        with contextlib.suppress(ContractError):
            job = decode(headers["task"], headers["id"], [], fields_of(payload))
            packed(beginning.begin(ends.Hand("1", job.job_id, 1), job, horizon_ms=1, number=1))
    assert 50 < len(refused) < 450
    assert all(said.isprintable() and 20 < len(said) < 500 for said in refused)
