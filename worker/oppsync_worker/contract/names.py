"""Names the outside world sees. Changing one is a change of contract: changelog first, golden sample second."""

from enum import StrEnum
from typing import Final

CONTRACT_VERSION: Final = 1
"""Version of the job's shape on the wire; a message without one is read as version 1."""

RESULT_KEY_PREFIX: Final = "celery-task-meta-"
"""Where Celery's Redis result backend keeps a result: `<prefix><task id>`."""

MAX_JOB_BYTES: Final = 64 * 1024
"""Largest job that is accepted at the door, in bytes of its JSON body (UTF-8)."""

MAX_MESSAGE_BYTES: Final = 256 * 1024
"""Largest queue element that a worker decodes, in bytes; a larger one is buried unread.

Above `MAX_JOB_BYTES` by the base64 and the headers that other Celery producers add.
"""

MAX_NESTED: Final = 32
"""Deepest nesting that is read of a job's fields. None needs more than two, and readers fail at depths of their own."""

MAX_FIELDS: Final = 64
"""Most fields that are looked at one by one; a job has about twenty. Custom fields are one of them."""


class Kind(StrEnum):
    """What a job does; the value is the Celery task's name."""

    CREATE = "opportunities.create"
    UPDATE = "opportunities.update"


class Lane(StrEnum):
    """How a job travels: `interactive` when a person waits for it, `bulk` when nobody does."""

    INTERACTIVE = "interactive"
    BULK = "bulk"

    @property
    def queue(self) -> str:
        """The lane's Redis list, which is also the Celery queue's name."""
        return f"opportunities.{self.value}"
