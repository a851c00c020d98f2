"""Somebody else's Celery application: knows the task's name and nothing else of this project."""

import json
import sys
from typing import Any

from celery import Celery

app = Celery("foreign", broker=sys.argv[1], backend=sys.argv[1])
app.conf.task_routes = {"opportunities.*": {"queue": "opportunities.bulk"}}


def main() -> None:
    """Enqueue what stdin says, and print what became of it."""
    asked: dict[str, Any] = json.load(sys.stdin)
    result = app.send_task("opportunities.create", kwargs=asked["kwargs"], **asked.get("options", {}))
    print(result.id, flush=True)
    try:
        told = {"result": result.get(timeout=asked.get("timeout", 25)), "state": result.state}
    except Exception as error:  # noqa: BLE001 - whatever it is, it is told
        told = {"error": type(error).__name__, "text": str(error), "state": result.state}
    print(json.dumps(told))


if __name__ == "__main__":
    main()
