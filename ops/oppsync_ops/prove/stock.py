"""The ordinary Celery set-up (`stock_app`), put to the same proof."""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final

import redis
from celery import Celery
from kombu.exceptions import OperationalError

from oppsync_ops.processes import clean_environ
from oppsync_ops.prove.contender import Away, Claim, Command, Producer
from oppsync_ops.prove.evidence import Seen
from oppsync_ops.prove.plan import Plan
from oppsync_ops.prove.planned import PlannedJob
from oppsync_ops.prove.poison import Poison
from oppsync_ops.prove.schedule import jump_s, jumper
from oppsync_ops.prove.stage import Stage, token
from oppsync_ops.prove.stock_app import HANDS, READY, SETTINGS_VARIABLE, STARTED, stock_app, task_name
from oppsync_worker.contract.names import RESULT_KEY_PREFIX, Lane
from oppsync_worker.contract.states import Cause, State

CONCURRENCY: Final = 20
STATES: Final = {"SUCCESS": State.SUCCEEDED, "FAILURE": State.DEAD}
PATIENCE: Final = 4
"""Times ours."""
SWEEPS_S: Final = 20
"""Two sweeps for abandoned messages, as `stock_app` sets them."""


class Stock:
    """Workers with the threads pool, which did best in measurements; producers with `send_task`."""

    name = "stock Celery"
    queues: Mapping[str, str] = {lane.value: f"stock.{lane.value}" for lane in Lane}

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        form = stage.plan.form
        # What is only slow must not count as stuck.
        self.patience_s = PATIENCE * form.patience_s
        self.quiet_s = form.visibility_s + SWEEPS_S + form.retry_most_s
        self._settings = stage.folder / "stock.json"
        self._told = _told(stage.plan)
        self._settings.write_text(json.dumps(self._told), "utf-8")

    def serving(self, client: redis.Redis) -> set[str]:
        """Those that said so."""
        names: Any = client.smembers(READY)
        return {name.decode() for name in names}

    def command(self, worker: int) -> Command:
        """Celery's own command."""
        links, plan = self._stage.links[worker], self._stage.plan
        environ = clean_environ(REDIS_URL=links.redis_url, SPRINTHUB_BASE_URL=links.crm_url)
        environ[SETTINGS_VARIABLE] = str(self._settings)
        module = ["celery"]
        if worker == jumper(plan.options.workers):
            module = ["oppsync_ops.prove.jumping_clock", f"{jump_s(plan.options.seed):g}"]
        arguments = [sys.executable, "-m", *module, "--app", "oppsync_ops.prove.stock_app", "worker"]
        arguments += ["--pool", "threads", "--concurrency", str(CONCURRENCY), "--loglevel", "WARNING"]
        arguments += ["--queues", ",".join(self.queues.values()), "--hostname", f"stock-{worker}@%h"]
        return Command(arguments, environ)

    def producer(self) -> AbstractContextManager[Producer]:
        """One application."""
        return _producing(self._stage, self._told, self.queues)

    def seen(self, client: redis.Redis, job_ids: Sequence[str]) -> dict[str, Seen]:
        """What Celery's results say; without one, whether the broker still has the message."""
        if not job_ids:
            return {}
        results: Any = client.mget([RESULT_KEY_PREFIX + job_id for job_id in job_ids])
        waiting = self._waiting(client)
        found = {}
        for job_id, raw in zip(job_ids, results, strict=True):
            told = json.loads(raw) if raw else {}
            state = STATES.get(str(told.get("status")), State.QUEUED if job_id in waiting else State.UNKNOWN)
            found[job_id] = _seen(state, told.get("result"))
        return found

    def many(self) -> None:
        """One queue for everybody, and no hold: whoever is behind a neighbour waits."""

    def claims(self, client: redis.Redis) -> list[Claim]:
        """What the proof's own signal handlers noted."""
        hands: Any = client.hgetall(HANDS)
        found = []
        for job_id, noted in hands.items():
            tag, worker = noted.decode().split(" ", 1)
            found.append(Claim(tag, job_id.decode(), worker))
        return found

    def doubtful(self, client: redis.Redis, claims: Sequence[Claim]) -> list[bool]:
        """Stock Celery knows no doubt: everything is run again."""
        del client
        return [False for _ in claims]

    def sending(self, client: redis.Redis, claim: Claim) -> bool:
        """A task in hand is being sent."""
        del client, claim
        return True

    def moved_on(self, client: redis.Redis, job_ids: Sequence[str]) -> list[bool]:
        """Those with a result."""
        results: Any = client.mget([RESULT_KEY_PREFIX + job_id for job_id in job_ids]) if job_ids else []
        return [bool(raw) and json.loads(raw)["status"] in STATES for raw in results]

    def claimed(self, client: redis.Redis) -> object:
        """The number of tasks begun."""
        return client.get(STARTED)

    def buried(self, client: redis.Redis, poison: Sequence[Poison]) -> dict[str, str]:
        """There are no dead letters."""
        del client, poison
        return {}

    def strays(self, client: redis.Redis) -> dict[str, int]:
        """Nobody looks."""
        del client
        return {}

    def explain(self, client: redis.Redis, job_id: str) -> Mapping[str, Any]:
        """Its result, if it has one."""
        raw: Any = client.get(RESULT_KEY_PREFIX + job_id)
        return {"result": json.loads(raw)} if raw else {"result": None}

    def _waiting(self, client: redis.Redis) -> set[str]:
        raw: list[Any] = [one for queue in self.queues.values() for one in client.lrange(queue, 0, -1)]
        delivered: Any = client.hvals("unacked")
        return set(filter(None, [*map(_id_in, raw), *(_id_in(one, delivered=True) for one in delivered)]))


def _told(plan: Plan) -> dict[str, Any]:
    instances = {}
    for name, allowance in plan.budgets.items():
        share = allowance.requests / allowance.window_s * 60 / plan.options.workers
        instances[name] = {"token": token(name), "rate_limit": f"{share:.2f}/m"}
    form = plan.form
    return {
        "instances": instances,
        "visibility_s": form.visibility_s,
        "read_s": form.read_s,
        "backoff_most_s": form.retry_most_s,
    }


def _id_in(raw: bytes, *, delivered: bool = False) -> str | None:
    """The id of a message; what is delivered and not acknowledged has its exchange and routing key beside it."""
    try:
        document = json.loads(raw)
        found = (document[0] if delivered else document)["headers"]["id"]
    except (ValueError, KeyError, TypeError, IndexError, RecursionError):
        return None
    return found if isinstance(found, str) else None


def _seen(state: State, result: Any) -> Seen:
    if state is State.SUCCEEDED:
        return Seen(state, opportunity_id=int(result))
    if state is State.DEAD:
        kind = str(result.get("exc_type"))
        return Seen(state, Cause.REJECTED if kind == "Refused" else kind, str(result.get("exc_message")))
    return Seen(state)


class _Application:
    def __init__(self, app: Celery, client: redis.Redis, queues: Mapping[str, str]) -> None:
        self._app, self._client, self._queues = app, client, queues

    def enqueue(self, job: PlannedJob, *, opportunity_id: int | None) -> None:
        call = {
            "instance": job.instance,
            "document": _as_numbers(job.document()),
            "reference": job.reference,
            "opportunity_id": opportunity_id,
            "creates": job.creates,
        }
        for _ in range(2 if job.twice else 1):
            try:
                self._app.send_task(
                    task_name(job.instance), kwargs=call, task_id=job.job_id, queue=self._queues[job.lane], retry=False
                )
            except (OperationalError, redis.RedisError) as error:
                raise Away(str(error)) from error

    def opportunity_id(self, create: PlannedJob) -> int | None:
        try:
            raw: Any = self._client.get(RESULT_KEY_PREFIX + create.job_id)
        except redis.RedisError as error:
            raise Away(str(error)) from error
        told = json.loads(raw) if raw else {}
        return int(told["result"]) if told.get("status") == "SUCCESS" else None


@contextmanager
def _producing(stage: Stage, told: dict[str, Any], queues: Mapping[str, str]) -> Iterator[Producer]:
    app = stock_app(stage.redis.url, told)
    app.conf.result_backend = None
    app.conf.broker_transport_options |= {"socket_timeout": 2.0, "socket_connect_timeout": 2.0}
    with stage.redis.client() as client:
        yield _Application(app, client, queues)
    app.close()


def _as_numbers(document: dict[str, Any]) -> dict[str, Any]:
    return {**document, "value": float(document["value"])} if "value" in document else document
