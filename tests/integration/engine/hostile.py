"""Messages as a stranger, a bug or an enemy may push them, drawn from a seed.

Each is a message of the protocol, own or another application's, that is changed in one to three places, at any of the
levels that a message has (fields, call, body, properties, headers, envelope, text, bytes); or it never was one.
"""

import base64
import bz2
import json
import lzma
import pickle
import zlib
from collections.abc import Callable
from random import Random
from typing import Any, Final

from oppsync_worker.contract.jobs import CreateOpportunity, UpdateOpportunity

LANES: Final = ("opportunities.interactive", "opportunities.bulk")
LISTS: Final = (*LANES, "opportunities.bulk\x06\x169", "opportunities.interactive\x06\x163")
"""With two of the lists that kombu's `priority=` pushes to."""

_ENDLESS: Final = b"[" * 3000 + b"]" * 3000
_FIELDS: Final = tuple(
    sorted({*CreateOpportunity.model_fields, *UpdateOpportunity.model_fields, "expectedCloseDate", "v", "self"})
)
_KEYS: Final = ("instance", "instance", "external_ref", "idempotency_key", "opportunity_id", "lane", "title")
"""Fields that become keys, places and arguments of scripts: drawn as often as all others together."""
_NO_BYTES: Final = ("\ud800", "x\udfff", "\udc80y", "a\ud83db")
_HEADERS: Final = (
    *("lang", "task", "id", "shadow", "eta", "expires", "group", "group_index", "retries", "timelimit", "root_id"),
    *("parent_id", "argsrepr", "kwargsrepr", "origin", "ignore_result", "replaced_task_nesting", "stamped_headers"),
    *("stamps", "compression", "sentry-trace", "baggage", "headers", "claim_tag", "redelivered", "chain", "chord"),
)
_PROPERTIES: Final = (
    *("correlation_id", "reply_to", "delivery_mode", "delivery_info", "priority", "body_encoding", "delivery_tag"),
    *("expiration", "headers"),
)


class Drawn:
    """A source of messages. The same seed gives the same ones."""

    def __init__(self, seed: int, *, taken: Callable[[], str | None] = lambda: None) -> None:
        """`taken` gives the id of a job that is there already."""
        self.random = Random(seed)
        self.number = 0
        self._taken = taken

    def message(self) -> bytes:
        """The next one."""
        self.number += 1
        if self.random.random() < 0.08:
            return self._no_message()
        self.text_changes: list[Callable[[bytes], bytes]] = []
        envelope = self._envelope()
        for _ in range(self.random.choice((1, 1, 1, 2, 3))):
            envelope = self.random.choice(
                (
                    self._field,
                    self._field,
                    self._call,
                    self._body,
                    self._header,
                    self._header,
                    self._property,
                    self._part,
                    self._text,
                )
            )(envelope)
        raw = self._closed(envelope)
        for change in self.text_changes:
            raw = change(raw)
        return raw

    # A message, taken apart: {"call": [args, kwargs, embed], "headers", "properties", ...}

    def _envelope(self) -> dict[str, Any]:
        random, kind = self.random, self.random.choice(("create", "update"))
        kwargs: dict[str, Any] = {"instance": random.choice(("acme", "acme", "globex", "nobody")), "funnel_id": 7}
        if kind == "create":
            kwargs |= {"title": f"drawn {self.number}", "crm_column": 130, "lead_id": 1}
        else:
            kwargs |= {"title": f"drawn {self.number}", "opportunity_id": 900_000 + self.number}
        job_id = f"drawn-{self.number}"
        own = random.random() < 0.3
        return {
            "call": [[], kwargs, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}],
            "base64": not own and random.random() < 0.8,
            "content-encoding": "utf-8",
            "content-type": "application/json",
            "headers": {
                "lang": "py",
                "task": f"opportunities.{kind}",
                "id": job_id,
                "root_id": job_id,
                "origin": "oppsync" if own else "gen7@elsewhere",
                "retries": 0,
                "timelimit": [None, None],
                "argsrepr": "()",
                "kwargsrepr": "{}",
            },
            "properties": {
                "correlation_id": job_id,
                "reply_to": "",
                "delivery_mode": 2,
                "delivery_info": {"exchange": "", "routing_key": "opportunities.bulk"},
                "priority": 0,
                "delivery_tag": job_id,
            },
        }

    def _closed(self, whole: dict[str, Any]) -> bytes:
        """The bytes of it."""
        whole = dict(whole)
        call, encode64 = whole.pop("call", None), whole.pop("base64", False)
        squeeze, text = whole.pop("squeeze", None), whole.pop("body_bytes", None)
        ascii_only = self.random.random() < 0.5
        if text is None:
            text = json.dumps(call, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
        if squeeze:
            text = squeeze(text)
        if "body" not in whole:
            whole["body"] = base64.b64encode(text).decode() if encode64 else text.decode("utf-8", "surrogateescape")
        if isinstance(whole.get("properties"), dict):
            encoding = "base64" if encode64 else "utf-8"
            whole["properties"] = {"body_encoding": encoding, **whole["properties"]}
        raw = json.dumps(whole, ensure_ascii=ascii_only)
        # What were bytes in the body are the same bytes; a lone surrogate is what `surrogatepass` makes of it.
        return raw.encode("utf-8", "surrogateescape") if not _lone(raw) else raw.encode("utf-8", "surrogatepass")

    def _field(self, whole: dict[str, Any]) -> dict[str, Any]:
        random, kwargs = self.random, whole.get("call", [[], {}, {}])[1]
        if not isinstance(kwargs, dict):
            return whole
        match random.randrange(9):
            case 8:
                kwargs[random.choice(_KEYS)] = random.choice(_NO_BYTES)
            case 0:
                kwargs.pop(random.choice(list(kwargs) or ["x"]), None)
            case 1:
                kwargs[self.value_text()] = self.value()
            case 2:
                kwargs |= {f"k{number}": 1 for number in range(random.choice((30, 3000)))}
            case 3:
                kwargs["fields"] = {self.value_text(): self.value() for _ in range(3)}
            case _:
                kwargs[random.choice(random.choice((_FIELDS, _KEYS)))] = self.value()
        return whole

    def _call(self, whole: dict[str, Any]) -> dict[str, Any]:
        random, call = self.random, whole.get("call")
        if not isinstance(call, list) or len(call) < 3:
            return whole
        signature = {
            "task": "t.add",
            "args": [1],
            "kwargs": {},
            "options": {},
            "subtask_type": None,
            "immutable": False,
        }
        match random.randrange(6):
            case 0:
                call[0] = self.value()
            case 1:
                call[2] = self.value()
            case 2 if isinstance(call[2], dict):
                call[2][random.choice(("callbacks", "errbacks", "chain"))] = random.choice(([signature], self.value()))
            case 3 if isinstance(call[2], dict):
                call[2]["chord"] = random.choice((signature, self.value()))
            case 4:
                whole["call"] = random.choice((call[:2], [*call, 1], call[1], self.value()))
            case _:
                call[1] = self.value()
        if not isinstance(whole["call"], list) or len(whole["call"]) < 3:
            whole["body_bytes"] = json.dumps(whole["call"]).encode()
            whole["call"] = [[], {}, {}]
        return whole

    def _body(self, whole: dict[str, Any]) -> dict[str, Any]:
        random = self.random
        match random.randrange(7):
            case 0:
                whole["body"] = self.value()
            case 1:
                whole["body_bytes"] = random.choice(
                    (b"", b"\xff\xfe", _ENDLESS, b"\xef\xbb\xbf[[],{},{}]", pickle.dumps(1))
                )
            case 2:
                said, squeeze = random.choice(
                    (
                        ("application/x-gzip", zlib.compress),
                        ("application/x-bz2", bz2.compress),
                        ("application/x-lzma", lzma.compress),
                        ("application/x-gzip", lambda text: zlib.compress(text + b" " * 50_000_000)),
                        ("application/x-gzip", lambda text: text),
                        ("application/x-bz2", lambda text: bz2.compress(text)[:-8]),
                        ("application/zstd", lambda text: text),
                    )
                )
                whole["squeeze"], whole["base64"] = squeeze, True
                if isinstance(whole.get("headers"), dict):
                    whole["headers"]["compression"] = said
            case 3:
                whole["content-type"] = self.value()
            case 4:
                whole["content-encoding"] = self.value()
            case 5:
                whole["body_bytes"] = json.dumps(whole.get("call")).encode()[: random.randrange(40)]
            case _:
                inner = json.dumps(whole.get("call")).encode()
                whole["body_bytes"] = inner.replace(
                    b'"drawn', random.choice((b'"\\ud800', b'"\xed\xa0\x80', b'"\xff', b'"\\u0000'))
                )
        return whole

    def _header(self, whole: dict[str, Any]) -> dict[str, Any]:
        headers, random = whole.get("headers"), self.random
        if not isinstance(headers, dict):
            return whole
        taken = self._taken() if random.random() < 0.05 else None
        if taken and headers.get("origin") != "oppsync":
            headers["id"] = taken
            return whole
        name = random.choice(_HEADERS)
        if random.random() < 0.15:
            headers.pop(name, None)
        else:
            headers[name] = self.value()
        return whole

    def _property(self, whole: dict[str, Any]) -> dict[str, Any]:
        if isinstance(whole.get("properties"), dict):
            whole["properties"][self.random.choice(_PROPERTIES)] = self.value()
        return whole

    def _part(self, whole: dict[str, Any]) -> dict[str, Any]:
        name = self.random.choice(("headers", "properties", "content-type", "content-encoding", self.value_text()))
        if self.random.random() < 0.3:
            whole.pop(name, None)
        else:
            whole[name] = self.value()
        return whole

    def _text(self, whole: dict[str, Any]) -> dict[str, Any]:
        """Changes that are made to the finished text."""
        random = self.random
        at, bad = (
            random.random(),
            random.choice((b"\xed\xa0\x80", b"\xff", b"\x00", b"\\ud800", b"\xc0\x80", b"\n", b'"')),
        )
        self.text_changes.append(
            random.choice(
                (
                    lambda raw: raw[: int(len(raw) * at)],
                    lambda raw: b"\xef\xbb\xbf" + raw,
                    lambda raw: raw + b"}",
                    lambda raw: raw[: int(len(raw) * at)] + bad + raw[int(len(raw) * at) :],
                    lambda raw: raw.replace(b'"opportunities.', b'"x' + bad + b".", 1),
                    lambda raw: raw.replace(b'"drawn-', b'"x' + bad, 1),
                    lambda raw: raw.replace(b'"headers": {', b'"headers": {"task": "t", "id": "a b", ', 1),
                    lambda raw: raw.replace(b'"headers": {', b'"headers": [], "headers": {', 1),
                    lambda raw: (
                        raw[:-1] + b', "headers": {"task": "opportunities.create", "id": "x-%d"}}' % self.number
                    ),
                    lambda raw: raw.replace(b"null", b"NaN").replace(b": 0", b": 0x10"),
                    lambda raw: raw.decode("utf-8", "replace").encode("utf-16"),
                )
            )
        )
        return whole

    def _no_message(self) -> bytes:
        random = self.random
        return random.choice(
            (
                lambda: random.randbytes(random.randrange(200)),
                lambda: pickle.dumps({"task": "opportunities.create"}),
                lambda: json.dumps(self.value()).encode("utf-8", "surrogatepass"),
                lambda: _ENDLESS,
                lambda: b"",
                lambda: b"x" * 300_000,
                lambda: b'{"headers": {"task": ' + _ENDLESS + b"}}",
            )
        )()

    def value(self) -> Any:
        """Anything that JSON can say."""
        random = self.random
        if random.random() < 0.4:
            return self.value_text()
        return random.choice(
            (
                *(None, True, False, 0, -1, 17, 2**53, -(2**63), 2**64, 10**400, 10**4000, 0.5, 1e308, 5.0),
                *(float("nan"), float("inf"), float("-inf"), [], {}, [1], {"a": 1}, [[[[]]]], [None], {"": None}),
                *(_nested(40), _nested(900), {"__type__": "datetime", "__value__": "2024-01-01T00:00:00+00:00"}),
                *({"__type__": [], "__value__": 1}, {"__type__": "bytes", "__value__": "x"}, {"__type__": "nothing"}),
                *({"__type__": "uuid", "__value__": 5}, {"__type__": "decimal", "__value__": "1e99999999"}),
                *({"__type__": "nothing", "__value__": 1}, {"__type__": "base64", "__value__": "/w=="}),
            )
        )

    def value_text(self) -> str:
        """Any text; often one that UTF-8 has no bytes for."""
        if self.random.random() < 0.2:
            return self.random.choice(_NO_BYTES)
        return self.random.choice(
            (
                *("", " ", "\x00", "a\x00b", "\ud83d\ude00", "é" * 150, "x" * 5_000, "ÿ" * 20_000),
                *(
                    "a\r\nSet-Cookie: x",
                    '{"level": "error"}\n{"a": 1}',
                    "\x1b[2J\x1b]0;x\x07",
                    "\u202e",
                    "\u2028",
                    "\ufeff",
                ),
                *(
                    "raw-1",
                    "../x",
                    "-x",
                    "_x",
                    ":",
                    "x" * 129,
                    "oppsync",
                    "acme",
                    "nobody",
                    "opportunities.update",
                    "bulk",
                ),
                *("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2020-01-01T00:00:00", "20240101", "soon"),
                *(
                    "2020-01-01T00:00:00+00:00",
                    "2099-01-01T00:00:00+00:00",
                    "1960-01-01T00:00:00Z",
                    "NaN",
                    "1e999999999",
                ),
                *(
                    "base64",
                    "BASE64",
                    "utf-8",
                    "utf-16",
                    "zlib",
                    "application/json",
                    "application/x-gzip",
                    "1",
                    "10.00",
                ),
                *("%s %(a)s {0} {a}", "__class__", "oppsync:job:1", "opportunities.create", f"new-{self.number}"),
            )
        )


def _nested(depth: int) -> Any:
    value: Any = 1
    for level in range(depth):
        value = [value] if level % 2 else {"a": value}
    return value


def _lone(text: str) -> bool:
    """Whether a surrogate stands in it that `surrogateescape` has not made."""
    return any("\ud800" <= letter <= "\udfff" and not "\udc80" <= letter <= "\udcff" for letter in text)
