"""The watchdog: a thread that looks whether the process still moves, and ends it when it does not.

A hang is worse than a crash. A worker that crashed is started afresh, its leases run out, and its jobs go on; one that
hangs renews its leases and keeps its jobs. So this thread makes a crash of a hang: every thread's stack, a line with
the reason, a report, and exit code 70. What it was sending is then settled as after any crash.

What a hang is, `vigil.py` decides. Here is only the looking, and it is done by nobody whom a hang could hold up: not by
the loop, not by Celery's thread, not over their connections.

One thing could hold up even this thread: code that computes and never gives back the interpreter's lock, such as a
regular expression gone wild. Against that the system's own clock is wound up at every look, one that counts the
processor's time (a stopped process uses none): should nobody wind it again, SIGPROF writes the stacks and ends us.
"""

import contextlib
import faulthandler
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from oppsync_worker.engine import stacks
from oppsync_worker.engine.beating import Beating
from oppsync_worker.engine.engine import Engine
from oppsync_worker.engine.vigil import Look, Patience, Vigil
from oppsync_worker.ledger.connect import connection_options
from oppsync_worker.ledger.presence import watch
from oppsync_worker.ledger.scripts import run
from oppsync_worker.observe.sentry import flush

logger = logging.getLogger(__name__)

EXIT_CODE: Final = 70
"""EX_SOFTWARE of sysexits.h."""

LOOKS: Final = 10
"""Looks per patience."""
LOOK_MOST_S: Final = 5.0

LEAST_PATIENCE_S: Final = 20.0
"""For what Redis has a part in: kombu needs ten seconds to find out that an idle connection is half-open, and a
connection with a call on it five to fail and some more to be made anew."""

FAREWELL_S: Final = 5.0
"""How long the last words may take: whatever hangs may hang on the log too."""


class Hang(RuntimeError):
    """This process did not move although it had a reason to; the text says what stood still."""


class Watchdog:
    """Watches one worker process. Ends it, or returns nothing to anybody."""

    def __init__(self, engine: Engine, beating: Beating, *, patience_s: float, longest_call_s: float) -> None:
        """`patience_s` of 0 switches it off; a claim may be in hand for `longest_call_s` with nothing to see."""
        least = max(patience_s, LEAST_PATIENCE_S)
        self._every_s = min(patience_s / LOOKS, LOOK_MOST_S)
        self._answer_s = min(patience_s / 4, LOOK_MOST_S) or LOOK_MOST_S
        self._patience = Patience(
            loop_s=patience_s,
            consumer_s=least,
            jobs_s=least + longest_call_s,
            pause_s=2 * self._every_s + self._answer_s,
        )
        self._engine = engine
        self._beating = beating
        self._off = threading.Event()
        self._asking: threading.Thread | None = None
        self._waiting: int | None = None
        self._redis = Redis.from_url(
            engine.redis_url,
            retry=Retry(NoBackoff(), 0),
            **{
                **connection_options(engine.redis_url, answer_timeout_s=self._answer_s),
                "socket_connect_timeout": self._answer_s,
            },
        )

    @contextmanager
    def running(self) -> Iterator[None]:
        """Watch for as long as the block lasts."""
        if self._every_s:
            if os.name == "posix":
                faulthandler.register(signal.SIGPROF, file=sys.__stderr__ or 2, all_threads=True, chain=True)
            self._wind(self._patience.loop_s)
            threading.Thread(target=self._watch, name="oppsync-watchdog", daemon=True).start()
        try:
            yield
        finally:
            self._off.set()

    def _watch(self) -> None:
        vigil = Vigil.begun(self._look())
        while not self._off.wait(self._every_s):
            try:
                # Looks are a third of it apart at most, and a Python process keeps little more than one core busy.
                self._wind(self._patience.loop_s)
                vigil = vigil.went_on(self._look(), self._patience)
                hang = vigil.hang(self._patience)
            except Exception:
                logger.exception("the watchdog could not look")
                continue
            if hang and not self._off.is_set():
                self._end(hang)
        self._wind(0)
        self._redis.close()

    def _wind(self, seconds: float) -> None:
        if os.name == "posix":
            signal.setitimer(signal.ITIMER_PROF, seconds)

    def _look(self) -> Look:
        engine, book = self._engine, self._engine.book
        waiting = self._ask()
        return Look(
            at=time.monotonic(),
            turns=self._beating.turns,
            polled=engine.polled_at,
            moves=engine.hands.moves + (book.heard if book else 0),
            waiting=waiting,
            room=engine.room(),
            in_hand=len(engine.hands),
            stopping=engine.stopping,
        )

    def _ask(self) -> int | None:
        """Ask Redis, with bounded patience even where finding its address takes for ever."""
        if self._asking is None or not self._asking.is_alive():
            self._waiting = None
            self._asking = threading.Thread(target=self._ask_redis, name="oppsync-watchdog-redis", daemon=True)
            self._asking.start()
        self._asking.join(self._answer_s)
        return None if self._asking.is_alive() else self._waiting

    def _ask_redis(self) -> None:
        # Not even a connection error that has no class must end in a stack on stderr every few seconds.
        with contextlib.suppress(RedisError, OSError):
            self._waiting = int(run(self._redis, watch(self._engine.name, self._engine.consumed(), trace_s=60)))

    def _end(self, hang: str) -> None:
        words = threading.Thread(target=self._last_words, args=(hang, stacks.of_threads()), daemon=True)
        words.start()
        words.join(FAREWELL_S)
        os._exit(EXIT_CODE)

    def _last_words(self, hang: str, threads: str) -> None:
        with contextlib.suppress(Exception):
            tasks = stacks.of_tasks(self._beating.loop) if self._beating.loop else ""
            os.write(sys.stderr.fileno(), (threads + tasks).encode("utf-8", "replace"))
        self._engine.reporter.notice("watchdog", reason=hang)
        self._engine.reporter.unexpected(Hang(hang), None)
        for handler in logging.getLogger().handlers:
            handler.flush()
        flush()
