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
    "a task in half a character's bytes": (
        message(headers={**HEADERS, "task": "@"}).replace(b"@", b"x\xed\xa0\x80"),
        "undecodable",
    ),
    "a body in half a character's bytes": (message(body="@").replace(b"@", b"\xed\xa0\x80"), "undecodable"),
    "text that has no bytes": (message(body='[[], {"instance": "\\ud800", "\\udfff": "\\ud83d"}, {}]'), "invalid"),
    "a body nested beyond reason": (message(body='[[], {"title": ' + "[" * 900 + "]" * 900 + "}, {}]"), "undecodable"),
    "a number beyond reason": (message(body='[[], {"funnel_id": 1' + "0" * 5000 + "}, {}]"), "undecodable"),
    "a value of Celery's that nobody knows": (
        message(body='[[], {"title": {"__type__": [], "__value__": 1}}, {}]'),
        "invalid",
    ),
    "an embed that names another claim": (message(body='[[], {}, {"claim_tag": "1", "id": "job-999"}]'), "invalid"),
    "fields without end": (message(body=json.dumps([[], {f"k{n}": 1 for n in range(10_000)}, {}])), "invalid"),
    "a field's name without end": (message(body=json.dumps([[], {"x" * 200_000: 1}, {}])), "invalid"),
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
    began_as = process.pid

    assert client.wait(good, timeout_s=30).state == State.SUCCEEDED
    eventually(lambda: ledger.zcard(keys.DEAD) == len(MESSAGES))
    found = {}
    for job_id in ledger.zrange(keys.DEAD, 0, -1):
        entry = ledger.hgetall(keys.job(job_id.decode()))
        found[entry[b"message"]] = entry[b"cause"].decode()
        assert entry[b"version"]
        assert len(entry[b"detail"]) < 2_000
    expected = {
        raw.replace(b"job-1", b"job-%03d" % number): cause for number, (raw, cause) in enumerate(MESSAGES.values())
    }
    assert found == expected
    assert ledger.zcard(keys.LEASES) == 0
    assert process.running
    assert process.pid == began_as


def test_the_causes_name_the_field(client: JobClient, worker: Callable[..., Worker], ledger: redis.Redis) -> None:
    """A person who reads the dead letter knows what to mend."""
    ledger.lpush("opportunities.bulk", message())
    worker()

    outcome = client.wait("job-1", timeout_s=20)

    assert outcome.cause == "invalid"
    assert "funnel_id: is missing" in (outcome.detail or "")
    assert outcome.instance == "acme"


def test_a_text_that_has_no_bytes_is_its_own_jobs_end(
    client: JobClient, worker: Callable[..., Worker], ledger: redis.Redis
) -> None:
    """JSON can say a lone surrogate, UTF-8 cannot: no other job of the same round trip feels it."""
    good = []
    for number in range(100):
        good.append(
            client.enqueue(CreateOpportunity(instance="acme", funnel_id=7, title="Good", crm_column=130, lead_id=1))
        )
        if number % 10 == 0:
            bad = message(body='[[], {"instance": "\\ud800"}, {}]').replace(b"job-1", b"job-%03d" % number)
            ledger.lpush("opportunities.interactive", bad)

    worker()

    assert {client.wait(job_id, timeout_s=30).state for job_id in good} == {State.SUCCEEDED}
    assert eventually(lambda: ledger.zcard(keys.DEAD)) == 10
    assert not ledger.zcard(keys.IN_DOUBT)
    outcome = client.outcome("job-090")
    assert outcome.cause == "invalid"
    assert "instance: must be a valid string" in (outcome.detail or "")


def test_a_bad_copy_under_a_job_that_has_ended_is_kept(
    client: JobClient, worker: Callable[..., Worker], ledger: redis.Redis
) -> None:
    """Its bytes are a letter of their own; the job is as it was."""
    job_id = client.enqueue(CreateOpportunity(instance="acme", funnel_id=7, title="Good", crm_column=130, lead_id=1))
    worker()
    assert client.wait(job_id, timeout_s=20).state == State.SUCCEEDED

    bad = message(headers={"task": "opportunities.create", "id": job_id})
    ledger.lpush("opportunities.bulk", bad)

    (letter,) = eventually(lambda: ledger.zrange(keys.DEAD, 0, -1))
    assert letter.startswith(b"raw-")
    assert ledger.hget(keys.job(letter.decode()), "message") == bad
    assert client.outcome(job_id).state == State.SUCCEEDED
