"""Reading a claimed message for Celery, and refusing what Celery would choke on.

Stock Celery exits on a body that is not base64, and drops a message whose content type it does not accept. Everything
that can be wrong with a message is found here, before Celery sees it.
"""

import base64
import binascii
import json
from datetime import datetime
from typing import Any, Final

from oppsync_worker.contract.names import Lane
from oppsync_worker.contract.states import Cause
from oppsync_worker.engine.engine import TAG_HEADER
from oppsync_worker.ledger.claims import Claimed

_ENCODINGS: Final = {"utf-8", "utf8", "us-ascii"}


class Unreadable(Exception):
    """The message cannot be run; `cause` and the text say why. `headers` are what could be read of it."""

    def __init__(self, cause: Cause, detail: str, headers: dict[str, Any] | None = None) -> None:
        super().__init__(detail)
        self.cause = cause
        self.headers = headers or {}


def prepare(claimed: Claimed) -> dict[str, Any]:
    """The payload that kombu delivers, with the claim's tag for its delivery tag.

    `eta` (and so `countdown`) and `expires` of other Celery producers become the job's `not_before` and `deadline`: a
    message that waited in a worker's memory would be lost with it. The queue that they chose is the job's lane.

    Raises:
        Unreadable: it is no message that a task here could run.
    """
    try:
        payload = json.loads(claimed.message)
        headers, properties = dict(payload["headers"]), dict(payload["properties"])
        body = payload["body"]
        payload["headers"], payload["properties"] = headers, properties
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise Unreadable(Cause.UNDECODABLE, f"the message cannot be read: {type(error).__name__}") from None
    content = (payload.get("content-type"), str(payload.get("content-encoding") or "utf-8").lower())
    if content[0] != "application/json" or content[1] not in _ENCODINGS:
        raise Unreadable(Cause.UNDECODABLE, f"the body is {_short(content[0])}; only JSON is accepted", headers)
    text = _body(body, properties.get("body_encoding"), headers)
    args, kwargs, embed = _call(text, headers)
    for name, field in (("eta", "not_before"), ("expires", "deadline")):
        if headers.get(name) is not None:
            kwargs.setdefault(field, _moment(headers[name], name, headers))
            headers[name] = None
            text = json.dumps([args, kwargs, embed])
    if "lane" not in kwargs:
        kwargs["lane"] = Lane(claimed.queue.rpartition(".")[2])
        text = json.dumps([args, kwargs, embed])
    payload["body"] = text
    properties["body_encoding"] = "utf-8"
    properties["delivery_tag"] = claimed.tag
    properties["delivery_info"] = {"exchange": "", "routing_key": claimed.queue}
    properties["priority"] = 0
    headers[TAG_HEADER] = claimed.tag
    # A limit of the producer's would make Celery give a job up in the middle of a call.
    headers["timelimit"] = [None, None]
    headers["retries"] = 0
    # Celery looks these up in tables of its own, and falls over what cannot be looked up.
    headers.update({"shadow": None, "group": None, "stamped_headers": None, "stamps": {}})
    return dict(payload)


def _body(body: str, encoding: object, headers: dict[str, Any]) -> str:
    if str(encoding or "").lower() != "base64":
        return body
    try:
        return base64.b64decode(body, validate=True).decode("utf-8")
    except (binascii.Error, ValueError):
        raise Unreadable(Cause.UNDECODABLE, "the body is not base64 of UTF-8 text", headers) from None


def _call(text: str, headers: dict[str, Any]) -> tuple[list[Any], dict[str, Any], Any]:
    try:
        args, kwargs, embed = json.loads(text)
    except (ValueError, TypeError, RecursionError):
        raise Unreadable(Cause.UNDECODABLE, "the body is not JSON [args, kwargs, embed]", headers) from None
    if not isinstance(args, list) or not isinstance(kwargs, dict) or not isinstance(embed, dict | None):
        raise Unreadable(Cause.UNDECODABLE, "the body is not JSON [args, kwargs, embed]", headers)
    return args, kwargs, embed


def _moment(value: object, name: str, headers: dict[str, Any]) -> str:
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise Unreadable(Cause.INVALID, f"{name}: must be an ISO 8601 time with a time zone", headers)
    return moment.isoformat()


def _short(value: object) -> str:
    return repr(value)[:60]
