"""An answer's bytes, bounded."""

# ruff: noqa: D103 - the test tools here speak through their names

import gzip
import zlib
from collections.abc import AsyncIterator

import httpx
import pytest

from oppsync_worker.crm.body import NOT_JSON, Answer, read_answer, read_json


class Chunks(httpx.AsyncByteStream):
    """A stream that remembers how much was taken from it, and whether it was closed."""

    def __init__(self, *chunks: bytes, endless: bool = False) -> None:
        self.chunks, self.endless, self.taken, self.closed = chunks, endless, 0, False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            for chunk in self.chunks:
                self.taken += len(chunk)
                yield chunk
            if not self.endless:
                return

    async def aclose(self) -> None:
        self.closed = True


def response(stream: Chunks, **headers: str) -> httpx.Response:
    return httpx.Response(200, headers={k.replace("_", "-"): v for k, v in headers.items()}, stream=stream)


async def test_an_endless_answer_is_cut_and_closed() -> None:
    """Memory is bounded by the limit and one chunk."""
    stream = Chunks(b"x" * 1000, endless=True)

    answer = await read_answer(response(stream), max_bytes=2500)

    assert (len(answer.body), answer.complete) == (2500, False)
    assert stream.taken == 3000
    assert stream.closed


async def test_an_answer_of_exactly_the_bound_is_whole() -> None:
    """The bound is inclusive."""
    answer = await read_answer(response(Chunks(b"12345")), max_bytes=5)

    assert (answer.body, answer.complete) == (b"12345", True)


@pytest.mark.parametrize(("encoding", "compress"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
async def test_a_compressed_answer_is_read_though_not_asked_for(encoding: str, compress: object) -> None:
    """A gateway may compress whatever the request says."""
    raw = compress(b'{"id":1}')  # type: ignore[operator]

    answer = await read_answer(response(Chunks(raw), content_encoding=encoding))

    assert (answer.body, answer.complete) == (b'{"id":1}', True)


async def test_a_gzip_bomb_is_cut() -> None:
    """100 MB in 100 KB come to no more than the bound."""
    bomb = gzip.compress(b"0" * 100_000_000)

    answer = await read_answer(response(Chunks(bomb), content_encoding="gzip"), max_bytes=1_000_000)

    assert (len(answer.body), answer.complete) == (1_000_000, False)


@pytest.mark.parametrize(
    ("encoding", "raw"),
    [("br", b"x"), ("gzip", b"not gzip"), ("gzip", gzip.compress(b"0" * 99, mtime=0)[:-9]), ("gzip", b"")],
)
async def test_what_cannot_be_decompressed_is_an_error(encoding: str, raw: bytes) -> None:
    """It is classified like an answer that was lost."""
    with pytest.raises(httpx.DecodingError):
        await read_answer(response(Chunks(raw), content_encoding=encoding))


@pytest.mark.parametrize(
    "text", [b"", b"<html>", b"{", b'{"a":NaN}', b"[" * 1_000_000, b"1" * 5_000, b"\xff\xfe", b'{"a":1}x']
)
def test_what_is_not_json_is_said_to_be_not_json(text: bytes) -> None:
    """Without an error, however hostile."""
    assert read_json(text) is NOT_JSON


def test_fractions_keep_their_digits() -> None:
    """An amount is text until somebody makes it a Decimal."""
    assert read_json(b'{"value":0.10}') == {"value": "0.10"}


def test_an_answers_repr_shows_no_content() -> None:
    """It would end in somebody's log."""
    assert repr(Answer(200, httpx.Headers({"a": "secret"}), b"secret")) == "Answer(status=200, complete=True)"
