"""Reading a claimed message for Celery, and refusing what Celery would choke on.

Stock Celery exits on a body that is not base64, drops a message whose content type it does not accept, and lets the
third part of a body overwrite headers, even the one that tells whose claim it is. Everything that can be wrong with a
message is found here, before Celery sees it; and what Celery sees is written anew, so that nothing of a stranger's
envelope is left in it but the task, the id and the fields.
"""

from typing import Any, Final

from oppsync_worker.contract.errors import Unreadable
from oppsync_worker.contract.names import Lane
from oppsync_worker.contract.states import Cause
from oppsync_worker.contract.wire import EMBED, ORIGIN, Envelope
from oppsync_worker.engine.engine import TAG_HEADER
from oppsync_worker.ledger.claims import Claimed

__all__ = ["CALL", "Unreadable", "prepare"]

CALL: Final = "call"
"""Where a payload has what its body says, read already: reading it once more takes as long as all of `prepare`."""

_LINKS: Final = {"callbacks": "link", "errbacks": "link_error", "chain": "a chain", "chord": "a chord"}


def prepare(claimed: Claimed) -> dict[str, Any]:
    """The payload that kombu delivers, with the claim's tag for its delivery tag.

    `eta` (and so `countdown`) and `expires` of other Celery producers become the job's `not_before` and `deadline`: a
    message that waited in a worker's memory would be lost with it. The queue that they chose is the job's lane.

    Raises:
        Unreadable: it is no message that a task here could run.
    """
    opened = Envelope.open(claimed.message)
    _refuse_links(opened)
    fields = {**opened.fields, **opened.times()}
    if fields.get("lane") is None:
        fields["lane"] = Lane(claimed.queue.rpartition(".")[2]).value
    return {
        CALL: [opened.args, fields, EMBED],
        # Nobody reads it any more, and what Celery writes of it into its log could name a person.
        "body": "",
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {
            "lang": "py",
            "task": opened.task,
            "id": opened.job_id,
            "root_id": opened.job_id,
            "parent_id": None,
            "group": None,
            "shadow": None,
            "retries": 0,
            "eta": None,
            "expires": None,
            # A limit of the producer's would make Celery give a job up in the middle of a call.
            "timelimit": [None, None],
            # Celery writes them into its log.
            "argsrepr": "",
            "kwargsrepr": "",
            "ignore_result": True,
            # The claim has it from the same message: it decides, and this saves the task the work of comparing.
            "origin": ORIGIN if opened.headers.get("origin") == ORIGIN else None,
            "stamped_headers": None,
            "stamps": {},
            TAG_HEADER: claimed.tag,
        },
        "properties": {
            "correlation_id": opened.job_id,
            "reply_to": "",
            "delivery_mode": 2,
            "delivery_info": {"exchange": "", "routing_key": claimed.queue},
            "priority": 0,
            "body_encoding": "utf-8",
            "delivery_tag": claimed.tag,
        },
    }


def _refuse_links(opened: Envelope) -> None:
    """Refuse what is to be called when the job has ended.

    Celery calls it in the worker that runs the task. Here a job may end anywhere: in a look-up, in the sweep, by its
    deadline, by a person's hand, weeks later; and where another application's tasks are to be sent, nobody here knows.
    A callback that came only now and then would be worse than none.
    """
    given = [word for name, word in _LINKS.items() if opened.embed and opened.embed.get(name)]
    if given:
        said = (
            f"{' and '.join(given)}: nothing is called here when a job has ended; send it without, wait for its outcome"
            " (AsyncResult, JobClient.wait), and send what is to follow then"
        )
        raise Unreadable(Cause.INVALID, said, task=opened.task)
