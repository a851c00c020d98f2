"""What `celery -A oppsync_worker.app worker` asks for `app`; only then is anything read, opened or registered.

Wrong settings end the program with one line for each, and exit code 2.
"""

import os
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from celery import Celery


def __getattr__(name: str) -> Any:
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()["app"] = app = app_or_exit()
    return app


def app_or_exit() -> "Celery":
    """Build the app from the environment; for a user's mistake, say what is wrong and exit with 2."""
    from oppsync_worker.ledger.connect import NoRedisUrl, redis_url
    from oppsync_worker.reporting import open_reporter
    from oppsync_worker.settings import Settings, SettingsError

    problems: list[str] = []
    url = ""
    try:
        url = redis_url()
    except NoRedisUrl as error:
        problems.append(str(error))
    try:
        settings = Settings.from_environ(os.environ)
        reporter = open_reporter(settings, url)
    except SettingsError as error:
        problems += error.problems
    if problems:
        sys.stderr.writelines(f"oppsync: {problem}\n" for problem in problems)
        raise SystemExit(2)

    # Sentry must be there before Celery's consumer is imported, whose tracer it wraps: hence not at the top.
    from oppsync_worker.compose import create_app

    return create_app(settings, url, reporter)
