"""What the parts of the engine share: the claims in hand, and the ledger as Celery's consumer thread reaches it."""

import logging
import os
import secrets
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from celery.worker import state as celery_state
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError
from redis.retry import Retry

from oppsync_worker.contract.names import Kind
from oppsync_worker.contract.states import Cause, State
from oppsync_worker.engine.broken import BrokenKeys
from oppsync_worker.engine.hands import Hands, Hold
from oppsync_worker.ledger import claims, ends, keys
from oppsync_worker.ledger.book import Book
from oppsync_worker.ledger.claims import Claimed
from oppsync_worker.ledger.connect import connection_options, explain
from oppsync_worker.ledger.scripts import Call, run
from oppsync_worker.limits.budget import ELASTIC, hands
from oppsync_worker.runner.ends import Abandoned, End
from oppsync_worker.runner.reports import Reporter
from oppsync_worker.runner.runner import Delivery, Runner

logger = logging.getLogger(__name__)

CLAIM_MOST: Final = 100
"""Claims per script: one round trip for a hundred jobs; the script holds Redis up for a few milliseconds."""

TAG_HEADER: Final = "claim_tag"
"""Header under which a claim's tag travels from the transport to the task, inside this process only."""


class Engine:
    """One per worker process; built by the composition root, handed to transport, pool, consumer and tasks."""

    def __init__(self, *, redis_url: str, lease_s: float, ttl_s: int, concurrency: int, reporter: Reporter) -> None:
        """Connects at the first claim. `lease_s` is how long a silent worker keeps its claims."""
        self.redis_url = redis_url
        self.lease_ms = int(lease_s * 1000)
        self.ttl_s = ttl_s
        self.hands = Hands()
        self.concurrency = concurrency
        """Calls at once for one instance alone; the pool sets it to its own limit, which the command line may have
        changed."""
        self.runner: Runner | None = None
        self.book: Book | None = None
        self.polled_at: float | None = None
        """When the consumer thread last asked for work, or tried to reach Redis; seconds of the monotonic clock."""
        self.claimed_at: float | None = None
        """When Redis last answered what this worker may begin, be it nothing; seconds of the monotonic clock."""
        self.refusal = ""
        """Why Redis, which answers, refused the last such question; empty when it did not."""
        self.consumed: Callable[[], list[str]] = list
        """Names of the queues that this worker consumes."""
        self.closing = False
        self.stoppers: list[Callable[[], None]] = []
        """Called on the asyncio thread when the worker is to begin nothing more."""
        # Names of hosts and numbers of processes come again; a question must not.
        self._asker, self._questions = secrets.token_hex(8), 0
        self.reporter = reporter
        self._broken = BrokenKeys(reporter)
        self.name = f"{socket.gethostname()}:{os.getpid()}"
        self._redis = Redis.from_url(redis_url, retry=Retry(NoBackoff(), 1), **connection_options(redis_url))

    def __json__(self) -> str:
        """What `celery inspect stats` shows of the transport's options (kombu.utils.json)."""
        return self.name

    def polled(self) -> None:
        """The consumer thread is awake."""
        self.polled_at = time.monotonic()

    def refused(self, error: RedisError) -> None:
        """Redis did not let this worker ask for work; that it is away altogether is known elsewhere."""
        self.refusal = explain(error) if isinstance(error, ResponseError) else ""

    @property
    def stopping(self) -> bool:
        """Whether the worker was told to stop: it claims nothing more, and lets its calls end."""
        # An exit code, and 0 is one.
        told = (celery_state.should_stop, celery_state.should_terminate)
        return self.closing or any(code is not None and code is not False for code in told)

    def claim(self, queues: list[str], most: int) -> list[Claimed]:
        """Claim up to `most` messages for this process. Raises `RedisError`."""
        call = claims.claim(
            queues,
            most=min(most, CLAIM_MOST),
            lease_ms=self.lease_ms,
            worker=self.name,
            question=f"{self._asker}-{self._questions}",
        )
        try:
            answer = run(self._redis, call)
        except RedisError as error:
            self.refused(error)
            raise
        self.claimed_at, self.refusal = time.monotonic(), ""
        # Whoever raises above asks the same question again: claims may have been made of which nobody has heard.
        self._questions += 1
        claimed, buried = claims.claimed(answer)
        for letter in buried:
            self.reporter.buried_unread(letter.job_id, "", letter.cause, letter.detail)
        for one in claimed:
            self.hands.take(one.tag)
        self._broken.tell(claims.broken(answer, usual=3))
        if claims.filed(answer):
            self.hands.moves += 1
        return claimed

    def stop(self) -> None:
        """Begin nothing more; what was sent goes on to its end. Called on the asyncio thread."""
        for stop in self.stoppers:
            stop()

    def room(self) -> int:
        """How many more claims this process may take now.

        What was announced, and beyond that one by one: a job that was given a slot all the same is of an instance that
        has no other call in flight, and must not wait for those that hang.
        """
        held = len(self.hands)
        if held < hands(self.concurrency):
            return hands(self.concurrency) - held
        return 1 if held < self.concurrency * ELASTIC else 0

    async def deliver(self, delivery: Delivery) -> End:
        """Run one claimed message to its end, and remember whether its claim is settled."""
        if self.runner is None:
            self.hands.abandon(delivery.tag)
            return Abandoned("the worker is not open yet")
        end = await self.runner.deliver(delivery)
        if isinstance(end, Abandoned):
            self.hands.abandon(delivery.tag)
        else:
            self.hands.settle(delivery.tag)
        return end

    def bury(self, tag: str, message: Mapping[str, Any] | None, *, cause: Cause, detail: str) -> None:
        """Bury a claimed message that cannot be run. Never raises: on failure the claim is left to its lease."""
        with self._guarded(tag):
            job_id = self._redis_job(tag)
            if job_id is None:
                return
            hand = ends.Hand(tag, job_id, self.ttl_s)
            task = str((message or {}).get("task") or "")[:200]
            if self._settle(hand, ends.bury(hand, cause=cause, detail=detail, kind=task)):
                self.reporter.buried_unread(job_id, task, cause, detail)

    def release(self, tag: str) -> None:
        """Hand a claim back. On failure it is left to its lease."""
        self.hands.drop(tag)
        try:
            run(self._redis, claims.release(tag))
        except RedisError as error:
            logger.warning("claim %s left to its lease: %s", tag, type(error).__name__)

    def acknowledged(self, tag: str) -> None:
        """Celery is done with a message. What nobody has settled must not disappear with it.

        That happens when Celery gives a message up by itself: revoked, timed out, or an error that escaped its tracer.
        Never raises: on failure the claim is left to its lease.
        """
        if self.hands.drop(tag) is not Hold.TAKEN:
            return
        with self._guarded(tag):
            self._give_up(tag)

    def _give_up(self, tag: str) -> None:
        job_id = self._redis_job(tag)
        if job_id is None:
            return
        hand = ends.Hand(tag, job_id, self.ttl_s)
        said = "Celery gave the message up before it was settled"
        revoked = job_id in celery_state.revoked
        if revoked:
            said = (
                "revoked through Celery's remote control; the workers that heard it refuse the job for three hours, or "
                "until they are started again"
            )
        try:
            state, kind = self._redis.hmget(keys.job(job_id), ["state", "kind"])
        except RedisError:
            return
        if state == State.SENDING.encode() and kind == Kind.CREATE.encode():
            attempt = ends.Attempt(at="", number=0, duration_ms=0, status=None, error="GivenUp", message=said)
            self._settle(hand, ends.doubt(hand, attempt=attempt))
        elif state == State.SENDING.encode() and not revoked:
            # An update that may have been carried out, and may be sent again: its lease decides.
            logger.warning("claim %s left to its lease: %s", tag, said)
        elif self._settle(hand, ends.bury(hand, cause=Cause.INTERNAL, detail=said)):
            self.reporter.buried_unread(job_id, "", Cause.INTERNAL, said)

    def close(self) -> None:
        """Close the consumer thread's connections."""
        self._redis.close()

    @contextmanager
    def _guarded(self, tag: str) -> Iterator[None]:
        """The last net: whatever goes wrong with one message must not reach Celery, which would end the worker."""
        try:
            yield
        except Exception:
            self.hands.abandon(tag)
            logger.exception("claim %s left to its lease", tag)

    def _redis_job(self, tag: str) -> str | None:
        try:
            job_id = self._redis.hget(f"{keys.PREFIX}claim:{tag}", "job")
        except RedisError as error:
            self.hands.abandon(tag)
            logger.warning("claim %s left to its lease: %s", tag, type(error).__name__)
            return None
        return job_id.decode() if isinstance(job_id, bytes) else None

    def _settle(self, hand: ends.Hand, call: Call) -> bool:
        try:
            run(self._redis, call)
        except RedisError as error:
            self.hands.abandon(hand.tag)
            logger.warning("claim %s left to its lease: %s", hand.tag, type(error).__name__)
            return False
        self.hands.settle(hand.tag)
        return True
