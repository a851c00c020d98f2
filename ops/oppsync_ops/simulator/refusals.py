"""The answers to calls the CRM refuses, in the shapes integrators have seen.

SprintHub API notes, sections 3.3, 4 and 7. The error text stands under ``msg`` for create, authentication and
throttling, under ``error`` for update and by-lead.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from oppsync_ops.simulator.answers import Answer, json_answer

if TYPE_CHECKING:
    from oppsync_ops.simulator.budget import Admission
    from oppsync_ops.simulator.call import Call
    from oppsync_ops.simulator.config import SimulatorConfig
    from oppsync_ops.simulator.instance import Instance

INVALID_REQUEST: Final = "Invalid request"
_TOO_MANY: Final = {"lower": "too many requests", "title": "Too Many Requests", "upper": "TOO MANY REQUESTS"}


class Refused(Exception):
    """A call is refused, with this answer."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(f"refused with {answer.status}")
        self.answer = answer


def invalid_request() -> Answer:
    """The 400 of update and by-lead, which names nothing."""
    return json_answer(400, {"error": INVALID_REQUEST})


def named(status: int, text: str) -> Answer:
    """An answer whose ``msg`` says what is wrong."""
    return json_answer(status, {"msg": text})


def opportunity_not_found(status: int = 404) -> Answer:
    """An id that no opportunity of the instance has."""
    if status == 400:  # noqa: PLR2004 - the knob's other setting
        return invalid_request()
    return json_answer(status, {"error": "Opportunity not found"})


def throttled(config: SimulatorConfig, admission: Admission | None) -> Answer:
    """401 and not 429: only ``too many requests`` in the text tells it from a bad token.

    Without an ``admission`` (a fault, where no window applies) there are no numbers to disclose.
    """
    body: dict[str, Any] = {"msg": f"Unauthorized: {_TOO_MANY[config.throttle_case]}"}
    if config.throttle_numbers and admission is not None:
        body |= {"usage": admission.usage, "limite": admission.limit}
    answer = json_answer(config.throttle_status, body)
    if config.retry_after:
        wait_s = max(1, admission.retry_after_s) if admission is not None else 1
        answer = replace(answer, headers=(("Retry-After", str(wait_s)),))
    return answer


def credentials_refused(call: Call, instance: Instance, config: SimulatorConfig) -> Answer | None:
    """The answer to a missing or wrong token, or None when the call may pass.

    ``apitoken`` counts as header or query; the Bearer, where one is sent, carries the same token.
    """
    sent = call.api_token or call.target.query.get("apitoken")
    bearer = call.authorization
    right_bearer = bearer == f"Bearer {instance.token}"
    if config.bearer == "required":
        passes = right_bearer
    elif config.bearer == "must_match":
        passes = right_bearer or bearer is None
    else:
        passes = True
    return None if passes and sent == instance.token else named(401, config.invalid_token_text)


def not_found() -> Answer:
    """The 404 of an id in the path that stands for nothing."""
    return json_answer(404, {"error": "Not found"})
