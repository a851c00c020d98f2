"""An answer's bytes, bounded: nothing the far end sends may fill this machine's memory."""

import json
import zlib
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn

import httpx

MAX_ANSWER_BYTES: Final = 1024 * 1024
"""Most bytes of one answer that are kept, after decompression; the documented answer to a create has 4 KB."""

_NOTHING: Final = httpx.ByteStream(b"")

NOT_JSON: Final = object()
"""What `read_json` returns for anything that is not a JSON text."""

_GZIP_OR_ZLIB: Final = zlib.MAX_WBITS | 32
"""Window bits with which zlib recognises gzip and zlib by their headers."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer. Its `repr` shows neither headers nor body: both can hold what must not be logged."""

    status: int
    headers: httpx.Headers = field(repr=False)
    body: bytes = field(repr=False)
    complete: bool = True
    """False when the answer was larger than the bound; `body` is then only its beginning."""


async def read_answer(response: httpx.Response, *, max_bytes: int = MAX_ANSWER_BYTES) -> Answer:
    """Read an answer up to `max_bytes`, and close it.

    Raises:
        httpx.HTTPError: when the rest of the answer was lost or cannot be decoded.
    """
    try:
        body = bytearray()
        async for chunk in response.aiter_raw():
            body += chunk
            if len(body) > max_bytes:
                break
    finally:
        await response.aclose()
        # httpx ties answer and stream into a circle; cut, both go at once instead of waiting for the garbage collector.
        response.stream = _NOTHING
    raw, complete = bytes(body[:max_bytes]), len(body) <= max_bytes
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("", "identity"):
        raw, complete = _decompress(raw, encoding, max_bytes=max_bytes, whole=complete)
    return Answer(response.status_code, response.headers, raw, complete)


def _decompress(raw: bytes, encoding: str, *, max_bytes: int, whole: bool) -> tuple[bytes, bool]:
    """Undo a compression that was not asked for (requests say `identity`), up to `max_bytes`."""
    if encoding not in ("gzip", "x-gzip", "deflate"):
        raise httpx.DecodingError("the answer has a content encoding that was not asked for")
    inflate = zlib.decompressobj(_GZIP_OR_ZLIB)
    try:
        text = inflate.decompress(raw, max_bytes + 1)
    except zlib.error:
        raise httpx.DecodingError("the answer's compression is broken") from None
    if len(text) > max_bytes:
        return text[:max_bytes], False
    if whole and not inflate.eof:
        raise httpx.DecodingError("the answer's compression ends too early")
    return text, whole


def read_json(body: bytes) -> Any:
    """The JSON value of a body, or `NOT_JSON`. Fractions stay text, so that an amount keeps its digits."""
    try:
        return _DECODER.decode(body.decode(json.detect_encoding(body), "surrogatepass"))
    except (ValueError, RecursionError):  # RecursionError: a megabyte of opening brackets
        return NOT_JSON


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")  # RFC 8259, section 6


_DECODER: Final = json.JSONDecoder(parse_float=str, parse_constant=_no_constant)
"""Made once: `json.loads` makes one for each text, which takes longer than to read it."""
