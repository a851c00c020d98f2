"""What a worker is started with, judged before it claims anything.

Celery takes options that this worker could not keep: another pool would claim jobs and send none, a time limit would be
forgotten, `--purge` would delete jobs that producers were told are safe. Each ends the start with one sentence and exit
code 2, wherever it was chosen: on the command line, in the environment, or in Celery's settings. ops/docs/celery.md has
the table.
"""

import sys
from collections.abc import Mapping
from typing import Any, Final

import click
from celery.utils.text import str_to_list
from celery.worker import WorkController

from oppsync_worker.contract.names import Lane
from oppsync_worker.engine.pool import TaskPool
from oppsync_worker.settings import MOST_CONCURRENCY

OPTIONS: Final[Mapping[str, tuple[str, str]]] = {
    "autoscale": ("--autoscale", "the number of calls in flight is fixed: use --concurrency, and more workers"),
    "time_limit": ("--time-limit", "a call that was sent cannot be called back: use an instance's call_seconds"),
    "soft_time_limit": ("--soft-time-limit", "a call that was sent cannot be called back: use call_seconds"),
    "max_tasks_per_child": ("--max-tasks-per-child", "there are no child processes"),
    "max_memory_per_child": ("--max-memory-per-child", "there are no child processes"),
    "pool_start_method": ("--pool-start-method", "there are no child processes"),
    "purge": ("--purge", "it would delete jobs that producers were told are safe: see oppsync dead discard"),
    "beat": ("--beat", "nothing here runs by the clock, every worker keeps the ledger's schedule"),
}
"""Option as Celery's worker gets it -> (how it is written, why it is refused)."""

SETTINGS: Final[Mapping[str, str]] = {
    "worker_autoscaler": "autoscale",
    "task_time_limit": "time_limit",
    "task_soft_time_limit": "soft_time_limit",
    "worker_max_tasks_per_child": "max_tasks_per_child",
    "worker_max_memory_per_child": "max_memory_per_child",
}
"""Celery's settings that say the same."""

_POOL: Final = "another pool than this worker's own would claim jobs and send none: leave it out"


def refuse_what_cannot_be_kept(instance: Any, options: Mapping[str, Any], conf: Any) -> None:
    """Receives Celery's `celeryd_init`: end the program if an option cannot be kept.

    Raises:
        SystemExit: with 2, after one line for each such option.
    """
    problems = [f"{name}: {why}" for option, (name, why) in OPTIONS.items() if options.get(option)]
    for setting, option in SETTINGS.items():
        if getattr(conf, setting, None) and setting != "worker_autoscaler":
            problems.append(f"Celery's setting {setting}: {OPTIONS[option][1]}")
    chosen = options.get("pool") or options.get("pool_cls") or conf.worker_pool
    if not (_is_ours(chosen) and _is_ours(conf.worker_pool)) or _was_given("pool"):
        problems.append(f"--pool: {_POOL}")
    lanes = {lane.queue for lane in Lane}
    for option, name in (("queues", "--queues"), ("exclude_queues", "--exclude-queues")):
        if unknown := sorted(set(str_to_list(options.get(option)) or []) - lanes):
            problems.append(f"{name}: there is no queue {', '.join(unknown)}, only {', '.join(sorted(lanes))}")
    problems += concurrency_problem(options.get("concurrency") or conf.worker_concurrency)
    if problems:
        refuse(*problems)
    del instance


def concurrency_problem(value: Any) -> list[str]:
    """What is wrong with a number of calls in flight."""
    try:
        fits = 1 <= int(value) <= MOST_CONCURRENCY
    except (TypeError, ValueError):
        fits = False
    said = f"--concurrency: must be a whole number from 1 to {MOST_CONCURRENCY}, and is {str(value)[:40]}"
    return [] if fits else [said]


def check_pool(controller: WorkController, pool: Any) -> None:
    """The same once more, on what Celery has made of it.

    Raises:
        SystemExit: with 2.
    """
    if not isinstance(pool, TaskPool):
        refuse(f"--pool: {_POOL}")
    if problems := concurrency_problem(controller.concurrency):
        refuse(*problems)


def refuse(*problems: str) -> None:
    """End the program: it was used wrongly."""
    sys.stderr.writelines(f"oppsync: {problem}\n" for problem in problems)
    raise SystemExit(2)


def _is_ours(pool: Any) -> bool:
    return isinstance(pool, type) and issubclass(pool, TaskPool)


def _was_given(parameter: str) -> bool:
    context = click.get_current_context(silent=True)
    if context is None:
        return False
    source = context.get_parameter_source(parameter)
    return source in (click.core.ParameterSource.COMMANDLINE, click.core.ParameterSource.ENVIRONMENT)
