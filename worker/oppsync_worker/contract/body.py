"""What strangers write, read strictly and to bounds: JSON, base64, compression, and kombu's own types."""

import base64
import bz2
import json
import zlib
from collections.abc import Callable, Mapping
from typing import Any, Final

from oppsync_worker.contract.errors import Unreadable
from oppsync_worker.contract.names import MAX_MESSAGE_BYTES, MAX_NESTED
from oppsync_worker.contract.states import Cause


def read_json(text: str | bytes, what: str, loads: Callable[[str], Any]) -> Any:
    """JSON, read as strictly as everything that comes after: bytes are UTF-8, and not what `json.loads` would guess."""
    try:
        return loads(text.decode("utf-8") if isinstance(text, bytes) else text)
    except UnicodeDecodeError:
        raise Unreadable(Cause.UNDECODABLE, f"{what} is not UTF-8 text") from None
    except RecursionError:
        raise Unreadable(Cause.UNDECODABLE, f"{what} is nested too deeply") from None
    except (ValueError, TypeError):
        raise Unreadable(Cause.UNDECODABLE, f"{what} is not JSON that can be read") from None


_ENCODINGS: Final = {"utf-8", "utf8", "us-ascii"}


def body_text(envelope: Mapping[str, Any], headers: Mapping[str, Any], properties: Mapping[str, Any]) -> str:
    """A message's body as text: unpacked, and at most `MAX_MESSAGE_BYTES` of it."""
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


def typed_json(text: str) -> Any:
    """As `json.loads`, with plain values for those that JSON has not (kombu: `{"__type__": ..., "__value__": ...}`)."""
    if "__type__" not in text and "\\u" not in text:
        return json.loads(text)  # no decoder has to be made for it
    return json.loads(text, object_hook=_plain)


def _plain(value: dict[str, Any]) -> Any:
    if len(value) != 2 or value.keys() != {"__type__", "__value__"}:  # noqa: PLR2004 - its two names
        return value
    if value["__type__"] in ("datetime", "decimal") and isinstance(value["__value__"], str):
        return value["__value__"]
    # Of no field's type, so that the contract refuses it under the field's name.
    return [_short(value["__type__"])]


def is_deep(value: Any, most: int = MAX_NESTED) -> bool:
    """Whether lists and objects stand in each other more than `most` times."""
    inner = value.values() if isinstance(value, dict) else value
    return any(most == 0 or is_deep(one, most - 1) for one in inner if isinstance(one, dict | list))


def _short(value: object) -> str:
    return repr(value)[:60]
