"""JSON in one order: Lua gives the members of a table in an order that depends on the server's version."""

import json
import re


def canonical(text: str) -> str:
    """The same, with the members of an object by name; a text that is no JSON object stays as it is."""
    if not text.startswith('{"'):
        return text
    try:
        return json.dumps(json.loads(text), sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    except ValueError:
        return text


def canonical_ends(lines: str) -> str:
    """Lines, with the objects that they end with in that order."""
    return re.sub(r'\{".*\}$', lambda found: canonical(found[0]), lines, flags=re.MULTILINE)
