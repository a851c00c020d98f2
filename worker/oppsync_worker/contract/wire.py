"""Jobs on the wire: Celery's message protocol, version 2, written and read without Celery.

A message is one JSON object on the lane's Redis list. Its body is `[args, kwargs, embed]` as JSON text; the job's
fields are the kwargs, so that a plain `send_task("opportunities.create", kwargs={...})` makes the same job. The task
id is the job id. A message once shipped is readable for ever: golden samples stand in `tests/golden/`.

Source: docs.celeryq.dev, "Message Protocol", version 2; kombu's Redis transport for the envelope.
"""

import base64
import bz2
import hashlib
import json
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self

from oppsync_worker.contract.errors import FieldProblem, InvalidJob, NotAJob, Unreadable
from oppsync_worker.contract.jobs import JOB_TYPES, AnyJob
from oppsync_worker.contract.names import (
    CONTRACT_VERSION,
    MAX_FIELDS,
    MAX_JOB_BYTES,
    MAX_MESSAGE_BYTES,
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
    body = json.dumps([[], fields, EMBED], ensure_ascii=False, separators=(",", ":"))
    try:
        size = len(body.encode())
    except UnicodeEncodeError:
        # Validation refuses it; a copy with other values is never validated.
        names = tuple(name for name, value in fields.items() if not _is_text(json.dumps(value, ensure_ascii=False)))
        said = "must be valid Unicode (a lone surrogate cannot be sent)"
        raise InvalidJob(tuple(FieldProblem(name, said) for name in names)) from None
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
    body: str = ""
    """The text that args, fields and embed were read from."""
    plain: bool = True
    """Whether Celery reads the same in that text: it stands for no values of types that JSON does not have."""

    @classmethod
    def open(cls, message: str | bytes) -> Self:
        """Take a queue element apart. The one reading of messages: for the worker, and for people who look at letters.

        Raises:
            Unreadable: it is not a message of Celery's protocol, with a body of JSON.
        """
        envelope = _read(message, "the message", json.loads)
        headers, properties = _part(envelope, "headers"), _part(envelope, "properties")
        named = headers.get("task")
        task = named if isinstance(named, str) else ""
        try:
            text = _body(envelope, headers, properties)
            typed = _Typed()
            args, fields, embed = _call(_read(text, "the body", typed.loads))
            # A text with few brackets is not deep: no need to look.
            if text.count("[") + text.count("{") > MAX_NESTED and (_is_deep(args) or _is_deep(fields)):
                raise Unreadable(Cause.UNDECODABLE, f"the body is nested deeper than {MAX_NESTED}")  # noqa: TRY301
            job_id = _id(task, headers)
        except Unreadable as error:
            error.task = task
            raise
        return cls(task, job_id, args, fields, embed, headers, text, not typed.found)


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


def _read(text: str | bytes, what: str, loads: Callable[[str], Any]) -> Any:
    """JSON, read as strictly as everything that comes after: bytes are UTF-8, and not what `json.loads` would guess."""
    try:
        return loads(text.decode("utf-8") if isinstance(text, bytes) else text)
    except UnicodeDecodeError:
        raise Unreadable(Cause.UNDECODABLE, f"{what} is not UTF-8 text") from None
    except RecursionError:
        raise Unreadable(Cause.UNDECODABLE, f"{what} is nested too deeply") from None
    except (ValueError, TypeError):
        raise Unreadable(Cause.UNDECODABLE, f"{what} is not JSON that can be read") from None


def _part(envelope: Any, name: str) -> Mapping[str, Any]:
    part = envelope.get(name) if isinstance(envelope, dict) else None
    if part == []:
        return {}  # how PHP writes an object without entries
    if not isinstance(part, dict):
        raise Unreadable(Cause.MALFORMED, f"the message has no {name}")
    return part


_ENCODINGS: Final = {"utf-8", "utf8", "us-ascii"}


def _body(envelope: Mapping[str, Any], headers: Mapping[str, Any], properties: Mapping[str, Any]) -> str:
    body = envelope.get("body")
    if not isinstance(body, str):
        raise Unreadable(Cause.MALFORMED, "the message has no body")
    content, encoding = envelope.get("content-type", "application/json"), envelope.get("content-encoding") or "utf-8"
    if content != "application/json" or str(encoding).lower() not in _ENCODINGS:
        raise Unreadable(Cause.UNDECODABLE, f"the body is {repr(content)[:60]}; only JSON in UTF-8 is accepted")
    compression = headers.get("compression")
    if str(properties.get("body_encoding") or "").lower() != "base64":
        if compression:
            raise Unreadable(Cause.UNDECODABLE, f"the body is compressed ({_short(compression)}), but not base64")
        return body
    not_text = Unreadable(Cause.UNDECODABLE, "the body is not base64 of UTF-8 text")
    try:
        raw = base64.b64decode(body, validate=True)
    except ValueError:
        raise not_text from None
    try:
        return (_unpacked(raw, compression) if compression else raw).decode("utf-8")
    except UnicodeDecodeError:
        raise not_text from None


_INFLATE: Final[Mapping[str, Callable[[bytes, int], tuple[bytes, bool]]]] = {
    "application/x-gzip": lambda raw, most: ((one := zlib.decompressobj()).decompress(raw, most), one.eof),
    "application/x-bz2": lambda raw, most: ((one := bz2.BZ2Decompressor()).decompress(raw, most), one.eof),
}
"""What kombu writes for `compression=` zlib or gzip, and bzip2, by the header's value."""


def _unpacked(raw: bytes, compression: object) -> bytes:
    inflate = _INFLATE.get(compression) if isinstance(compression, str) else None
    if inflate is None:
        raise Unreadable(
            Cause.UNDECODABLE,
            f"the body is compressed with {_short(compression)}, which is not read here: send it plain, or with zlib or"
            " bzip2",
        )
    try:
        text, whole = inflate(raw, MAX_MESSAGE_BYTES + 1)
    except (zlib.error, OSError, ValueError):
        raise Unreadable(Cause.UNDECODABLE, f"the body is not what {_short(compression)} makes") from None
    if len(text) > MAX_MESSAGE_BYTES:
        said = f"the body is larger than {MAX_MESSAGE_BYTES} bytes once it is unpacked ({_short(compression)})"
        raise Unreadable(Cause.OVERSIZED, said)
    if not whole:
        raise Unreadable(Cause.UNDECODABLE, f"the body ends too early for what {_short(compression)} makes")
    return text


class _Typed:
    """Reads JSON in which kombu writes values that JSON has not as `{"__type__": ..., "__value__": ...}`."""

    def __init__(self) -> None:
        self.found = False

    def loads(self, text: str) -> Any:
        if "__type__" not in text and "\\u" not in text:
            return json.loads(text)  # no decoder has to be made for it
        return json.loads(text, object_hook=self._plain)

    def _plain(self, value: dict[str, Any]) -> Any:
        if len(value) != 2 or value.keys() != {"__type__", "__value__"}:  # noqa: PLR2004 - its two names
            return value
        self.found = True
        if value["__type__"] in ("datetime", "decimal") and isinstance(value["__value__"], str):
            return value["__value__"]
        # Of no field's type, so that the contract refuses it under the field's name.
        return [_short(value["__type__"])]


def _is_deep(value: Any, most: int = MAX_NESTED) -> bool:
    inner = value.values() if isinstance(value, dict) else value
    return any(most == 0 or _is_deep(one, most - 1) for one in inner if isinstance(one, dict | list))


def _short(value: object) -> str:
    return repr(value)[:60]


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
