"""Planted secrets and people are looked for in everything that was written.

One run with every kind of end: success, rejection, throttle, bad credential, lost answer, HTML error page, broken
message. Then the log, Sentry's envelopes, every Redis key and every operator's screen are read as bytes.
"""

import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis

from integration.observe.sentry_server import SentryServer, running
from oppsync import CreateOpportunity, JobClient, State, UpdateOpportunity
from oppsync_ops.simulator import HostedSimulator
from stage import BIN, Worker, eventually

TOKEN = "3f0c2d9e-5b1a-4c7d-9e8f-aa11bb22cc33"
BEARER = "9a7b6c5d-1111-4222-8333-444455556666"
SENTRY_KEY = "0123456789abcdef"
TITLE = "Contrato da Dona Florisbela"
CUSTOM = "529.982.247-25"

INSTANCES = f"""
[acme]
token = "{TOKEN}"
bearer = "{BEARER}"
marker_field = "oppsync"
[acme.budget]
requests = 0
concurrency = 0
cool_down_seconds = 0.2
[acme.retry]
max_attempts = 2
first_delay_seconds = 0.05
[globex]
token = "wrong-{TOKEN}"
[globex.budget]
requests = 0
"""


@pytest.fixture
def sentry() -> Iterator[SentryServer]:
    """Keeps the bytes it was sent."""
    with running() as server:
        yield server


def dump(ledger: redis.Redis, *, messages: bool) -> bytes:
    """Every key and value; `messages` says whether the jobs' own messages are among them."""
    found = []
    readers: dict[bytes, Callable[[bytes], Any]] = {
        b"hash": ledger.hgetall,
        b"list": lambda key: ledger.lrange(key, 0, -1),
        b"zset": lambda key: ledger.zrange(key, 0, -1),
        b"set": ledger.smembers,
        b"string": ledger.get,
    }
    for key in ledger.scan_iter():
        value = readers[ledger.type(key)](key)
        if not messages and isinstance(value, dict):
            value.pop(b"message", None)
        found.append(repr((key, value)).encode())
    return b"\n".join(found)


def people_of(crm: HostedSimulator) -> list[bytes]:
    """What the CRM told of people in its answers: taken from an answer itself."""
    address = f"{crm.url}/listopportunitysleadcomplete/4711?i=acme"
    text = httpx.get(address, headers={"apitoken": TOKEN}, trust_env=False).text
    found = re.findall(r'"(?:email|firstname|lastname|whatsapp|senha_inicial|companyname)":"([^"]+)"', text)
    assert len(found) >= 5
    # First names are ordinary words; two of three letters would be found anywhere.
    return [one.encode() for one in found if len(one) > 4]


def test_nothing_that_is_written_holds_a_secret_or_a_person(
    client: JobClient,
    worker: Callable[..., Worker],
    crm: HostedSimulator,
    ledger: redis.Redis,
    sentry: SentryServer,
    tmp_path: Path,
) -> None:
    """Tokens nowhere at all; the CRM's people nowhere at all; the customer's text in the job's message only."""
    crm.call(lambda sim: sim.declare({"name": "acme", "token": TOKEN}))
    file = tmp_path / "instances.toml"
    file.write_text(INSTANCES, "utf-8")
    process = worker(SPRINTHUB_INSTANCES_FILE=str(file), SENTRY_DSN=sentry.dsn, OPPSYNC_LOG_LEVEL="DEBUG")

    def deal(**given: object) -> CreateOpportunity:
        return CreateOpportunity.parse(
            {
                "instance": "acme",
                "funnel_id": 7,
                "title": TITLE,
                "crm_column": 130,
                "lead_id": 4711,
                "fields": {"CPF": CUSTOM},
                **given,
            }
        )

    made = client.wait(client.enqueue(deal()), timeout_s=30)
    assert made.state == State.SUCCEEDED
    crm.add_fault("http:status=500,method=PUT,body=text")
    change = UpdateOpportunity(instance="acme", funnel_id=7, opportunity_id=made.opportunity_id, title=TITLE)
    ended = [client.enqueue(change), client.enqueue(deal(crm_column=999))]
    crm.add_fault("gateway:status=502,method=POST,commit=yes,times=1")
    doubtful = client.enqueue(deal())
    refused = client.enqueue(deal(instance="globex"))
    ledger.lpush("opportunities.bulk", b'{"token": "broken')
    eventually(lambda: all(client.outcome(job).state == State.DEAD for job in ended))
    eventually(lambda: client.outcome(doubtful).state == State.IN_DOUBT)
    eventually(lambda: client.outcome(refused).cause == "credential")
    screens = b""
    looks = ("dead list", f"dead show {ended[0]}", "doubt list", "status", "instances", f"job show {ended[1]}")
    for look in looks:
        done = subprocess.run([BIN / "oppsync", *look.split()], env=process.environ, capture_output=True, check=False)
        screens += done.stdout + done.stderr
    assert process.stop() == 0

    log = process.log.read_bytes()
    assert sentry.events, "Sentry heard nothing"
    everywhere = {
        "log": log,
        "sentry": sentry.everything,
        "redis": dump(ledger, messages=True),
        "screens": screens,
    }
    for place, written in everywhere.items():
        for secret in (TOKEN.encode(), BEARER.encode()):
            assert secret not in written, (place, "a token")
        for person in people_of(crm):
            assert person not in written, (place, person)
    customers = {"log": log, "sentry": sentry.everything, "results": dump(ledger, messages=False), "screens": screens}
    for place, written in customers.items():
        assert b"Florisbela" not in written, place
        assert CUSTOM.encode() not in written, place
    assert SENTRY_KEY.encode() not in log
