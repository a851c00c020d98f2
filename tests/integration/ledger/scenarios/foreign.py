"""Other applications' messages, one by one: which a claim files, and as what; the others are left to a worker."""

import base64
import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from integration.ledger.desk import LANES
from integration.ledger.scenarios.world import World
from oppsync_worker.contract.errors import InvalidJob, NotAJob
from oppsync_worker.contract.wire import decode
from oppsync_worker.engine.envelopes import CALL, Unreadable, prepare
from oppsync_worker.ledger.claims import Claimed

_CREATE: Final = {"instance": "acme", "funnel_id": 7, "title": "T", "crm_column": 130}
_UPDATE: Final = {"instance": "acme", "funnel_id": 7, "opportunity_id": 5, "title": "U"}
_REST: Final = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
_WITHOUT: Final = "(none)"


def _message(body: str | bytes, *, task: str = "create", headers: dict[str, Any] | None = None, **other: Any) -> bytes:
    """One that Celery would send; the body is put in byte by byte, so that it need not be UTF-8."""
    whole = {
        "headers": {"id": "x", "task": f"opportunities.{task}", "origin": "gen1@elsewhere", **(headers or {})},
        "properties": {"body_encoding": "utf-8"},
        "content-type": "application/json",
        "content-encoding": "utf-8",
        **other,
        "body": "BODY",
    }
    body = body.encode() if isinstance(body, str) else body
    quoted = body.replace(b"\\", b"\\\\").replace(b'"', b'\\"')
    return json.dumps(whole).encode().replace(b"BODY", quoted)


def _short(text: str) -> str:
    """What is said many times in a row is said once, and how often."""
    return re.sub(r"(.{1,10}?)\1{29,}", lambda many: f"{many[1]}*{len(many[0]) // len(many[1])}", text)


def _is_taken(message: bytes) -> bool:
    """By a worker."""
    try:
        payload = prepare(Claimed("1-1", LANES[1], message))
        args, fields, _ = payload[CALL]
        decode(payload["headers"]["task"], payload["headers"]["id"], args, fields)
    except (Unreadable, NotAJob, InvalidJob):
        return False
    return True


def _tell(w: World, said: str, message: bytes) -> None:
    """Whether it is filed, and what is known of it then. Whatever it has led to is gone after that."""
    w.client.lpush(LANES[1], message)
    before = len(w.lines)
    w.claim(0)
    del w.lines[before:]
    entry = {name.decode(): value.decode() for name, value in w.client.hgetall("oppsync:job:x").items()}
    due = w.client.zscore("oppsync:schedule", "x")
    w.client.delete(*(key for key in w.client.keys("*") if not key.startswith((b"test:", b"oppsync:budget:"))))
    taken = _is_taken(message)
    if not entry:
        w.lines.append(f"{_short(said)}: left to a worker" + (", which takes it" if taken else ""))
        return
    assert taken, f"{said}: a worker refuses what is filed"
    known = [f"{name} {entry[name]}" for name in ("instance", "lane", "ref", "key", "target") if name in entry]
    times = {"due": due, "deadline": entry.get("deadline")}
    known += [f"{name} {_date(float(ms))}" for name, ms in times.items() if ms is not None]
    w.lines.append(f"{_short(said)}: filed, " + ", ".join(_short(one) for one in known))


def _date(ms: float) -> str:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)).isoformat()


def _body(given: dict[str, Any], task: str = "create", *, ascii_only: bool = True) -> str:
    kwargs = {**(_CREATE if task == "create" else _UPDATE), **given}
    kwargs = {name: value for name, value in kwargs.items() if value != _WITHOUT}
    return json.dumps([[], kwargs, _REST], ensure_ascii=ascii_only)


def _each(w: World, name: str, *values: Any, task: str = "create") -> None:
    """A job with one field that is so."""
    for value in values:
        body = _body({name: value}, task)
        _tell(w, f"{task}, {name} {json.dumps(value)}", _message(body, task=task))


def ids_are_whole_numbers_above_none(w: World) -> None:
    """Below 2^53, and below 10^15 in what is read here; written as whole numbers."""
    w.told(requests=60)
    for name in ("funnel_id", "crm_column", "lead_id", "user"):
        _each(w, name, 1, 0, -1, 10**15 - 1, 10**15, 1.5, "1", True, None)
    _each(w, "opportunity_id", 1, 0, 10**15 - 1, 10**15, 1.5, "1", None, task="update")
    _each(w, "sequence", 0, 1, -1, 2**31 - 1, 2**31, "0", None)
    _each(w, "v", 1, 0, 2, "1", None)
    for name in ("v", "funnel_id", "crm_column", "lead_id", "sequence", "user"):
        for number in ("1.0", "1.5", "-1.0", "1e0", "01"):
            body = _body({name: 424242}).replace("424242", number)
            _tell(w, f"create, {name} {number}", _message(body))
    for number in ("5.0", "5 ", " 5"):
        body = _body({"opportunity_id": 424242}, "update").replace(" 424242", number)
        _tell(w, f"update, opportunity_id {number!r}", _message(body, task="update"))


def texts_are_counted_in_characters(w: World) -> None:
    """One of them at least is to be seen."""
    w.told(requests=60)
    _each(w, "title", "", " ", "a", "~", "!", "\x7f", "a\x00", "x" * 500, "x" * 501, 5, None)
    for text in ("é" * 500, "é" * 501, "😀" * 500, "😀" * 501, "\u00a0", "\u1680", "\u3000", "\u2003", "À", "会", "ä "):
        _tell(w, f"create, title {text!a}", _message(_body({"title": text}, ascii_only=False)))
    for name in ("external_ref", "idempotency_key"):
        _each(w, name, "", " ", "k", "k" * 200, "k" * 201, "k\x00", 5, None)
        for text in ("é" * 200, "é" * 201, "😀" * 200, "😀" * 201):
            _tell(w, f"create, {name} {text!a}", _message(_body({name: text}, ascii_only=False)))
    _each(w, "instance", "a", "A-1_b.c", "-a", ".a", "a b", "a" * 63, "a" * 64, "", 5, None)


def bytes_that_are_no_utf8_are_not_read(w: World) -> None:
    """RFC 3629: neither surrogates, nor what is written longer than it need be, nor halves."""
    w.told(requests=60)
    good = "c280 dfbf e0a080 e0bfbf e18080 ecbfbf ed8080 ed9fbf ee8080 efbfbf f0908080 f1808080 f3bfbfbf f48fbfbf"
    bad = "80 bf c1bf c280c2 e09fbf eda080 edbfbf f08fbfbf f4908080 f5808080 ff e180 f18080 c2 e1c280"
    for code in (good + " " + bad).split():
        body = _body({"title": "SEEN"}).encode().replace(b"SEEN", b"a" + bytes.fromhex(code))
        _tell(w, f"create, title a{code}", _message(body))


def amounts_have_two_digits(w: World) -> None:
    """After the point; thirteen before it."""
    w.told(requests=60)
    _each(w, "value", 0, 1, -1, 10.5, 10.55, 10.555, -0.5, 0.1, True, None, [])
    _each(w, "value", "1", "-1", "10.5", "10.55", "10.555", "10.", ".5", "-", "", "1,5", "+1", "1e3", "0x1")
    _each(w, "value", "9" * 13, "9" * 14, "9" * 13 + ".99")
    for number in ("9999999999999", "-9999999999999", "10000000000000", "-10000000000000", "1e3", "0x10", "1.50", "-0"):
        _tell(w, f"create, value {number}", _message(_body({"value": 424242}).replace("424242", number)))


def times_are_dates_with_a_zone(w: World) -> None:
    """Of the years that there are for everybody."""
    w.told(requests=60)
    days = "1970-12-31 1971-01-01 9998-12-31 9999-01-01 2027-02-28 2027-02-29 2028-02-29 2100-02-29 2000-02-29"
    days += " 2400-02-29 2027-01-31 2027-03-31 2027-05-31 2027-07-31 2027-08-31 2027-10-31 2027-12-31 2027-12-32"
    days += " 2027-04-30 2027-04-31 2027-06-30 2027-06-31 2027-09-30 2027-09-31 2027-11-30 2027-11-31 2027-00-01"
    days += " 2027-13-01 2027-03-00 2027-03-01 2028-03-01 2028-01-01 1972-02-29 2201-01-01 2199-12-31"
    _each(w, "deadline", *(f"{day}T00:00:00Z" for day in days.split()))
    ends = "23:59:59Z 24:00:00Z 00:60:00Z 00:00:60Z 01:02:03Z 00:00:00 00:00:00z 00:00:00.Z 00:00:00.1Z 00:00:00.12Z"
    ends += " 00:00:00.123Z 00:00:00.1239Z 00:00:00.123456Z 00:00:00.1234567Z 00:00:00+00:00 10:00:00+05:30"
    ends += " 10:00:00-05:30 10:00:00+23:59 10:00:00+24:00 10:00:00+00:60 10:00:00+0530 10:00:00.5-01:00 10:00:00+5:30"
    _each(w, "deadline", *(f"2027-03-01T{end}" for end in ends.split()))
    _each(w, "deadline", "2027-03-01 10:00:00Z", "2027-03-01t10:00:00Z", "27-03-01T10:00:00Z", "soon", "", 5, None)
    _each(w, "not_before", "2027-01-15T08:00:00.001Z", "2027-01-15T08:00:00Z", "2027-01-15T07:00:00Z", "soon", 5, None)
    _each(w, "expectedCloseDate", "2030-01-01T00:00:00Z", "2030-01-01", 5, None)
    late = "2027-02-01T00:00:00Z"
    for before, deadline in ((late, late), (late, "2027-02-01T00:00:00.001Z"), ("2027-01-15T07:00:00Z", late)):
        body = _body({"not_before": before, "deadline": deadline})
        _tell(w, f"create, not before {before}, until {deadline}", _message(body))


def celerys_own_times_are_read(w: World) -> None:
    """`eta` and `expires`; of two of one kind a worker says which is meant."""
    w.told(requests=60)
    late = "2027-02-01T00:00:00Z"
    for headers in (
        *({"eta": value} for value in (late, None, "soon", 5, "2027-01-15T07:00:00Z")),
        *({"expires": value} for value in (late, None, "soon", 60)),
        {"eta": late, "expires": late},
        {"eta": late, "expires": "2027-02-01T00:00:01Z"},
    ):
        _tell(w, f"create, {json.dumps(headers)}", _message(_body({}), headers=headers))
    for name, header in (("not_before", "eta"), ("deadline", "expires")):
        for value in (late, None):
            _tell(w, f"create, {name}, {header} {value}", _message(_body({name: late}), headers={header: value}))


def choices_are_one_of_those_that_there_are(w: World) -> None:
    """Lanes and statuses."""
    w.told(requests=60)
    _each(w, "lane", "interactive", "bulk", "other", "", 5, None)
    _each(w, "status", "open", "gain", "lost", "won", "", 5, None)


def custom_fields_have_names_and_plain_values(w: World) -> None:
    """And there is one at least."""
    w.told(requests=60)
    plain = ({"a": 1}, {"a": "x"}, {"a": True}, {"a": None}, {"a": 1.5}, {"a": "", "b": 2})
    odd = ({}, [], [1], "a", 5, None, {"": 1}, {"a": []}, {"a": {}}, {"a\x00": 1}, {"a": "\x00"}, {"__type__": "x"})
    _each(w, "fields", *plain, *odd)


def a_job_names_what_it_is_about(w: World) -> None:
    """No field that is not the contract's, none that is missing, none of the other kind."""
    w.told(requests=60)
    for task, needed in (("create", _CREATE), ("update", _UPDATE)):
        for name in needed:
            _each(w, name, _WITHOUT, task=task)
    _each(w, "other", 1, None)
    _each(w, "job_id", "x")
    _each(w, "opportunity_id", 5, None)
    for name in ("instance", "funnel_id", "status", "v", "title"):
        _each(w, name, None, task="update")
    document = {"value": "1", "crm_column": 1, "lead_id": 1, "sequence": 1, "status": "open", "user": 1}
    document |= {"expectedCloseDate": "2030-01-01T00:00:00Z", "fields": {"a": 1}}
    for name, value in document.items():
        body = _body({"title": _WITHOUT, name: value}, "update")
        _tell(w, f"update, {name} alone", _message(body, task="update"))
    body = _body({"title": _WITHOUT, "lane": "bulk"}, "update")
    _tell(w, "update, of nothing", _message(body, task="update"))


def references_are_followed_when_they_are_known(w: World) -> None:
    """Until then the update is left to a worker, who says what is wrong with it."""
    w.told(requests=60)
    for ref, given in (
        ("r", {}),
        ("s", {}),
        ("r", {"opportunity_id": 6}),
        ("s", {"opportunity_id": 6}),
    ):
        w.client.hset("oppsync:refs:acme", "r", 99)
        body = _body({"opportunity_id": _WITHOUT, "external_ref": ref, **given}, "update")
        _tell(w, f"update, {ref} {given}", _message(body, task="update"))
    for first in ("x", "other"):
        w.client.set("oppsync:idem:acme:k", first)
        _tell(w, f"create, key of {first}", _message(_body({"idempotency_key": "k"})))


def words_are_read_where_all_read_them_alike(w: World) -> None:
    """What one JSON takes and another does not, or takes for something else, is left to a worker."""
    w.told(requests=60)
    for word in ("0", "-1", "1", "12345", "0.5", "-0.5", "1.5", "-1.5", "true", "false", "null"):
        _tell(w, f"create, a {word}", _message(_body({"fields": {"a": 424242}}).replace("424242", word)))
    for word in ("-0", "00", "01", "1.", ".5", "1e5", "1E5", "0x1", "+1", "nan", "NaN", "-inf", "Infinity", "-", "nul"):
        _tell(w, f"create, a {word}", _message(_body({"fields": {"a": 424242}}).replace("424242", word)))
    for word in ("9" * 15, "9" * 16, "-" + "9" * 14, "-" + "9" * 15, "1." + "9" * 20):
        _tell(w, f"create, a {word}", _message(_body({"fields": {"a": 424242}}).replace("424242", word)))
    for text in (r"\u0041", r"\u0020", r"\u007f", r"\u00e9", r"\ud83d\ude00", r"\"", r"\\", r"\/", r"\n", r"a\"1e5\"b"):
        body = _body({"title": "SEEN"}).replace("SEEN", "a" + text)
        _tell(w, f"create, title a{text}", _message(body))
        body = _body({"title": "SEEN", "fields": {"a": 1.5}}).replace("SEEN", "a" + text)
        _tell(w, f"create, title a{text} and a point", _message(body))
    for code in ("00", "01", "09", "1f", "20", "7f"):
        body = _body({"title": "SEEN"}).encode().replace(b"SEEN", b"a" + bytes.fromhex(code))
        _tell(w, f"create, title a, and the byte {code}", _message(body))


def a_call_is_read_when_it_is_nothing_but_a_call(w: World) -> None:
    """With callbacks, chains or arguments that have no name it is another matter."""
    w.told(requests=60)
    given = json.dumps(_CREATE)
    for call in (
        f"[[], {given}]",
        f"[[], {given}, null]",
        f"[[], {given}, {{}}]",
        f'[[], {given}, {{"chain": null}}]',
        f'[[], {given}, {{"chain": ["y"]}}]',
        f'[[], {given}, {{"chord": {{}}}}]',
        f'[[], {given}, {{"__type__": null}}]',
        f"[[], {given}, 5]",
        f"[[], {given}, false]",
        f"[[], {given}, null, null]",
        f"[[], {given}, null, 5]",
        f"[ [ ], {given}]",
        f"[[],{given},null]",
        f"[[], {given}, null ]",
        f"[[], {given}, {{}} ]",
        f"[[1], {given}, null]",
        f"[{{}}, {given}, null]",
        f" [[], {given}, null]",
        f"[null, {given}, null]",
        "[[], [], null]",
        "[[], null, null]",
        "[[]]",
        "5",
        "{}",
        "[",
    ):
        _tell(w, call.replace(given, "..."), _message(call))


def an_envelope_says_how_it_is_to_be_read(w: World) -> None:
    """As JSON in UTF-8, not compressed, in base64 or not; a lane of its own is its queue's."""
    w.told(requests=60)
    body = _body({})
    for name, values in (
        ("content-type", ("application/json", "text/plain", "application/JSON", None, 5)),
        ("content-encoding", ("utf-8", "UTF-8", "latin-1", "binary", None, 5)),
        ("more", (1, 1.5, "x", {})),
    ):
        for value in values:
            _tell(w, f"{name} {json.dumps(value)}", _message(body, **{name: value}))
    for value in ("zlib", None, False):
        _tell(w, f"compression {json.dumps(value)}", _message(body, headers={"compression": value}))
    for properties in ({}, {"body_encoding": None}, {"body_encoding": "utf-8"}, {"body_encoding": "latin"}, [], ["x"]):
        _tell(w, f"properties {json.dumps(properties)}", _message(body, properties=properties))
    for task in ("create", "update", "other"):
        _tell(w, f"task {task}", _message(body, task=task))
    _tell(w, "written with numbers that are not plain", _message(body).replace(b'"more": 1', b'"more": 1e0'))
    _tell(w, "with an odd number", _message(body, more=424242).replace(b"424242", b"0x10"))
    _tell(w, "with an odd byte", _message(body, more="SEEN").replace(b"SEEN", b"\xff"))


def base64_is_read_to_the_last_byte(w: World) -> None:
    """Whatever its length; ten thousands of bytes are left to a worker."""
    w.told(requests=60)
    for length in (*range(1, 26), 499, 500):
        body = base64.b64encode(_body({"title": "T" * length, "external_ref": "r" * (length % 3 + 1)}).encode())
        _tell(w, f"a title of {length}", _message(body, properties={"body_encoding": "base64"}))
    every = "".join(chr(code) for code in range(32, 127) if chr(code) not in '"\\')
    for text in (every, every[1:] + "é", every[2:] + "会", "ÿ¿" + every, "~~~~~~~~???????>>>>>>>"):
        body = base64.b64encode(_body({"external_ref": text}, ascii_only=False).encode())
        _tell(w, f"the reference {text!a}", _message(body, properties={"body_encoding": "base64"}))
    whole = _body({"fields": {"a": ""}})
    for length in (67_584, 67_585):
        filled = whole.replace('"a": ""', '"a": "' + "x" * (length - len(whole)) + '"')
        body = base64.b64encode(filled.encode())
        _tell(w, f"{len(body)} characters of base64", _message(body, properties={"body_encoding": "base64"}))
    for text in ("ZZ", "Z*ZZ", "", "====", "W1td"):
        _tell(w, f"the body {text}", _message(text, properties={"body_encoding": "base64"}))
