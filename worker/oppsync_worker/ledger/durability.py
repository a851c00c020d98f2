"""Whether Redis keeps what it is given: what "nothing is lost" needs of it, and a sentence for each thing amiss.

INFO tells most of it, and a managed Redis permits INFO where it forbids CONFIG. What cannot be told is said to be so.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from redis.asyncio import Redis as AsyncRedis
from redis.client import Redis
from redis.exceptions import NoPermissionError, ResponseError

OLDEST: Final = (6, 2)
"""The scripts use what Redis 6.2 brought."""


FIRST_THAT_CHECKS: Final = 7
EVERYTHING: Final = "~* &* +@all"


@dataclass(frozen=True, slots=True)
class Weakness:
    """Something that the promises need and the deployment lacks."""

    name: str
    """A stable word for machines, such as `no_append_only_file`."""
    sentence: str
    """What it is, what it costs, and what to do: one line."""
    known: bool = True
    """False: it could not be told."""


class TooOld(RuntimeError):
    """The server is older than the oldest that works."""


@dataclass(frozen=True, slots=True)
class Answers:
    """What the server tells of itself; None where it does not."""

    info: Mapping[str, Any] | None
    fsync: str | None
    default_user: str | None = None
    """What the user `default` may do; None: it does not matter with this server, or cannot be told."""

    @property
    def version(self) -> str:
        """Of Redis, or the version of Redis that Valkey says it stands for."""
        return str((self.info or {}).get("redis_version") or "")


def ask(client: Redis) -> Answers:
    """Ask the server. Raises `RedisError` when it does not answer, or is loading."""
    try:
        info: Any = client.info()
    except NoPermissionError:
        info = None
    try:
        fsync: Any = client.config_get("appendfsync")
    except ResponseError:
        fsync = {}
    user: Any = {}
    if _loads_as_default(info):
        with suppress(ResponseError):
            user = client.acl_getuser("default")
    return _answers(info, fsync, user)


async def ask_async(client: AsyncRedis) -> Answers:
    """The same from asyncio."""
    try:
        info: Any = await client.info()
    except NoPermissionError:
        info = None
    try:
        fsync: Any = await client.config_get("appendfsync")
    except ResponseError:
        fsync = {}
    user: Any = {}
    if _loads_as_default(info):
        with suppress(ResponseError):
            user = await client.acl_getuser("default")
    return _answers(info, fsync, user)


def require_version(answers: Answers) -> None:
    """Make sure that the scripts can run there.

    Raises:
        TooOld: they cannot.
    """
    numbers = [int(part) for part in answers.version.split(".") if part.isdigit()]
    if numbers and tuple(numbers[:2]) < OLDEST:
        raise TooOld(
            f"Redis {answers.version} is too old: the ledger's scripts need Redis 6.2 or newer, or Valkey; nothing was"
            " started and nothing was changed"
        )


def weaknesses(answers: Answers) -> list[Weakness]:
    """What is amiss, the gravest first."""
    info = answers.info
    if info is None:
        return [
            Weakness(
                "durability_unknown",
                "whether Redis keeps every write cannot be told: its user may not run INFO; jobs may be lost at a"
                " restart; give the user +info and +config|get, or see to appendonly yes, appendfsync always and"
                " maxmemory-policy noeviction yourself",
                known=False,
            )
        ]
    return [*_on_disk(info, answers.fsync), *_at_restart(answers.default_user), *_in_memory(info)]


def _on_disk(info: Mapping[str, Any], fsync: str | None) -> list[Weakness]:
    enabled = info.get("aof_enabled")
    if enabled is None:
        return [
            Weakness(
                "append_only_file_unknown",
                "whether Redis keeps an append-only file cannot be told: INFO does not say; without one, jobs are lost"
                " at a restart; look into the provider's settings for appendonly",
                known=False,
            )
        ]
    if not int(enabled):
        return [
            Weakness(
                "no_append_only_file",
                "Redis keeps no append-only file (appendonly is no): what it holds since its last snapshot is lost when"
                " it restarts, and creates that were sent may be sent again; set appendonly yes and appendfsync always",
            )
        ]
    if fsync is None:
        return [
            Weakness(
                "append_fsync_unknown",
                "whether every write is on disk before it is answered cannot be told: CONFIG GET is forbidden; a power"
                " cut may lose the last second; give the user +config|get, or see to appendfsync always yourself",
                known=False,
            )
        ]
    if fsync != "always":
        return [
            Weakness(
                "append_fsync",
                f"Redis does not wait for its disk (appendfsync is {fsync}, not always): a power cut can lose the last"
                " second, and a create that was just sent may be sent again; set appendfsync always",
            )
        ]
    return []


def _at_restart(default_user: str | None) -> list[Weakness]:
    if default_user is None or default_user == EVERYTHING:
        return []
    return [
        Weakness(
            "default_user",
            "Redis reads its append-only file as the user `default`, who may not run everything: this version drops"
            " jobs at a restart; set `user default off resetpass ~* &* +@all`, which lets nobody in either",
        )
    ]


def _loads_as_default(info: Mapping[str, Any] | None) -> bool:
    """Whether it is a Redis that checks the rights of `default` when it reads its file: seen of 7.0.15 and 8.2.3.

    Redis 6.2 and Valkey do not.
    """
    if info is None or "valkey_version" in info:
        return False
    major = str(info.get("redis_version", "")).partition(".")[0]
    return major.isdigit() and int(major) >= FIRST_THAT_CHECKS


def _in_memory(info: Mapping[str, Any]) -> list[Weakness]:
    policy = info.get("maxmemory_policy")
    if policy is None:
        return [
            Weakness(
                "eviction_unknown",
                "whether Redis may evict keys cannot be told: INFO does not say; jobs would vanish when memory is"
                " short; look into the provider's settings for maxmemory-policy noeviction",
                known=False,
            )
        ]
    if policy == "noeviction":
        return []
    return [
        Weakness(
            "eviction",
            f"Redis may evict jobs when memory is short (maxmemory-policy is {policy}, not noeviction): they vanish,"
            " and so does the memory of what was sent; set maxmemory-policy noeviction",
        )
    ]


def _answers(info: Any, fsync: Mapping[str | bytes, Any], user: Mapping[str, Any] | None) -> Answers:
    # The names in it are bytes where the client does not decode.
    found = fsync.get("appendfsync", fsync.get(b"appendfsync"))
    rights = " ".join([*user["keys"], *user["channels"], *user["categories"], *user["commands"]]) if user else None
    return Answers(info, found.decode() if isinstance(found, bytes) else found, rights)
