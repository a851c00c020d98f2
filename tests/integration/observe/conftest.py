"""A Sentry to report to, and an SDK that is let go of afterwards."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sentry_sdk
from pydantic import SecretStr

from integration.observe.sentry_server import SentryServer, running
from oppsync_worker.observe.observer import Observer
from oppsync_worker.observe.sentry import init_sentry


@pytest.fixture
def sentry() -> Iterator[SentryServer]:
    """An endpoint that keeps what it gets."""
    with running() as server:
        yield server


@pytest.fixture
def observing(sentry: SentryServer) -> Iterator[Callable[..., Observer]]:
    """Sets up the SDK to report to `sentry`."""

    def start(*secrets: str, **options: Any) -> Observer:
        reports = init_sentry(
            sentry.dsn,
            environment="test",
            server_name="worker-1",
            redact=lambda text: text,
            secrets=map(SecretStr, secrets),
            **options,
        )
        return Observer(reports=reports)

    with sentry_sdk.isolation_scope():
        yield start
    sentry_sdk.get_client().close(timeout=5)
    sentry_sdk.get_global_scope().set_client(None)


@pytest.fixture
def observer(observing: Callable[..., Observer]) -> Observer:
    """An observer that knows no secrets."""
    return observing()
