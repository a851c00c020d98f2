"""What is the same for every call to one instance."""

from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from oppsync_worker.crm.endpoint import Endpoint
from oppsync_worker.crm.transport import QUERY_SECRET
from oppsync_worker.errors import CredentialRefused
from oppsync_worker.instances import InstanceSettings

ACME = InstanceSettings(
    name="acme", token="t0k/en", base_url="https://crm.example:8443/api/", connect_seconds=3, read_seconds=20
)


def made(**changed: Any) -> Endpoint:
    """An instance's."""
    return Endpoint(ACME.model_copy(update=changed), user_agent="tests/1")


def sent(request: httpx.Request) -> list[tuple[str, str]]:
    """Its headers, as they go out."""
    return [(name.decode(), value.decode()) for name, value in request.headers.raw]


FIRST = [
    ("Host", "crm.example:8443"),
    ("Content-Type", "application/json"),
    ("Accept", "application/json"),
    ("Accept-Encoding", "identity"),
    ("User-Agent", "tests/1"),
]


async def test_a_request_has_these_headers_and_no_other() -> None:
    """In this order; its length only with a body, which may be empty."""
    endpoint = made()
    credential = [("Authorization", "Bearer t0k/en"), ("apitoken", "t0k/en")]

    bare = endpoint.request("GET", "/x")
    assert sent(bare) == [*FIRST, *credential]
    assert await bare.aread() == b""
    full = endpoint.request("POST", "/x", body="é".encode())
    assert sent(full) == [*FIRST, *credential, ("Content-Length", "2")]
    assert (full.method, await full.aread()) == ("POST", "é".encode())
    assert sent(endpoint.request("POST", "/x", body=b""))[-1] == ("Content-Length", "0")
    assert endpoint.secrets == ("t0k/en", "t0k/en")


def test_a_bearer_of_its_own_is_sent_beside_the_token() -> None:
    """And both are secrets."""
    endpoint = made(bearer=SecretStr("b3arer"))

    assert sent(endpoint.request("GET", "/x"))[5:] == [("Authorization", "Bearer b3arer"), ("apitoken", "t0k/en")]
    assert endpoint.secrets == ("t0k/en", "b3arer")


def test_a_token_in_the_query_is_in_no_header() -> None:
    """Escaped, and joined on the wire only."""
    request = made(auth="query").request("GET", "/x")

    assert sent(request) == FIRST
    assert request.extensions[QUERY_SECRET] == "apitoken=t0k%2Fen"
    assert "t0k" not in str(request.url)


@pytest.mark.parametrize(
    ("query", "url"),
    [
        ({}, "https://crm.example:8443/api/x?i=acme"),
        ({"id": 12}, "https://crm.example:8443/api/x?id=12&i=acme"),
        ({"id": 12, "page": 0}, "https://crm.example:8443/api/x?id=12&page=0&i=acme"),
    ],
)
def test_the_address_ends_with_the_instances_name(query: dict[str, int], url: str) -> None:
    """Below the base URL, with one slash in between."""
    assert str(made().request("GET", "/x", query=query).url) == url
    bare = Endpoint(ACME.model_copy(update={"base_url": "http://h"}), user_agent="u")
    assert str(bare.request("GET", "/x").url) == "http://h/x?i=acme"


def test_connecting_and_reading_have_limits_of_their_own() -> None:
    """Writing waits as long as reading, and for a place in a pool as long as for a connection."""
    timeouts = made().request("GET", "/x").extensions["timeout"]

    assert timeouts == {"connect": 3.0, "read": 20.0, "write": 20.0, "pool": 3.0}


@pytest.mark.parametrize(
    "changed",
    [
        *({"token": SecretStr(token)} for token in ("", "a b", "a\n", "\x7f", "\x1f", "ä", " ")),
        *({"bearer": SecretStr(token)} for token in ("a b", "a\n", "\x7f", "ä")),
    ],
)
def test_a_credential_that_no_header_can_carry_is_refused(changed: dict[str, Any]) -> None:
    """Before anything is made of it, whichever of the two it is."""
    with pytest.raises(CredentialRefused) as refused:
        made(**changed)

    assert refused.value.seen.status is None
    assert refused.value.seen.text == "the token is empty or holds characters that a header cannot carry"


@pytest.mark.parametrize("token", ["!", "~", "!~", "a"])
def test_every_visible_character_can_be_carried(token: str) -> None:
    """The first and the last of them too."""
    assert made(token=SecretStr(token)).secrets == (token, token)
