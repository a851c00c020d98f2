"""What a worker is told from outside. Read once, by the composition root; every wrong value is named at once.

| variable | meaning |
|---|---|
| REDIS_URL | broker, ledger and results; unset: the embedded server started by `oppsync` |
| SPRINTHUB_INSTANCE, SPRINTHUB_API_TOKEN | one instance |
| SPRINTHUB_INSTANCES_FILE | many instances: TOML, one table each (see `InstanceSettings`) |
| SPRINTHUB_BASE_URL | where instances live that do not say so themselves |
| SENTRY_DSN, SENTRY_ENVIRONMENT | error reporting |
| OPPSYNC_CONCURRENCY | calls in flight per worker process, for one instance alone; a quarter more is kept for others |
| OPPSYNC_LEASE_SECONDS | how long a silent worker keeps its jobs |
| OPPSYNC_MAX_CRASHES | workers a job may take down before it is buried as poison |
| OPPSYNC_OUTCOME_DAYS | how long outcomes are kept |
| OPPSYNC_WAIT_REPLICAS | replicas of Redis that must have taken note of a request before it leaves; 0: none |
| OPPSYNC_WAIT_MS | how long they may take; after that the request does not leave and is tried again |
| OPPSYNC_WATCHDOG_SECONDS | how long work may stand still before the worker ends itself with code 70; 0: never |
| OPPSYNC_HEALTH_DIR | where the worker's beat is, for `oppsync health` |
| OPPSYNC_SWEEP_SECONDS | how often the ledger is searched for jobs in no place, by all workers together; 0: never |
| OPPSYNC_REMOTE_CONTROL | which of Celery's remote commands are heard: all, inspect (those that only look on), off |
| OPPSYNC_REQUIRE_DURABLE | 1: do not start on a Redis that may lose jobs, nor with a CRM over http:// |
| OPPSYNC_LOG, OPPSYNC_LOG_LEVEL | auto, json or text; a level of the standard library |
"""

import hashlib
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, ValidationError

from oppsync_worker.instances import DEFAULT_BASE_URL, InstanceSettings


class SettingsError(ValueError):
    """Settings are missing or wrong; `problems` has one line for each, none of them with a secret in it."""

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


MOST_CONCURRENCY: Final = 5_000

LEAST_WATCHDOG_S: Final = 5.0
"""Less would take a busy machine for a hang."""


def _off_or_patient(seconds: float) -> float:
    if 0 < seconds < LEAST_WATCHDOG_S:
        raise ValueError(f"must be 0, which is off, or at least {LEAST_WATCHDOG_S:g}")
    return seconds


LEAST_OUTCOME_DAYS: Final = 1 / 24
"""Less than an hour would forget a job's key and id while copies of it may still be on their way."""


def _long_enough(days: float) -> float:
    # Written so that not-a-number is refused too.
    if not days >= LEAST_OUTCOME_DAYS:
        raise ValueError("must be at least 0.042, which is one hour: a shorter memory lets repeated jobs through")
    return days


class Settings(BaseModel):
    """All settings of one worker process."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    instances: Mapping[str, InstanceSettings]
    sentry_dsn: SecretStr | None = None
    sentry_environment: str = "production"
    concurrency: Annotated[int, Field(ge=1, le=MOST_CONCURRENCY)] = 200
    lease_seconds: Annotated[float, Field(ge=1, le=600)] = 25.0
    max_crashes: Annotated[int, Field(ge=0, le=100)] = 3
    outcome_days: Annotated[float, Field(le=3_650), AfterValidator(_long_enough)] = 7.0
    wait_replicas: Annotated[int, Field(ge=0, le=10)] = 0
    wait_ms: Annotated[int, Field(ge=10, le=4_000)] = 1_000
    """Below the time for which an answer of Redis is waited for."""
    watchdog_seconds: Annotated[float, Field(ge=0, le=86_400), AfterValidator(_off_or_patient)] = 120.0
    health_dir: Path | None = None
    """None: a folder of this user's below the system's for temporary files."""
    sweep_seconds: Annotated[float, Field(ge=0, le=86_400)] = 300.0
    remote_control: Literal["all", "inspect", "off"] = "inspect"
    """Nobody is asked who they are who send a command, so by default none of them changes anything."""
    require_durable: bool = False
    log: Literal["auto", "json", "text"] = "auto"
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Self:
        """Read the variables above.

        Raises:
            SettingsError: with every problem, each naming its variable, or the file, table and key.
        """
        problems: list[str] = []
        instances = _instances(environ, problems)
        given: dict[str, Any] = {"instances": instances, "sentry_dsn": environ.get("SENTRY_DSN") or None}
        for variable, name in _VARIABLES.items():
            if environ.get(variable):
                given[name] = environ[variable]
        try:
            settings = cls.model_validate(given)
        except ValidationError as error:
            names = {name: variable for variable, name in _VARIABLES.items()}
            problems += [f"{names.get(str(e['loc'][0]), e['loc'][0])}: {_said(e['msg'])}" for e in _errors(error)]
        if problems:
            raise SettingsError(*problems)
        return settings

    @property
    def ttl_s(self) -> int:
        """Seconds that an outcome is kept."""
        return int(self.outcome_days * 86_400)

    @property
    def secrets(self) -> list[str]:
        """Every secret there is, for those who must make sure that none gets out."""
        tokens = [secret for one in self.instances.values() for secret in (one.token, one.bearer) if secret]
        return [secret.get_secret_value() for secret in [*tokens, *filter(None, [self.sentry_dsn])]]


_VARIABLES = {
    "SENTRY_ENVIRONMENT": "sentry_environment",
    "OPPSYNC_CONCURRENCY": "concurrency",
    "OPPSYNC_LEASE_SECONDS": "lease_seconds",
    "OPPSYNC_MAX_CRASHES": "max_crashes",
    "OPPSYNC_OUTCOME_DAYS": "outcome_days",
    "OPPSYNC_WAIT_REPLICAS": "wait_replicas",
    "OPPSYNC_WAIT_MS": "wait_ms",
    "OPPSYNC_WATCHDOG_SECONDS": "watchdog_seconds",
    "OPPSYNC_HEALTH_DIR": "health_dir",
    "OPPSYNC_SWEEP_SECONDS": "sweep_seconds",
    "OPPSYNC_REMOTE_CONTROL": "remote_control",
    "OPPSYNC_REQUIRE_DURABLE": "require_durable",
    "OPPSYNC_LOG": "log",
    "OPPSYNC_LOG_LEVEL": "log_level",
}


def fingerprint(instance: InstanceSettings) -> str:
    """Tells one credential from another without telling it: a digest of the token, cut to 48 bits."""
    return hashlib.sha256(instance.token.get_secret_value().encode()).hexdigest()[:12]


def _instances(environ: Mapping[str, str], problems: list[str]) -> dict[str, InstanceSettings]:
    tables = _tables(environ, problems)
    if not tables and not problems:
        problems.append(
            "no SprintHub instance is set: set SPRINTHUB_INSTANCE and SPRINTHUB_API_TOKEN, or SPRINTHUB_INSTANCES_FILE"
        )
    base_url = environ.get("SPRINTHUB_BASE_URL") or DEFAULT_BASE_URL
    found = {}
    for name, (where, table) in tables.items():
        try:
            found[name] = InstanceSettings.model_validate({"base_url": base_url, **table, "name": name})
        except ValidationError as error:
            for e in _errors(error):
                place = ".".join(str(part) for part in e["loc"])
                problems.append(f"{where} {_WHERE.get(place, place)}: {_said(e['msg'])}")
    return found


def _tables(environ: Mapping[str, str], problems: list[str]) -> dict[str, tuple[str, dict[str, Any]]]:
    """Instance name -> (where its table comes from, the table)."""
    name, token = environ.get("SPRINTHUB_INSTANCE"), environ.get("SPRINTHUB_API_TOKEN")
    file = environ.get("SPRINTHUB_INSTANCES_FILE")
    tables: dict[str, tuple[str, dict[str, Any]]] = {}
    for key, table in (_read(Path(file), problems) if file else {}).items():
        if isinstance(table, dict):
            tables[key] = (f"{file}: [{key}]", table)
        else:
            problems.append(f"{file}: {key} stands outside of any table; one table per instance, as in [acme]")
    if name and token:
        tables[name] = ("SPRINTHUB_INSTANCE", {"token": token})
    elif name:
        problems.append("SPRINTHUB_API_TOKEN is not set, but SPRINTHUB_INSTANCE is: set both, or neither")
    elif token:
        problems.append("SPRINTHUB_INSTANCE is not set, but SPRINTHUB_API_TOKEN is: set both, or neither")
    return tables


_WHERE = {"base_url": "base_url (SPRINTHUB_BASE_URL)"}


def _read(file: Path, problems: list[str]) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text("utf-8"))
    except OSError as error:
        problems.append(f"SPRINTHUB_INSTANCES_FILE: cannot read {file}: {error.strerror}")
    except UnicodeDecodeError:
        problems.append(f"SPRINTHUB_INSTANCES_FILE: {file} is not UTF-8")
    except tomllib.TOMLDecodeError as error:
        problems.append(f"SPRINTHUB_INSTANCES_FILE: {file} is not TOML: {error}")
    return {}


def _errors(error: ValidationError) -> list[Any]:
    return list(error.errors(include_url=False, include_context=False, include_input=False))


def _said(message: str) -> str:
    if message == "Field required":
        return "is missing"
    if message == "Extra inputs are not permitted":
        return "is not a setting of an instance"
    if "match pattern" in message:
        return "is not of the expected form"
    return message.removeprefix("Value error, ").replace("Input should be", "must be")
