"""Whatever lands in a queue: buried whole, and the worker goes on."""

import base64
import json
import pickle
from collections.abc import Callable

import redis

from oppsync import CreateOpportunity, JobClient, State
from oppsync_worker.ledger import keys
from stage import Worker, eventually


def message(**changed: object) -> bytes:
    """A message of the protocol, with some parts changed."""
    whole: dict[str, object] = {
        "body": json.dumps([[], {"instance": "acme"}, {}]),
        "content-type": "application/json",
        "content-encoding": "utf-8",
        "headers": {"task": "opportunities.create", "id": "job-1"},
        "properties": {"delivery_tag": "t", "body_encoding": "utf-8", "delivery_info": {}},
    }
    return json.dumps({**whole, **changed}).encode()


HEADERS = {"task": "opportunities.create", "id": "job-1"}
MESSAGES: dict[str, tuple[bytes, str]] = {
    "not JSON": (b"hello", "undecodable"),
    "empty object": (b"{}", "malformed"),
    "an array": (b"[1, 2]", "malformed"),
    "a pickle": (pickle.dumps({"task": "opportunities.create"}), "undecodable"),
    "invalid UTF-8": (b'{"headers": {"task": "\xff\xfe", "id": "job-1"}, "properties": {}, "body": ""}', "undecodable"),
    "nested beyond reason": (b"[" * 100_000, "undecodable"),
    "no task": (message(headers={"id": "job-1"}), "malformed"),
    "no id": (message(headers={"task": "opportunities.create"}), "malformed"),
    "an id that is a path": (message(headers={"task": "opportunities.create", "id": "../x y"}), "malformed"),
    "no properties": (message(properties=None), "malformed"),
    "properties that are a list": (message(properties=[]), "invalid"),
    "headers that cannot be looked up": (
        message(headers={**HEADERS, "shadow": [1], "stamps": [1], "group": {}, "stamped_headers": 3}),
        "invalid",
    ),
    "a field called self": (message(body='[[], {"self": 1, "instance": "acme"}, {}]'), "invalid"),
    "unknown task": (message(headers={"task": "billing.charge", "id": "job-1"}), "unknown_task"),
    "bad base64": (message(properties={"body_encoding": "base64"}, body="%%%"), "undecodable"),
    "base64 of a pickle": (
        message(properties={"body_encoding": "base64"}, body=base64.b64encode(pickle.dumps([1])).decode()),
        "undecodable",
    ),
    "a pickle by content type": (message(**{"content-type": "application/x-python-serialize"}), "undecodable"),
    "a body that is no call": (message(body="{}"), "undecodable"),
    "a call without kwargs": (message(body="[[], 1, {}]"), "undecodable"),
    "an eta that is no time": (message(headers={**HEADERS, "eta": "tomorrow"}), "invalid"),
    "an expiry without a zone": (message(headers={**HEADERS, "expires": "2099-01-01T00:00:00"}), "invalid"),
    "fields that break the contract": (message(), "invalid"),
    "positional arguments": (message(body='[[1], {"instance": "acme"}, {}]'), "invalid"),
    "another version": (message(body='[[], {"v": 9}, {}]'), "invalid"),
    "50 MB": (message(body="x" * 50_000_000), "oversized"),
}


def test_every_bad_message_becomes_a_dead_letter_with_its_bytes(
    client: JobClient, worker: Callable[..., Worker], ledger: redis.Redis
) -> None:
    """All of them in one queue, and a good job behind: the worker survives every one."""
    for number, (raw, _) in enumerate(MESSAGES.values()):
        ledger.lpush("opportunities.interactive", raw.replace(b"job-1", b"job-%03d" % number))
    good = client.enqueue(
        CreateOpportunity(instance="acme", funnel_id=7, title="Good", crm_column=130, lead_id=1, lane="interactive")
    )

    process = worker()

    assert client.wait(good, timeout_s=30).state == State.SUCCEEDED
    eventually(lambda: ledger.zcard(keys.DEAD) == len(MESSAGES))
    found = {}
    for job_id in ledger.zrange(keys.DEAD, 0, -1):
        entry = ledger.hgetall(keys.job(job_id.decode()))
        found[entry[b"message"]] = entry[b"cause"].decode()
        assert entry[b"version"]
    expected = {
        raw.replace(b"job-1", b"job-%03d" % number): cause for number, (raw, cause) in enumerate(MESSAGES.values())
    }
    assert found == expected
    assert ledger.zcard(keys.LEASES) == 0
    assert process.running


def test_the_causes_name_the_field(client: JobClient, worker: Callable[..., Worker], ledger: redis.Redis) -> None:
    """A person who reads the dead letter knows what to mend."""
    ledger.lpush("opportunities.bulk", message())
    worker()

    outcome = client.wait("job-1", timeout_s=20)

    assert outcome.cause == "invalid"
    assert "funnel_id: is missing" in (outcome.detail or "")
    assert outcome.instance == "acme"
