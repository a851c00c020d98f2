"""Jobs on the wire: Celery's message protocol, version 2, written and read without Celery.

A message is one JSON object on the lane's Redis list. Its body is `[args, kwargs, embed]` as JSON text; the job's
fields are the kwargs, so that a plain `send_task("opportunities.create", kwargs={...})` makes the same job. The task
id is the job id. A message once shipped is readable for ever: golden samples stand in `tests/golden/`.

Source: docs.celeryq.dev, "Message Protocol", version 2; kombu's Redis transport for the envelope.
"""

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

from oppsync_worker.contract.errors import FieldProblem, InvalidJob, NotAJob
from oppsync_worker.contract.jobs import JOB_TYPES, AnyJob
from oppsync_worker.contract.names import CONTRACT_VERSION, MAX_JOB_BYTES, Kind

ORIGIN: Final = "oppsync"
"""The header `origin` of messages that our own producers write; the scripts know it too."""

_EMBED: Final = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}


def kwargs_of(job: AnyJob) -> dict[str, Any]:
    """The job as plain JSON values, nulls left out, without its id: what `send_task` would be given."""
    document = job.model_dump(mode="json", by_alias=True, exclude_none=True, exclude={"job_id"})
    return {"v": CONTRACT_VERSION, **document}


_TRAVEL: Final = ("v", "lane", "not_before", "deadline")
"""How and when a job travels is not what it asks for: a producer that tries again may have a new deadline."""


_SORTED: Final = json.JSONEncoder(sort_keys=True).encode
"""Made once: making an encoder takes as long as using it, and every job is encoded so when it is enqueued."""


def digest(job: AnyJob) -> str:
    """What tells one request from another under one job id or idempotency key. Kept in the ledger: it must not change.

    It covers the kind and every field but those of `_TRAVEL` and the job's id. The contract keeps one form of each
    amount and time, and names are sorted here.
    """
    return _digest(job.kind, kwargs_of(job))


def _digest(kind: Kind, fields: Mapping[str, Any]) -> str:
    asked = {name: value for name, value in fields.items() if name not in _TRAVEL}
    return hashlib.blake2b(_SORTED([kind.value, asked]).encode(), digest_size=12).hexdigest()


def encode(job: AnyJob) -> str:
    """The queue element for a job.

    Raises:
        InvalidJob: the job is larger than `MAX_JOB_BYTES`.
    """
    return encode_with_digest(job)[0]


def encode_with_digest(job: AnyJob) -> tuple[str, str]:
    """The queue element for a job, and the job's digest.

    Raises:
        InvalidJob: the job is larger than `MAX_JOB_BYTES`.
    """
    fields = kwargs_of(job)
    body = json.dumps([[], fields, _EMBED], ensure_ascii=False, separators=(",", ":"))
    size = len(body.encode())
    if size > MAX_JOB_BYTES:
        raise InvalidJob((FieldProblem("", f"the job is {size} bytes; at most {MAX_JOB_BYTES} are accepted"),))
    queue = job.lane.queue
    message = {
        "body": body,
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {
            "lang": "py",
            "task": job.kind.value,
            "id": job.job_id,
            "root_id": job.job_id,
            "parent_id": None,
            "group": None,
            "retries": 0,
            "eta": None,
            "expires": None,
            "timelimit": [None, None],
            "argsrepr": "",
            "kwargsrepr": "",
            "origin": ORIGIN,
            "ignore_result": True,
        },
        "properties": {
            "correlation_id": job.job_id,
            "reply_to": "",
            "delivery_mode": 2,
            "delivery_info": {"exchange": "", "routing_key": queue},
            "priority": 0,
            "body_encoding": "utf-8",
            "delivery_tag": job.job_id,
        },
    }
    return json.dumps(message, ensure_ascii=False, separators=(",", ":")), _digest(job.kind, fields)


def decode(task: str, job_id: str, args: object, kwargs: Mapping[str, Any]) -> AnyJob:
    """A job from what a Celery task was called with.

    Raises:
        NotAJob: no task of that name, positional arguments, or a version that this software does not know.
        InvalidJob: the fields break the contract.
    """
    try:
        kind = Kind(task)
    except ValueError:
        raise NotAJob(f"there is no task {task[:100]!r}") from None
    if args:
        raise NotAJob("a job's fields are keyword arguments; positional ones were given")
    fields = dict(kwargs)
    version = fields.pop("v", CONTRACT_VERSION)
    if version != CONTRACT_VERSION:
        raise NotAJob(
            f"version {str(version)[:20]} of the contract is not known here; this worker knows {CONTRACT_VERSION}"
        )
    if fields.pop("job_id", job_id) != job_id:
        raise InvalidJob((FieldProblem("job_id", "must be left out, or be the Celery task id"),))
    if fields.get("lane") is None:
        fields.pop("lane", None)
    return JOB_TYPES[kind].parse({**fields, "job_id": job_id})


@dataclass(frozen=True, slots=True)
class Envelope:
    """A queue element taken apart without judging the job in it: what is wrong with it may be the thing to mend."""

    task: str
    job_id: str
    args: Any
    fields: dict[str, Any]

    @classmethod
    def open(cls, message: str | bytes) -> Self:
        """Take a queue element apart.

        Raises:
            NotAJob: it is not a message of Celery's protocol.
        """
        try:
            envelope = json.loads(message)
            headers, body = envelope["headers"], envelope["body"]
            if envelope["properties"].get("body_encoding") == "base64":
                body = base64.b64decode(body, validate=True)
            args, fields, _ = json.loads(body)
            task, job_id = headers["task"], headers["id"]
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise NotAJob(f"not a message of Celery's protocol: {type(error).__name__}") from None
        if not isinstance(fields, dict) or not isinstance(task, str) or not isinstance(job_id, str):
            raise NotAJob("not a message of Celery's protocol: no keyword arguments")
        return cls(task, job_id, args, fields)


def read_message(message: str | bytes) -> AnyJob:
    """A job from a whole queue element: for people who look at dead letters, not for the worker.

    Raises:
        NotAJob: it is not a message of the protocol.
        InvalidJob: the fields break the contract.
    """
    opened = Envelope.open(message)
    return decode(opened.task, opened.job_id, opened.args, opened.fields)
