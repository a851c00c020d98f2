"""A letter's message taken apart without judging the job in it: what is wrong with it may be the very thing to mend."""

import base64
import json
from dataclasses import dataclass
from typing import Any, Self

from oppsync_worker.contract.errors import NotAJob


@dataclass(frozen=True, slots=True)
class Envelope:
    """The task's name, the job's id, and its fields as they were sent."""

    task: str
    job_id: str
    args: Any
    fields: dict[str, Any]

    @classmethod
    def open(cls, message: bytes) -> Self:
        """Take a queue element apart.

        Raises:
            NotAJob: it is not a message of Celery's protocol.
        """
        try:
            envelope = json.loads(message)
            headers, body = envelope["headers"], envelope["body"]
            if envelope["properties"].get("body_encoding") == "base64":
                body = base64.b64decode(body, validate=True)
            args, fields, _ = json.loads(body)
            task, job_id = headers["task"], headers["id"]
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise NotAJob(f"not a message of Celery's protocol: {type(error).__name__}") from None
        if not isinstance(fields, dict) or not isinstance(task, str) or not isinstance(job_id, str):
            raise NotAJob("not a message of Celery's protocol: no keyword arguments")
        return cls(task, job_id, args, fields)
