"""Taking secrets and personal data out of a text that somebody else wrote.

A net with a purpose, no proof: whoever shows a foreign text shows as little of it as possible (see `seen`) and passes
that little through here. It errs towards hiding too much; numbers of up to six digits (ids, statuses) stay readable.
"""

import re
from collections.abc import Iterable
from typing import Final

MAX_TEXT_CHARS: Final = 200
_MAX_READ_CHARS: Final = 4_000
"""What is looked at; bounds the work on a megabyte of hostile text."""
_MIN_SECRET_CHARS: Final = 4
"""Shorter secrets are left alone: hiding every `a` tells more about the secret than it keeps."""

# Every quantifier is bounded, so that no text can make the matching quadratic.
_PATTERNS: Final = (
    (re.compile(r"\b[a-z][a-z0-9+.-]{0,20}://\S+", re.IGNORECASE), "[url]"),
    (re.compile(r"[^\s@<>\"',;:()\[\]]{1,64}@[^\s@<>\"',;:()\[\]]{1,255}"), "[e-mail]"),
    (re.compile(r"\b(bearer|basic)\s{1,3}\S+", re.IGNORECASE), "[secret]"),
    (
        re.compile(
            r"\b(api_?token|access_?token|token|password|passwd|senha|secret)\W{0,2}[=:]\W{0,2}\S+", re.IGNORECASE
        ),
        "[secret]",
    ),
    (re.compile(r"\b[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}\b", re.IGNORECASE), "[token]"),
    (re.compile(r"\b(?=[A-Za-z_-]{0,60}\d)[A-Za-z0-9_-]{20,}"), "[token]"),
    (re.compile(r"\b(?=[a-f]{0,60}\d)[0-9a-f]{12,}\b", re.IGNORECASE), "[token]"),
    (re.compile(r"\b\d{1,3}(\.(\d{1,3}|x{1,3})){3}\b", re.IGNORECASE), "[address]"),
    (re.compile(r"\b[0-9a-f]{1,4}(:[0-9a-f]{0,4}){3,7}", re.IGNORECASE), "[address]"),
    (re.compile(r"\+?\(?\d(?:[\s().\-/]{0,3}\d){6,30}"), "[number]"),
)


def redact(text: str, *, secrets: Iterable[str] = ()) -> str:
    """One line of at most `MAX_TEXT_CHARS` characters, without e-mails, phones, addresses, tokens and `secrets`."""
    whole = len(text) <= _MAX_READ_CHARS
    line = _one_line(text[:_MAX_READ_CHARS])
    if not whole:  # a secret that the cut has halved would no longer be recognised
        line = line.rpartition(" ")[0]
    for secret in sorted({_one_line(secret) for secret in secrets}, key=len, reverse=True):
        if len(secret) >= _MIN_SECRET_CHARS:
            line = re.sub(re.escape(secret), "[hidden]", line, flags=re.IGNORECASE)
    for pattern, word in _PATTERNS:
        line = pattern.sub(word, line)
    return line if len(line) <= MAX_TEXT_CHARS else line[: MAX_TEXT_CHARS - 1] + "…"


def _one_line(text: str) -> str:
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())
