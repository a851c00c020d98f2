"""What may be told of a refusal."""

# ruff: noqa: D103 - the test tools here speak through their names

from typing import Any

import httpx
import pytest

from oppsync_worker.crm.body import Answer, read_json
from oppsync_worker.crm.seen import seen_in


def told(body: bytes, **headers: str) -> str:
    answer = Answer(400, httpx.Headers({k.replace("_", "-"): v for k, v in headers.items()}), body)
    return seen_in(answer, read_json(body), secrets=["tok-secret"]).text


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b'{"msg":"Bad column"}', "Bad column"),
        (b'{"error":"Invalid request"}', "Invalid request"),
        (b'{"msg":"a","error":["b", 1, "c"]}', "a; b; c"),
        (b'{"msg":{"firstname":"Maria"}}', "no message"),
        (b'{"dataLead":{"firstname":"Maria"}}', "no message"),
        (b'["Maria"]', "no message"),
        (b'"Maria"', "no message"),
        (b"", "empty answer"),
        (b" \n ", "empty answer"),
        (b"<html><head><title>502 Bad\nGateway</title></head>Maria", "HTML page: 502 Bad Gateway"),
        (b"<!doctype html><title lang='en'>Too &amp; much</title>", "HTML page: Too & much"),
        (b"<html>Maria", "HTML page without a title"),
        (b"upstream connect error", "upstream connect error"),
        (b'{"dataLead":{"firstname":"Maria', "unreadable answer"),
        (b'irstname":"Maria"', "unreadable answer"),
        (b"\xef\xbb\xbfNo route", "No route"),
        (b"token tok-secret is bad", "token [hidden] is bad"),
    ],
)
def test_only_words_meant_for_people_are_told(body: bytes, text: str) -> None:
    """A document's content never is."""
    assert told(body) == text


def test_a_page_is_known_by_its_content_type_too() -> None:
    """Its body may start with anything."""
    assert told(b"Maria <title>Oops</title>", content_type="text/html; charset=utf-8") == "HTML page: Oops"


@pytest.mark.parametrize("value", [None, 1, [], [[]], "", " "])
def test_an_empty_message_is_no_message(value: Any) -> None:
    """Of whatever type."""
    seen = seen_in(Answer(400, httpx.Headers(), b""), {"msg": value}, secrets=())

    assert seen.text == "no message"


def test_a_title_is_looked_for_near_the_beginning() -> None:
    """In 8 KB: nobody searches a megabyte of somebody's page."""
    assert told(b"<html>" + b" " * 8_190 + b"<title>Oops</title>") == "HTML page without a title"
    assert told(b"<html>" + b" " * 8_160 + b"<title>Oops</title>") == "HTML page: Oops"
