"""What a worker says at its start of a deployment in which its promises do not hold, and when it refuses to start.

Redis is asked before anything is claimed. When it is away, it is asked as soon as it answers: a worker that must not
run on a Redis that forgets (`OPPSYNC_REQUIRE_DURABLE`) waits for it, any other starts and tells later.
"""

import asyncio
import ipaddress
import logging
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Final
from urllib.parse import urlsplit

from redis import Redis
from redis.asyncio import Redis as AsyncRedis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from oppsync_worker.instances import InstanceSettings
from oppsync_worker.ledger.connect import connection_options, explain
from oppsync_worker.ledger.durability import TooOld, Weakness, ask, ask_async, require_version, weaknesses

Tell = Callable[[str, str], None]

logger = logging.getLogger(__name__)

PAUSE_S: Final = 2.0
NAMED_MOST: Final = 5


def unencrypted(instances: Iterable[InstanceSettings]) -> list[Weakness]:
    """Instances whose credential travels in plain text beyond this machine."""
    names = sorted(one.name for one in instances if _travels_plain(str(one.base_url)))
    if not names:
        return []
    some = ", ".join(names[:NAMED_MOST]) + (f" and {len(names) - NAMED_MOST} more" if len(names) > NAMED_MOST else "")
    return [
        Weakness(
            "unencrypted_crm",
            f"the CRM of {some} is called over http://: whoever is on the way reads its token and its leads; set"
            " SPRINTHUB_BASE_URL, or base_url, to an https:// address",
        )
    ]


def _travels_plain(url: str) -> bool:
    parts = urlsplit(url)
    host = (parts.hostname or "").rstrip(".")
    if parts.scheme != "http" or host == "localhost" or host.endswith(".localhost"):
        return False
    try:
        return not ipaddress.ip_address(host).is_loopback
    except ValueError:
        return True


def check(url: str, *, require: bool) -> list[Weakness] | None:
    """Ask Redis; None when it does not answer. With `require` it is waited for.

    Raises:
        TooOld: the scripts cannot run there.
    """
    said = ""
    while True:
        try:
            with Redis.from_url(url, retry=Retry(NoBackoff(), 0), **connection_options(url)) as client:
                answers = ask(client)
        except RedisError as error:
            if not require:
                return None
            if said != explain(error):
                said = explain(error)
                logger.warning("waiting for Redis, whose durability is required: %s", said)
            time.sleep(PAUSE_S)
        else:
            require_version(answers)
            return weaknesses(answers)


def refuse(sentences: Sequence[str]) -> SystemExit:
    """End the program as wrong settings do: a line each, exit code 2."""
    sys.stderr.writelines(f"oppsync: {sentence}\n" for sentence in sentences)
    sys.stderr.flush()
    return SystemExit(2)


class StartCheck:
    """One worker's: at its start, and again where Redis was away."""

    def __init__(self, url: str, instances: Iterable[InstanceSettings], *, require: bool, tell: Tell) -> None:
        """`tell` is given a weakness' name and sentence."""
        self.plain = unencrypted(instances)
        self._url = url
        self._require = require
        self._tell = tell
        self._heard = False

    def at_start(self) -> None:
        """Tell of everything that is amiss, or refuse to go on.

        Raises:
            SystemExit: with 2: the server is too old, or something is amiss, or cannot be told, that is required.
        """
        if self._require and self.plain:
            raise refuse([f"OPPSYNC_REQUIRE_DURABLE is set, and {one.sentence}" for one in self.plain])
        try:
            found = check(self._url, require=self._require)
        except TooOld as error:
            raise refuse([str(error)]) from None
        if self._require and found:
            raise refuse([f"OPPSYNC_REQUIRE_DURABLE is set, and {one.sentence}" for one in found])
        self._heard = found is not None
        self._tell_all([*self.plain, *(found or [])])

    async def until_heard(self, client: AsyncRedis) -> None:
        """Where Redis was away at the start: ask until it answers, and tell then.

        Raises:
            TooOld: the scripts cannot run there.
        """
        while not self._heard:
            try:
                answers = await ask_async(client)
            except RedisError:
                await asyncio.sleep(PAUSE_S)
            else:
                self._heard = True
                require_version(answers)
                self._tell_all(weaknesses(answers))

    def _tell_all(self, found: Sequence[Weakness]) -> None:
        for one in found:
            self._tell(one.name, one.sentence)
