"""How each fault carries out, or fails to carry out, a valid call.

Everything here answers one question: what has the CRM done by the time the client knows, and what does the client
get to know?
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from oppsync_ops.simulator.answers import HTML, PLAIN, Answer, Silence, json_answer, page
from oppsync_ops.simulator.outages import Outage
from oppsync_ops.simulator.refusals import invalid_request, named, throttled
from oppsync_ops.simulator.writes import later

if TYPE_CHECKING:
    from collections.abc import Callable

    from oppsync_ops.simulator.call import Call
    from oppsync_ops.simulator.fault_rules import FaultRule
    from oppsync_ops.simulator.simulation import Simulation
    from oppsync_ops.simulator.work import Work


@dataclass(slots=True)
class Decision:
    """What to do about a call: wait, then answer. ``at_end`` finds the answer out only after the wait."""

    answer: Answer | Silence
    delay_s: float = 0.0
    at_end: Callable[[], Answer | Silence] | None = None
    outage: Outage | None = None


def carry_out(sim: Simulation, call: Call, work: Work, struck: tuple[str, FaultRule] | None) -> Decision:
    """Commit and answer a valid call, as the rule that struck it wants it."""
    latency_s = sim.latency_s(call)
    if struck is None:
        decision = Decision(_do(call, work))
    else:
        call.fault, rule = struck
        call.twist.lag_s, call.twist.lag_get = rule.lag_s, rule.lag_get
        decision = _FaultyWork(sim, call, work, rule).decide()
    decision.delay_s += latency_s
    return decision


class _FaultyWork:
    def __init__(self, sim: Simulation, call: Call, work: Work, rule: FaultRule) -> None:
        self.sim, self.call, self.work, self.rule = sim, call, work, rule
        self.told = rule.parameters

    def decide(self) -> Decision:
        """One method per action of the ``WORK`` stage."""
        return _EFFECTS[self.rule.action.name](self)

    def drop_before_commit(self) -> Decision:
        return Decision(self._silence())

    def drop_after_commit(self) -> Decision:
        self._commit()
        return Decision(self._silence())

    def gateway(self) -> Decision:
        self._commit_if_told()
        return Decision(page(self.told["status"]))

    def http(self) -> Decision:
        self._commit_if_told()
        return Decision(_http(self.told))

    def bad_200(self) -> Decision:
        return Decision(_spoiled(_do(self.call, self.work), self.told["kind"]))

    def throttle_after_commit(self) -> Decision:
        self._commit()
        budget = self.sim.budgets[self._instance()]
        return Decision(throttled(self.sim.config, budget.pretended(self.call.at)))

    def outage(self) -> Decision:
        restart = self.rule.action.name == "restart"
        return Decision(_do(self.call, self.work), outage=Outage(self.told["s"], restart=restart))

    def lead_list_400(self) -> Decision:
        return Decision(invalid_request())

    def lead_list_down(self) -> Decision:
        return Decision(named(self.told["status"], "Service unavailable"))

    def twisted(self) -> Decision:
        twist = self.call.twist
        match self.rule.action.name:
            case "visibility_lag":
                twist.lag_s = self.told["s"]
            case "clock_skew":
                twist.skew_s = self.told["s"]
            case "marker_field_missing":
                twist.drop_marker_field = True
            case "await_approval":
                twist.hold_column = True
            case "page_shift":
                twist.page_shift = -1 if self.told["kind"] == "repeat" else 1
            case name:
                raise ValueError(f"nobody knows how to do {name!r}")
        answer = _do(self.call, self.work)
        return Decision(replace(answer, skew_s=twist.skew_s))

    def slow(self) -> Decision:
        delay_s = self.told["ms"] / 1000
        match self.told["commit"]:
            case "start":
                return Decision(_do(self.call, self.work), delay_s)
            case "end":
                return Decision(Silence(), delay_s, at_end=self._do_now)
            case _:
                return Decision(page(504), delay_s)

    def _do_now(self) -> Answer:
        return _do(self.call, self.work, at=self.sim.clock.now())

    def late_commit(self) -> Decision:
        due = self.call.at + self.told["s"]
        self.sim.agenda.add(due, "commit", self._instance(), **later(self.call))
        if self.told["answer"] == "504":
            return Decision(page(504))
        return Decision(Silence(), self.told["hang_s"])

    def later_a_person(self) -> Decision:
        answer = _do(self.call, self.work)
        act = {"move_card": "move", "archive_card": "archive", "edit_title": "rename"}[self.rule.action.name]
        opportunity_id = self.call.target.number or _newest(self.sim, self._instance())
        due = self.call.at + self.told["s"]
        self.sim.agenda.add(due, act, self._instance(), id=opportunity_id, to=self.told.get("to"))
        return Decision(answer)

    def _commit(self) -> None:
        if self.work.commit is not None:
            self.work.commit(self.call.at)

    def _commit_if_told(self) -> None:
        if self.told["commit"] == "yes":
            self._commit()

    def _silence(self) -> Silence:
        return Silence(reset=self.told["how"] == "rst")

    def _instance(self) -> str:
        return self.call.instance.name if self.call.instance else ""


_EFFECTS: Final[dict[str, Callable[[_FaultyWork], Decision]]] = {
    "drop_before_commit": _FaultyWork.drop_before_commit,
    "drop_after_commit": _FaultyWork.drop_after_commit,
    "slow": _FaultyWork.slow,
    "late_commit": _FaultyWork.late_commit,
    "gateway": _FaultyWork.gateway,
    "http": _FaultyWork.http,
    "bad_200": _FaultyWork.bad_200,
    "throttle_after_commit": _FaultyWork.throttle_after_commit,
    "refuse_connection": _FaultyWork.outage,
    "restart": _FaultyWork.outage,
    "lead_list_400": _FaultyWork.lead_list_400,
    "lead_list_down": _FaultyWork.lead_list_down,
    "move_card": _FaultyWork.later_a_person,
    "archive_card": _FaultyWork.later_a_person,
    "edit_title": _FaultyWork.later_a_person,
    "visibility_lag": _FaultyWork.twisted,
    "clock_skew": _FaultyWork.twisted,
    "marker_field_missing": _FaultyWork.twisted,
    "await_approval": _FaultyWork.twisted,
    "page_shift": _FaultyWork.twisted,
}


def _newest(sim: Simulation, instance: str) -> int:
    return sim.instances[instance].next_id - 1


def _do(call: Call, work: Work, *, at: float | None = None) -> Answer:
    if work.commit is not None:
        work.commit(call.at if at is None else at)
    return work.render()


def _http(told: Any) -> Answer:
    match told["body"]:
        case "empty":
            answer = Answer(told["status"], b"", PLAIN)
        case "text":
            answer = Answer(told["status"], told["msg"].encode(), PLAIN)
        case _ if told["limite"] is not None:
            answer = json_answer(told["status"], {"msg": told["msg"], "usage": 2, "limite": told["limite"]})
        case _:
            answer = named(told["status"], told["msg"])
    if told["retry_after"] is None:
        return answer
    return replace(answer, headers=(*answer.headers, ("Retry-After", told["retry_after"])))


def _spoiled(answer: Answer, kind: str) -> Answer:
    match kind:
        case "html":
            return Answer(200, b"<html><body>SprintHub</body></html>", HTML)
        case "empty_object":
            return json_answer(200, {})
        case "truncated":
            return replace(answer, body=answer.body[: len(answer.body) // 2])
        case "cut":
            return replace(answer, cut_bytes=len(answer.body) // 2)
        case _:
            return json_answer(200, _without_identity(json.loads(answer.body), kind))


def _without_identity(document: Any, kind: str) -> Any:
    inner = document.get("data", document) if isinstance(document, dict) else {}
    if kind == "missing_id":
        inner.pop("id", None)
    elif "lead_id" in inner:
        inner["lead_id"] += 1
    return document
