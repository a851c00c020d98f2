"""Bodies that strangers write: what is read, what is refused, and under which cause."""

import base64
import bz2
import json
import zlib
from collections.abc import Callable
from typing import Any

import pytest

from oppsync_worker.contract.body import body_text, is_deep, read_json, typed_json
from oppsync_worker.contract.errors import Unreadable
from oppsync_worker.contract.names import MAX_MESSAGE_BYTES, MAX_NESTED
from oppsync_worker.contract.states import Cause
from oppsync_worker.contract.wire import Envelope

TEXT = '[[], {"title": "Ação"}, null]'
GZIP, BZIP2 = "application/x-gzip", "application/x-bz2"
PACK: dict[str, Callable[[bytes], bytes]] = {GZIP: zlib.compress, BZIP2: bz2.compress}


def read(body: object, *, compression: Any = None, encoding: Any = "base64", **envelope: Any) -> str:
    """The text of a message with such a body."""
    whole = {"body": body, "content-type": "application/json", "content-encoding": "utf-8", **envelope}
    return body_text(whole, {"compression": compression}, {"body_encoding": encoding})


def packed(raw: bytes) -> str:
    """As kombu writes it."""
    return base64.b64encode(raw).decode()


def refusal(act: Callable[[], object]) -> tuple[Cause, str]:
    """Why it was refused."""
    with pytest.raises(Unreadable) as refused:
        act()
    return refused.value.cause, str(refused.value)


@pytest.mark.parametrize("encoding", ["base64", "BASE64"])
def test_base64_is_read(encoding: str) -> None:
    """In any case of its name."""
    assert read(packed(TEXT.encode()), encoding=encoding) == TEXT


@pytest.mark.parametrize("encoding", [None, "", "utf-8", 5])
def test_anything_else_is_the_text_itself(encoding: object) -> None:
    """As our own producers write it."""
    assert read(TEXT, encoding=encoding) == TEXT


@pytest.mark.parametrize("compression", PACK)
def test_what_kombu_compresses_is_read(compression: str) -> None:
    """By the names that kombu writes."""
    assert read(packed(PACK[compression](TEXT.encode())), compression=compression) == TEXT


@pytest.mark.parametrize("charset", ["utf-8", "UTF-8", "utf8", "us-ascii", "", None])
def test_these_charsets_are_utf_8(charset: object) -> None:
    """And one that is not named is."""
    assert read(TEXT, encoding=None, **{"content-encoding": charset}) == TEXT


def test_a_body_without_a_type_is_json() -> None:
    """The protocol's default."""
    assert body_text({"body": TEXT}, {}, {}) == TEXT


@pytest.mark.parametrize(
    "given",
    [
        {"content-type": "application/x-python-serialize"},
        {"content-encoding": "binary"},
        {"content-type": "text/plain", "content-encoding": "latin-1"},
    ],
)
def test_another_type_or_charset_is_refused(given: dict[str, str]) -> None:
    """With the type that was named, cut short."""
    cause, said = refusal(lambda: read(TEXT, encoding=None, **given))

    assert cause == Cause.UNDECODABLE
    assert said == f"the body is {given.get('content-type', 'application/json')!r}; only JSON in UTF-8 is accepted"


def test_a_stranger_s_words_are_cut() -> None:
    """Sixty characters of a type or a compression's name."""
    _, said = refusal(lambda: read(TEXT, **{"content-type": "x" * 500}))
    assert said == f"the body is '{'x' * 59}; only JSON in UTF-8 is accepted"
    _, said = refusal(lambda: read(packed(b"x"), compression="y" * 500))
    assert said.startswith(f"the body is compressed with '{'y' * 59}, which is not read here")


@pytest.mark.parametrize("body", [None, 5, ["x"], b"x"])
def test_a_message_without_a_text_for_a_body_is_malformed(body: object) -> None:
    """Not of the protocol."""
    assert refusal(lambda: read(body)) == (Cause.MALFORMED, "the message has no body")


@pytest.mark.parametrize(
    ("body", "compression", "encoding", "says"),
    [
        ("x", GZIP, "", "compressed ('application/x-gzip'), but not base64"),
        ("*", None, "base64", "not base64 of UTF-8 text"),
        ("eA==x", None, "base64", "not base64 of UTF-8 text"),
        (packed(b"\xff"), None, "base64", "not base64 of UTF-8 text"),
        (packed(zlib.compress(b"\xff")), GZIP, "base64", "not base64 of UTF-8 text"),
        (packed(b"x"), "application/zstd", "base64", "compressed with 'application/zstd', which is not read here"),
        (packed(b"x"), 5, "base64", "compressed with 5, which is not read here"),
        (packed(b"x"), ["x"], "base64", "compressed with ['x'], which is not read here"),
        (packed(b"not"), GZIP, "base64", "not what 'application/x-gzip' makes"),
        (packed(b"not"), BZIP2, "base64", "not what 'application/x-bz2' makes"),
        (packed(zlib.compress(b"xyz")[:-1]), GZIP, "base64", "ends too early for what 'application/x-gzip' makes"),
        (packed(bz2.compress(b"xyz")[:-1]), BZIP2, "base64", "ends too early for what 'application/x-bz2' makes"),
    ],
)
def test_a_body_that_cannot_be_read_is_told_of(body: str, compression: object, encoding: str, says: str) -> None:
    """One row for each way."""
    cause, said = refusal(lambda: read(body, compression=compression, encoding=encoding))

    assert cause == Cause.UNDECODABLE
    assert says in said


@pytest.mark.parametrize("compression", PACK)
def test_a_body_is_unpacked_up_to_the_bound_and_no_further(compression: str) -> None:
    """A kilobyte may stand for a gigabyte."""
    pack = PACK[compression]

    assert len(read(packed(pack(b"x" * MAX_MESSAGE_BYTES)), compression=compression)) == MAX_MESSAGE_BYTES
    cause, said = refusal(lambda: read(packed(pack(b"x" * (MAX_MESSAGE_BYTES + 1))), compression=compression))
    assert cause == Cause.OVERSIZED
    assert said == f"the body is larger than 262144 bytes once it is unpacked ('{compression}')"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"\xff", "it is not UTF-8 text"),
        ('{"a": 1}'.encode("utf-16"), "it is not UTF-8 text"),
        ("[" * 200_000, "it is nested too deeply"),
        ("{", "it is not JSON that can be read"),
        (None, "it is not JSON that can be read"),
    ],
)
def test_what_is_no_json_is_told_of(text: Any, says: str) -> None:
    """Under one cause."""
    assert refusal(lambda: read_json(text, "it", json.loads)) == (Cause.UNDECODABLE, says)


def typed(kind: object, value: object, **more: object) -> dict[str, object]:
    """As kombu writes what JSON has no type for."""
    return {"__type__": kind, "__value__": value, **more}


@pytest.mark.parametrize(
    ("value", "read_as"),
    [
        (typed("datetime", "2026-01-01T00:00:00+00:00"), "2026-01-01T00:00:00+00:00"),
        (typed("decimal", "1.50"), "1.50"),
        (typed("decimal", 5), ["'decimal'"]),
        (typed("uuid", "x"), ["'uuid'"]),
        (typed("u" * 100, "x"), ["'" + "u" * 59]),
        (typed("decimal", "1", more=2), typed("decimal", "1", more=2)),
        ({"__type__": "decimal", "x": "1"}, {"__type__": "decimal", "x": "1"}),
        ({"__type__": "decimal"}, {"__type__": "decimal"}),
    ],
)
def test_kombu_s_own_types_are_read_as_plain_values(value: object, read_as: object) -> None:
    """One that no field has becomes a value that no field takes."""
    assert typed_json(json.dumps({"value": value})) == {"value": read_as}


def test_an_escaped_name_of_a_type_is_found_as_well() -> None:
    """JSON may spell any character as an escape."""
    assert typed_json(r'{"\u005f_type__": "decimal", "__value__": "1"}') == "1"


def nested(depth: int, make: Callable[[Any], Any]) -> Any:
    """Lists or objects in each other."""
    value: Any = 1
    for _ in range(depth):
        value = make(value)
    return value


@pytest.mark.parametrize("make", [lambda one: [0, one], lambda one: {"x": 0, "a": one}])
def test_depth_is_counted_through_lists_and_objects(make: Callable[[Any], Any]) -> None:
    """Also where the deep one is not the first, or not the only one."""
    assert not is_deep(nested(MAX_NESTED + 1, make))
    assert is_deep(nested(MAX_NESTED + 2, make))
    assert is_deep([[], nested(MAX_NESTED + 2, make)])
    assert not is_deep([])


@pytest.mark.parametrize("make", [lambda one: [one], lambda one: {"a": one}])
def test_a_deep_call_is_refused_and_a_wide_one_is_not(make: Callable[[Any], Any]) -> None:
    """Among the fields and among the arguments; with only one kind of bracket."""

    def opened(args: Any, fields: Any) -> Envelope:
        body = json.dumps([args, fields, None])
        headers = {"task": "opportunities.create", "id": "j1"}
        return Envelope.open(json.dumps({"body": body, "headers": headers, "properties": {}}))

    assert opened([], {"a": nested(MAX_NESTED, make)}).fields == {"a": nested(MAX_NESTED, make)}
    assert opened([], {"a": [[] for _ in range(100)], "b": [{} for _ in range(100)]}).job_id == "j1"
    deep = (Cause.UNDECODABLE, f"the body is nested deeper than {MAX_NESTED}")
    assert refusal(lambda: opened([], {"a": nested(MAX_NESTED + 1, make)})) == deep
    assert refusal(lambda: opened([nested(MAX_NESTED + 1, make)], {})) == deep
