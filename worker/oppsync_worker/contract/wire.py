"""Jobs on the wire: Celery's message protocol, version 2, written and read without Celery.

A message is one JSON object on the lane's Redis list. Its body is `[args, kwargs, embed]` as JSON text; the job's
fields are the kwargs, so that a plain `send_task("opportunities.create", kwargs={...})` makes the same job. The task
id is the job id. A message once shipped is readable for ever: golden samples stand in `tests/golden/`.

Source: docs.celeryq.dev, "Message Protocol", version 2; kombu's Redis transport for the envelope.
"""

import hashlib
import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any, Final, Self

from pydantic_core import PydanticSerializationError, to_json

from oppsync_worker.contract.body import body_text, is_deep, read_json, typed_json
from oppsync_worker.contract.errors import FieldProblem, InvalidJob, NotAJob, Unreadable
from oppsync_worker.contract.jobs import JOB_TYPES, AnyJob
from oppsync_worker.contract.names import (
    CONTRACT_VERSION,
    MAX_FIELDS,
    MAX_JOB_BYTES,
    MAX_NESTED,
    Kind,
)
from oppsync_worker.contract.states import Cause

ORIGIN: Final = "oppsync"
"""The header `origin` of messages that our own producers write; the scripts know it too."""

EMBED: Final = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
"""The third part of a body: what Celery is to do when the task has ended. Nothing, for ours."""


def kwargs_of(job: AnyJob) -> dict[str, Any]:
    """The job as plain JSON values, nulls left out, without its id: what `send_task` would be given."""
    document = job.model_dump(mode="json", by_alias=True, exclude_none=True, exclude={"job_id"})
    return {"v": CONTRACT_VERSION, **document}


_TRAVEL: Final = ("v", "lane", "not_before", "deadline")
"""How and when a job travels is not what it asks for: a producer that tries again may have a new deadline."""


_SORTED: Final = json.JSONEncoder(sort_keys=True).encode
_PLAIN: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
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
        InvalidJob: the job is larger than `MAX_JOB_BYTES`, or holds a text that is none.
    """
    return encode_with_digest(job)[0]


def encode_with_digest(job: AnyJob) -> tuple[str, str]:
    """The queue element for a job, and the job's digest.

    Raises:
        InvalidJob: the job is larger than `MAX_JOB_BYTES`, or holds a text that is none.
    """
    fields = kwargs_of(job)
    try:
        body = to_json([[], fields, EMBED])
    except PydanticSerializationError:
        # Validation refuses it; a copy with other values is never validated.
        names = tuple(name for name, value in fields.items() if not _is_text(json.dumps(value, ensure_ascii=False)))
        said = "must be valid Unicode (a lone surrogate cannot be sent)"
        raise InvalidJob(tuple(FieldProblem(name, said) for name in names)) from None
    if len(body) > MAX_JOB_BYTES:
        raise InvalidJob((FieldProblem("", f"the job is {len(body)} bytes; at most {MAX_JOB_BYTES} are accepted"),))
    return _enveloped(job, body.decode()), _digest(job.kind, fields)


def _enveloped(job: AnyJob, body: str) -> str:
    head, *parts = _frame(job.kind.value, job.lane.queue)
    return head + _PLAIN(body) + _PLAIN(job.job_id).join(parts)


@cache
def _frame(task: str, queue: str) -> tuple[str, ...]:
    """The texts around a message's body and id: all but these is the same for every job of one task and lane."""
    body, job_id = "<body>", "<id>"
    message = {
        "body": body,
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {
            "lang": "py",
            "task": task,
            "id": job_id,
            "root_id": job_id,
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
            "correlation_id": job_id,
            "reply_to": "",
            "delivery_mode": 2,
            "delivery_info": {"exchange": "", "routing_key": queue},
            "priority": 0,
            "body_encoding": "utf-8",
            "delivery_tag": job_id,
        },
    }
    head, rest = _PLAIN(message).split(f'"{body}"')
    return head, *rest.split(f'"{job_id}"')


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
            f"version {repr(version)[:20]} of the contract is not known here; this worker knows {CONTRACT_VERSION}"
        )
    if fields.pop("job_id", job_id) != job_id:
        raise InvalidJob((FieldProblem("job_id", "must be left out, or be the Celery task id"),))
    if fields.get("lane") is None:
        fields.pop("lane", None)
    if len(fields) > MAX_FIELDS:
        raise InvalidJob((FieldProblem("", f"there are {len(fields)} fields; a job has at most {MAX_FIELDS}"),))
    return JOB_TYPES[kind].parse({**fields, "job_id": job_id})


@dataclass(frozen=True, slots=True)
class Envelope:
    """A queue element taken apart without judging the job in it: what is wrong with it may be the thing to mend."""

    task: str
    job_id: str
    args: Any
    fields: dict[str, Any]
    embed: Any = None
    headers: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def open(cls, message: str | bytes) -> Self:
        """Take a queue element apart. The one reading of messages: for the worker, and for people who look at letters.

        Raises:
            Unreadable: it is not a message of Celery's protocol, with a body of JSON.
        """
        envelope = read_json(message, "the message", json.loads)
        headers, properties = _part(envelope, "headers"), _part(envelope, "properties")
        named = headers.get("task")
        task = named if isinstance(named, str) else ""
        try:
            text = body_text(envelope, headers, properties)
            args, fields, embed = _call(read_json(text, "the body", typed_json))
            # A text with few brackets is not deep: no need to look. How deep Python reads depends on its version.
            if text.count("[") + text.count("{") > MAX_NESTED and any(map(is_deep, (args, fields, embed or {}))):
                raise Unreadable(Cause.UNDECODABLE, f"the body is nested deeper than {MAX_NESTED}")  # noqa: TRY301
            job_id = _id(task, headers)
        except Unreadable as error:
            error.task = task
            raise
        return cls(task, job_id, args, fields, embed, headers)

    def times(self, *, but: Collection[str] = ()) -> dict[str, Any]:
        """What Celery's headers `eta` and `expires` say, as the job's fields; but those that are decided otherwise.

        Raises:
            Unreadable: one of them is no time.
        """
        return {
            name: self._moment(header, self.fields.get(name), choose)
            for header, name, choose in _TIMES
            if name not in but and self.headers.get(header) is not None
        }

    def _moment(self, header: str, own: object, choose: Callable[..., datetime]) -> object:
        """The time that counts. A field that is no time is left as it is: the contract refuses it under its name."""
        moment = _time(self.headers[header])
        if moment is None:
            said = f"{header}: must be an ISO 8601 time with a time zone"
            raise Unreadable(Cause.INVALID, said, task=self.task)
        if own is None:
            return moment.isoformat()
        other = _time(own)
        return choose(moment, other).isoformat() if other else own


_TIMES: Final[tuple[tuple[str, str, Callable[..., datetime]], ...]] = (
    ("eta", "not_before", max),
    ("expires", "deadline", min),
)
"""A header of Celery's, the job's field of the same meaning, and which of the two counts where both are given."""


def _time(value: object) -> datetime | None:
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return moment if moment and moment.tzinfo else None


def _call(call: Any) -> tuple[list[Any], dict[str, Any], dict[str, Any] | None]:
    match call:
        case [list() as args, dict() as fields, dict() | None as embed]:
            return args, fields, embed
    raise Unreadable(Cause.UNDECODABLE, "the body is not JSON [args, kwargs, embed]")


def _id(task: str, headers: Mapping[str, Any]) -> str:
    job_id = headers.get("id")
    if not task or not isinstance(job_id, str):
        raise Unreadable(Cause.MALFORMED, "the message has no header task or id")
    return job_id


def _part(envelope: Any, name: str) -> Mapping[str, Any]:
    part = envelope.get(name) if isinstance(envelope, dict) else None
    if part == []:
        return {}  # how PHP writes an object without entries
    if not isinstance(part, dict):
        raise Unreadable(Cause.MALFORMED, f"the message has no {name}")
    return part


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def read_message(message: str | bytes) -> AnyJob:
    """A job from a whole queue element: for people who look at dead letters, not for the worker.

    Raises:
        NotAJob: it is not a message of the protocol.
        InvalidJob: the fields break the contract.
    """
    opened = Envelope.open(message)
    return decode(opened.task, opened.job_id, opened.args, opened.fields)
