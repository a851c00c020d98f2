"""Reading claimed messages: everything Celery could choke on is found before Celery sees it."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oppsync_worker.contract.jobs import CreateOpportunity
from oppsync_worker.contract.states import Cause
from oppsync_worker.contract.wire import encode
from oppsync_worker.engine.engine import TAG_HEADER
from oppsync_worker.engine.envelopes import Unreadable, prepare
from oppsync_worker.ledger.claims import Claimed

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
    assert json.loads(payload["body"])[1]["title"] == "Ação"


def test_a_base64_body_is_made_plain() -> None:
    """As stock producers send it."""
    body = json.loads(encode(JOB))["body"]

    payload = prepare(changed(body=base64.b64encode(body.encode()).decode(), properties={"body_encoding": "base64"}))

    assert payload["body"] == body
    assert payload["properties"]["body_encoding"] == "utf-8"


def test_a_tag_that_came_from_outside_does_not_count() -> None:
    """Nobody else may say which claim this is."""
    assert prepare(changed(headers={TAG_HEADER: "9"}))["headers"][TAG_HEADER] == "41"


def test_eta_and_expires_become_the_jobs_own_times() -> None:
    """Kept in the ledger, not in a worker's memory; what the job says itself goes first."""
    payload = prepare(
        changed(headers={"eta": "2099-01-01T00:00:00+00:00", "expires": "2099-01-02T00:00:00Z", "timelimit": [1, 1]})
    )

    kwargs = json.loads(payload["body"])[1]
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
