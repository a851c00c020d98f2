"""How a script is put together from the files under `lua/`: what it includes, leaves out and notes."""

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final

INCLUDE: Final = "-- #include "
"""How a script names another file of the same folder, which is put in its place."""

AROUND: Final = "undo"
"""The file that every script runs inside of."""

LEVEL: Final = "-- #level"
"""Where the rest of a script becomes a function of its own, inside of what stands before.

Each run builds all functions of a script anew. What they use of the locals beside them Lua looks up in a list of all
locals that are used so, which is as long as the library; what stands a level above, it finds at once.
"""

FIRST: Final = "-- #first "
"""Which functions of the library above an ordinary run of a script comes to. All others are built when one of them is
needed for the first time: they are most of the library, and built anew at each run it costs more than the commands.
"""

READS: Final = frozenset(
    {
        *("exists", "get", "hexists", "hget", "hgetall", "hmget", "lindex", "llen", "lpos", "lrange", "pttl"),
        *("srandmember", "time", "ttl", "zcard", "zrange", "zrangebyscore", "zrank", "zrevrange", "zscore"),
    }
)
"""Commands of scripts that change nothing."""

UNLOGGED: Final = READS | {"incr", "pexpire"}
"""Commands that go to Redis itself: there is nothing to take back, and they are the most of what a script does."""

_CALL: Final = re.compile(r"redis\.call\('([A-Z]+)'")
_KNOWING: Final = re.compile(r"redis\.(add|known)\(")


@dataclass(frozen=True, slots=True)
class Script:
    """One script's text with its includes, and the SHA-1 that Redis knows it by."""

    text: str
    digest: str


@cache
def load(name: str) -> Script:
    """Read a script and put in the files that its `-- #include` lines name, each of them once.

    The whole is the body of a function of its own, which takes effect whole or not at all (`lua/undo.lua`).
    """
    library, *levels = "\n".join(map(direct, _rarely(needed(name)))).split(f"{LEVEL}\n")
    if not levels:
        library, levels = "", [library]
    text = ["\n".join(_needed(list(_lines(AROUND, set())), by=[library, *levels, "whole"])), library]
    names = ["main", *(f"level_{number}" for number in range(2, len(levels) + 1))]
    for function, lines in zip(names, levels, strict=True):
        text += [f"local function {function}()", lines]
    text += [f"end\nreturn {function}()" for function in reversed(names[1:])]
    whole = "\n".join([*text, "end", "return whole(main)"])
    return Script(whole, hashlib.sha1(whole.encode(), usedforsecurity=False).hexdigest())


def direct(line: str) -> str:
    """A line of a script, with which commands are noted and which are not decided now instead of at each call.

    Raises:
        ValueError: it names a command that is chosen when the script runs.
    """
    said = _CALL.sub(lambda call: f"{'server' if call[1].lower() in UNLOGGED else 'write'}('{call[1]}'", line)
    if "redis.call(" in said and not said.lstrip().startswith("--"):
        raise ValueError(f"the command must stand in the call: {line.strip()}")
    return _KNOWING.sub(r"write_\1(", said)


def _rarely(lines: list[str]) -> list[str]:
    """A script whose `FIRST` says so, with what is rarely needed of its library in one function that builds it."""
    at = [number for number, line in enumerate(lines) if line.startswith(FIRST)]
    if not at:
        return lines
    first = {name for number in at for name in lines[number].removeprefix(FIRST).split()}
    library = list(_chunks(lines[: at[0]]))
    functions = [function for function, _ in library if function]
    if strange := first - set(functions):
        raise ValueError(f"the library has no function {', '.join(sorted(strange))}, or it is not needed")
    rare = [function for function in functions if function not in first]
    asked = set[str]()

    def ask(call: re.Match[str]) -> str:
        asked.add(call[1])
        return f"rare('{call[1]}')("

    def asking(some: list[str]) -> list[str]:
        called = re.compile(rf"(?<![\w.:])(?<!function )({'|'.join(rare)})\(")
        return [line if line.lstrip().startswith("--") else called.sub(ask, line) for line in some]

    named = re.compile(rf"(?<![\w.:])({'|'.join(rare)})(?!\w)")
    between = [line.partition("--")[0] for function, some in library if not function for line in some]
    used = [re.sub(r"'[^']*'", "", line) for line in between if "=" in line]
    if too_early := {name for line in used for name in named.findall(line)}:
        raise ValueError(f"{', '.join(sorted(too_early))} is needed before it can be built: it must stand in {FIRST}")
    kept = asking([line for function, some in library if function not in rare for line in some])
    body = asking(lines[at[-1] + 1 :])
    tried = re.compile(rf"\b(?:apart|pcall)\(({'|'.join(rare)})[,)]")
    if values := {name for line in (*kept, *body) for name in tried.findall(line)}:
        raise ValueError(f"{', '.join(sorted(values))} is built by a call of its own alone: let a function call it")
    built = [line for function, some in library if function in rare for line in some]
    table = ", ".join(f"{name} = {name}" for name in sorted(asked))
    return [
        *("local rare", *kept, "local built", "function rare(name)", "if not built then", *built),
        *(f"built = {{ {table} }}", "end", "return built[name]", "end", *body),
    ]


def _lines(name: str, included: set[str]) -> Iterator[str]:
    for line in (files(__package__) / "lua" / f"{name}.lua").read_text("utf-8").splitlines():
        if not line.startswith(INCLUDE):
            yield line
        elif (other := line.removeprefix(INCLUDE).strip()) not in included:
            included.add(other)
            yield from _lines(other, included)


def lines_of(name: str) -> list[str]:
    """A script with its includes, without what is put around it."""
    return list(_lines(name, set()))


def needed(name: str) -> list[str]:
    """A script with its includes, without the functions that it cannot come to: it would build them at each run.

    A function is one that begins and ends at the left margin. It is needed when its name stands in what is needed, in
    whatever meaning: too many are kept rather than one too few.
    """
    return _needed(lines_of(name))


def _needed(given: Iterable[str], by: Iterable[str] = ()) -> list[str]:
    chunks = list(_chunks(given))
    functions = {function: lines for function, lines in chunks if function}
    reached, todo = set[str](), [line for function, lines in chunks if not function for line in lines]
    todo += [line for text in by for line in text.splitlines()]
    while todo:
        line = todo.pop()
        if line.lstrip().startswith("--"):
            continue
        for function in set(re.findall(r"\w+", line)) & functions.keys() - reached:
            reached.add(function)
            todo += functions[function]
    return [line for function, lines in chunks if not function or function in reached for line in lines]


def _chunks(lines: Iterable[str]) -> Iterator[tuple[str, list[str]]]:
    """The functions of a script, by name, and what stands between them, with no name, in order."""
    name, chunk = "", list[str]()
    for line in lines:
        if begins := re.match(r"(?:local )?function (\w+)\(", line):
            yield name, chunk
            name, chunk = begins[1], []
        chunk.append(line)
        if name and (line == "end" or (begins and line.endswith(" end"))):
            yield name, chunk
            name, chunk = "", []
    yield name, chunk
