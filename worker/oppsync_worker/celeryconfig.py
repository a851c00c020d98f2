"""Celery's settings, each with its reason. What Celery would decide by itself, the ledger decides here."""

from typing import Any

from kombu import Queue

from oppsync_worker.contract.names import Kind, Lane
from oppsync_worker.engine.engine import Engine
from oppsync_worker.engine.transport import ALIAS
from oppsync_worker.ledger.connect import place
from oppsync_worker.limits.budget import ELASTIC


def celery_settings(
    engine: Engine, *, concurrency: int, pool: type, consumer: type, remote_control: bool = True
) -> dict[str, Any]:
    """The worker's configuration."""
    return {
        # What Celery shows of where it connects; the address itself is the engine's (it may hold a password).
        "broker_url": f"{ALIAS}://{place(engine.redis_url)}",
        # An idle consumer finds out within ten seconds that its connection is half-open; kombu's 25 make it fifty.
        "broker_transport_options": {"engine": engine, "priority_steps": [0], "health_check_interval": 5},
        "broker_connection_retry_on_startup": True,
        # The default gives up after 100; Redis loading a large file takes longer.
        "broker_connection_max_retries": None,
        "broker_channel_error_retry": True,
        # Results are written by the script that settles a job; Celery's second opinion could only differ.
        "result_backend": None,
        "task_ignore_result": True,
        # Acknowledging is ours; these keep Celery from doing it before the task ran.
        "task_acks_late": True,
        "task_acks_on_failure": True,
        "task_acks_on_timeout": True,
        "task_reject_on_worker_lost": False,
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        # What may be claimed is decided by `engine.room`, which never holds more; the rate limit is the ledger's.
        "worker_prefetch_multiplier": ELASTIC,
        "worker_disable_rate_limits": True,
        "worker_concurrency": concurrency,
        "worker_pool": pool,
        "worker_consumer": consumer,
        # Which commands: `engine/remote.py`.
        "worker_enable_remote_control": remote_control,
        # A handful of round trips per job for events nobody needs: the ledger has the facts.
        "worker_send_task_events": False,
        "task_send_sent_event": False,
        "task_track_started": False,
        # A pickle is code; only JSON is read.
        "task_serializer": "json",
        "accept_content": ["json"],
        # A typing error in a queue's name must fail, not make a queue that nobody reads.
        "task_create_missing_queues": False,
        "task_queues": [Queue(lane.queue, routing_key=lane.queue) for lane in Lane],
        "task_default_queue": Lane.BULK.queue,
        "task_routes": {kind.value: {"queue": Lane.INTERACTIVE.queue} for kind in Kind},
        # Logging is ours.
        "worker_hijack_root_logger": False,
        "worker_redirect_stdouts": False,
    }
