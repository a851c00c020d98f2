"""What must not be in a line that people read."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oppsync_worker.crm.redact import MAX_TEXT_CHARS, redact


@pytest.mark.parametrize(
    "secret",
    [
        "maria.silva+crm@example.com.br",
        "joão@exemplo.com",
        "+55 11 98765-4321",
        "(11) 98765-4321",
        "11987654321",
        "123.456.789-09",
        "12.345.678/0001-95",
        "187.34.47.12",
        "187.34.47.xx",
        "2804:14d:7e31::8d2f",
        "0c4e1e26-7a0b-4b8e-9a53-0d4e7b6f1a2c",
        "sk_live_51H8abcdefghijklmnop",
        "645bab79d618593673238ccb",
        "Bearer abc.def",
        "https://host.example/path?apitoken=abc",
    ],
)
def test_secrets_and_personal_data_are_hidden(secret: str) -> None:
    """With ordinary words around them, which stay."""
    line = redact(f"Lead {secret} inexistente")

    assert secret not in line
    assert line.startswith("Lead ")
    assert line.endswith("inexistente")


@pytest.mark.parametrize("text", ["token=abc", "apitoken: abc", 'access_token="abc"', "senha: teste123"])
def test_what_is_called_a_secret_is_hidden(text: str) -> None:
    """By its name, whatever it looks like."""
    assert redact(text) == "[secret]"


def test_ids_and_statuses_stay_readable() -> None:
    """They are what an operator needs."""
    assert redact("Column 159 is not in funnel 12 (lead 8473)") == "Column 159 is not in funnel 12 (lead 8473)"


def test_known_secrets_are_hidden_in_any_case() -> None:
    """The instance's token and the job's words, however they are echoed."""
    assert redact("the title MARIA SILVA is bad", secrets=["Maria  Silva", "is"]) == "the title [hidden] is bad"


def test_a_text_becomes_one_short_line() -> None:
    """No line break, control or bidirectional character survives."""
    assert redact("a\r\n\tb\x00\u202ec") == "a b c"
    assert len(redact("word " * 1000)) == MAX_TEXT_CHARS


def test_a_secret_halved_by_the_cut_is_not_shown() -> None:
    """The cut comes after hiding, and what the reading bound halves is dropped."""
    secret = "super-secret-value"

    assert "super" not in redact("x" * 190 + " " + secret, secrets=[secret])
    assert "super" not in redact(" " * 3_990 + secret, secrets=[secret])


@given(st.text(max_size=6_000), st.lists(st.text(max_size=30), max_size=3))
def test_any_text_gives_one_short_printable_line(text: str, secrets: list[str]) -> None:
    """Never an error, never a long line."""
    line = redact(text, secrets=secrets)

    assert len(line) <= MAX_TEXT_CHARS
    assert line.isprintable()


@pytest.mark.parametrize("text", ["a" * 10**6, "1." * 10**6, "a@" * 10**6, "a:" * 10**6, "token=" * 10**6, "[" * 10**6])
def test_hostile_text_costs_little(text: str) -> None:
    """Every pattern is bounded."""
    started = time.process_time()

    redact(text)

    assert time.process_time() - started < 0.5
