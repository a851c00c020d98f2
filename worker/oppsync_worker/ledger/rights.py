"""Which rights each role needs in Redis: declared here once, printed as ACL lines, and checked before work begins.

The commands of a role are read out of the scripts that it runs: those that a script can reach, and those that take its
writes back when it is aborted (`lua/undo.lua`). Key patterns and the commands outside of scripts are declared; the
tests run every kind of job under these users, and Redis' own log of refusals must stay empty.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Final

from oppsync_worker.ledger.assembly import AROUND, INCLUDE, READS, needed
from oppsync_worker.ledger.connect import LedgerError
from oppsync_worker.ledger.scripts import Argument, Call

WRITES: Final[Mapping[str, str]] = {
    "del": "get pttl hgetall zrange lrange set hset zadd rpush pexpire",
    "expire": "persist",
    "hdel": "hget hmget hset",
    "hincrby": "hget hset hdel",
    "hset": "hget hmget hdel",
    "hsetnx": "hset hdel",
    "incr": "",
    "lpop": "lpush rpush",
    "lpush": "lpop",
    "lset": "lindex",
    "ltrim": "llen lrange pttl del rpush pexpire",
    "pexpire": "",
    "publish": "",
    "rpop": "rpush lpush",
    "rpush": "rpop",
    "sadd": "srem",
    "set": "get pttl del pexpire",
    "srem": "sadd",
    "zadd": "zscore zrem",
    "zrem": "zscore zadd",
    "zremrangebyscore": "zrangebyscore zadd",
}
"""Commands of scripts that change something, with what `lua/undo.lua` needs to take them back."""

_CONNECTING: Final = "ping select client|setinfo evalsha eval script|load"
_LANES: Final = ("opportunities.interactive", "opportunities.bulk")
_RESULTS: Final = "celery-task-meta-*"


class RightsMissing(LedgerError):
    """Redis does not permit this user something that its role needs; nothing was done."""


@dataclass(frozen=True, slots=True)
class Role:
    """Who uses Redis, and what for."""

    name: str
    what: str
    scripts: tuple[str, ...]
    """`*` for all of them."""
    commands: str
    """Those that are used outside of scripts."""
    keys: tuple[str, ...]
    channels: tuple[str, ...] = ()


ROLES: Final[Mapping[str, Role]] = {
    role.name: role
    for role in (
        Role(
            "producer",
            "applications that enqueue with JobClient",
            scripts=("enqueue", "rights"),
            commands=f"{_CONNECTING} hmget zscore get",
            keys=(
                *(f"oppsync:{one}:*" for one in ("job", "idem", "making", "refs", "record", "bell", "unsure")),
                *(f"oppsync:{one}:*" for one in ("waiting", "held", "hold", "looking", "inflight", "budget")),
                *(f"oppsync:{one}" for one in ("order", "schedule", "expiring", "slots", "blocked", "holding")),
                *("oppsync:calls", "oppsync:capacity", "oppsync:granted", *_LANES, _RESULTS),
            ),
        ),
        Role(
            "celery-producer",
            "applications that send with Celery's own client",
            scripts=(),
            commands=("ping select client|setinfo multi exec lpush llen sadd smembers get mget subscribe unsubscribe"),
            keys=("opportunities.*", "_kombu.binding.*", "_kombu.binding_permanent.*", _RESULTS),
            channels=(_RESULTS,),
        ),
        Role(
            "worker",
            "workers",
            scripts=("*",),
            commands=(
                f"{_CONNECTING} info config|get wait script|exists multi exec brpop scan zscan subscribe unsubscribe "
                "psubscribe punsubscribe publish hget hmget hgetall hset hincrby get mget del llen lpush rpush rpop "
                "lrange smembers sadd srem zcard zrange zrevrange zrangebyscore zscore"
            ),
            keys=(
                *("oppsync:*", "opportunities.interactive*", "opportunities.bulk*", _RESULTS),
                *("_kombu.binding*", "*.celery.pidbox"),
            ),
            channels=(_RESULTS, "/0.celery.pidbox", "/0.reply.celery.pidbox", "/0.celeryev*"),
        ),
        Role(
            "operator",
            "people, with the command `oppsync`",
            scripts=(
                "adopt",
                "budget",
                "discard",
                "enqueue",
                "hold",
                "inquire",
                "replay",
                "resend",
                "rights",
                "unhold",
            ),
            commands=(
                f"{_CONNECTING} info config|get scan time exists get set del hset hget hmget hgetall hincrby llen "
                "lrange smembers sismember pttl zcard zcount zrange zrank zrangebyscore zscore zmscore"
            ),
            keys=("oppsync:*", *_LANES, _RESULTS),
            channels=(_RESULTS,),
        ),
    )
}


def script_names() -> list[str]:
    """The scripts that are run: those that no other includes."""
    folder = files(__package__) / "lua"
    texts = {one.name.removesuffix(".lua"): one.read_text("utf-8") for one in folder.iterdir()}
    library = {AROUND, *re.findall(rf"^{INCLUDE}(\w+)", "\n".join(texts.values()), re.MULTILINE)}
    return sorted(texts.keys() - library)


def commands_named(text: str) -> set[str]:
    """Redis' commands in a script's text; one that is chosen in the call (`front and 'RPUSH' or 'LPUSH'`) too."""
    calls = re.findall(r"redis\.(?:call|add|known)\(([^,)]+)", text)
    return {name.lower() for call in calls for name in re.findall(r"'([A-Z]+)'", call)}


@cache
def commands_of(script: str) -> frozenset[str]:
    """What a script can reach, with what takes it back."""
    named = commands_named("\n".join(needed(script)))
    if strange := named - READS - WRITES.keys():
        raise ValueError(f"{script}.lua uses {sorted(strange)}: say here and in undo.lua how it is taken back")
    return frozenset(named.union(*(WRITES.get(name, "").split() for name in named)))


def commands(role: Role) -> list[str]:
    """Every command that a role needs, in order."""
    scripts = script_names() if role.scripts == ("*",) else role.scripts
    return sorted({*role.commands.split()}.union(*(commands_of(name) for name in scripts)))


def acl(role: Role, *, password: str) -> str:
    """The line that gives a role its rights, and no others."""
    words = ["ACL SETUSER", f"oppsync-{role.name}", "reset", "on", f">{password}"]
    words += [f"~{pattern}" for pattern in role.keys]
    words += ["resetchannels", *(f"&{pattern}" for pattern in role.channels)]
    return " ".join([*words, *(f"+{name}" for name in commands(role))])


def check(role: str) -> Call:
    """Ask Redis whether this user has a role's rights: once, before anything is begun."""
    wanted, given = ROLES[role], commands(ROLES[role])
    patterns: list[Argument] = []
    for pattern in (*wanted.keys, *(f"&{channel}" for channel in wanted.channels)):
        patterns += [pattern, pattern.removeprefix("&").replace("*", "rights-check")]
    return Call("rights", (len(given), *given, *patterns))


def judge(role: str, answer: Any) -> None:
    """Read the answer to `check`.

    Raises:
        RightsMissing: something is lacking; the text says what.
    """
    if answer:
        lacking = ", ".join(one.decode() for one in answer)
        raise RightsMissing(
            f"this Redis user lacks rights that the role {role} needs: {lacking}; "
            f"`oppsync redis acl {role}` prints the line that gives them"
        )
