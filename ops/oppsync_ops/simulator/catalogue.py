"""What an instance declares, as the CRM lists it: funnels, columns, loss reasons, users, departments.

SprintHub API notes, section 5.4: the funnel id of the column list stands in the path, totals are text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from oppsync_ops.simulator import people
from oppsync_ops.simulator.answers import json_answer
from oppsync_ops.simulator.refusals import Refused, not_found
from oppsync_ops.simulator.work import Work

if TYPE_CHECKING:
    from oppsync_ops.simulator.call import Call
    from oppsync_ops.simulator.instance import Instance
    from oppsync_ops.simulator.simulation import Simulation

_LOSS_REASONS = ("Preço", "Sem resposta", "Concorrência")


def funnels(_sim: Simulation, _call: Call, instance: Instance) -> Work:
    """``GET /crm``."""
    shown = [{"id": funnel.id, "name": funnel.name} for funnel in instance.declared.funnels]
    return Work(render=lambda: json_answer(200, shown))


def columns(_sim: Simulation, call: Call, instance: Instance) -> Work:
    """``GET /crmfastloadv2/FUNNEL``: the funnel id stands in the path; ``crm`` repeats it."""
    funnel_id = call.target.number or 0
    if funnel_id not in instance.columns_of:
        raise Refused(not_found())
    shown = [
        _column(instance, column_id, funnel_id=funnel_id, sequence=sequence, at=call.at)
        for sequence, column_id in enumerate(instance.columns_of[funnel_id])
    ]
    return Work(render=lambda: json_answer(200, shown))


def loss_reasons(_sim: Simulation, _call: Call, _instance: Instance) -> Work:
    """``GET /crmlossreason``: the same for the whole instance."""
    shown = [{"id": number, "name": name, "active": 1} for number, name in enumerate(_LOSS_REASONS, start=1)]
    return Work(render=lambda: json_answer(200, shown))


def users(_sim: Simulation, call: Call, instance: Instance) -> Work:
    """``GET /user``; ``noblock=1`` leaves blocked users out."""
    blocked = set(instance.declared.blocked_users)
    hidden = blocked if call.target.query.get("noblock") == "1" else set()
    shown = [people.user(one, blocked=one in blocked) for one in instance.declared.users if one not in hidden]
    return Work(render=lambda: json_answer(200, shown))


def departments(_sim: Simulation, _call: Call, _instance: Instance) -> Work:
    """``GET /departament``, spelt so."""
    shown = [{"id": 1, "name": "Comercial"}, {"id": 2, "name": "Suporte"}]
    return Work(render=lambda: json_answer(200, shown))


def _column(instance: Instance, column_id: int, *, funnel_id: int, sequence: int, at: float) -> dict[str, Any]:
    inside = [one for one in instance.by_column[column_id].values() if not one.archived and one.listed_from <= at]
    cents = sum(one.value_cents for one in inside)
    return {
        "id": column_id,
        "name": instance.columns[column_id].name,
        "sequence": sequence,
        "crm": funnel_id,
        "total": len(inside),
        "totalValue": f"{cents / 100:.2f}",
    }
