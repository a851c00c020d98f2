"""Lead and company documents: synthetic, made on demand from the seed, with every key the documented answer has.

SprintHub API notes, sections 3.1 (the keys) and 12 (why nothing may be real). Nothing here belongs to anybody:
e-mails use a reserved domain, phone numbers an area code that cannot be dialled, and IP addresses a documentation
range. The documents are written as text at once, because serialising 2.5 KB for every answer would make the simulator
what a benchmark measures.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from oppsync_ops.simulator.chance import draw_between
from oppsync_ops.simulator.clock import iso_millis

LAST_LEAD_ID: Final = 1_000_000
_FIRST_NAMES: Final = ("Ana", "Bruno", "Célia", "Davi", "Elisa", "Fábio", "Graça", "Heitor", "Íris", "João")
_LAST_NAMES: Final = ("Exemplo", "Fictício", "Modelo", "Amostra", "Ensaio", "Teste", "Protótipo", "Simulado")
_CITIES: Final = ("São Paulo", "Recife", "Curitiba", "Belém", "Goiânia")
_EPOCH: Final = 1_683_729_273  # lead documents are some years old: 2023-05-10
_NO_COMPANY_EVERY: Final = 10  # about one lead in ten has no company
_NO_COMPANY: Final = '"dataCompany":null,"dataCompanyExtra":[]'


@dataclass(frozen=True, slots=True)
class LeadPieces:
    """A lead's part of an answer, cut where ``lastActive`` goes in."""

    before_last_active: str
    after_last_active: str
    first_active_s: float
    company: str


@lru_cache(maxsize=8192)
def lead_pieces(seed: int, instance: str, lead_id: int) -> LeadPieces:
    """``dataLead`` and the company parts of one lead as JSON text."""
    pick = draw_between(seed, 0, 1 << 30, "lead", instance, lead_id)
    created_s = _EPOCH + pick % 30_000_000 + (pick % 1000) / 1000
    has_company = pick % _NO_COMPANY_EVERY != 0
    company_id = 2000 + pick % 5000
    first, second = _FIRST_NAMES[pick % len(_FIRST_NAMES)], _LAST_NAMES[pick % len(_LAST_NAMES)]
    before, after = _lead_template()
    lead = {
        "_id": f"{pick:08x}{lead_id:016x}",
        "id": lead_id,
        "city": _CITIES[pick % len(_CITIES)],
        "company": company_id if has_company else "null",
        "createDate": iso_millis(created_s),
        "firstname": first,
        "lastname": second,
        "instance": instance,
        "ip": pick % 254 + 1,
        "points": pick % 100,
        "password": f"synthetic-{pick % 10_000:04d}",
        "whatsapp": f"+5500{lead_id:09d}",
    }
    company = {"_id": f"{company_id:024x}", "id": company_id, "createDate": iso_millis(created_s + 17.35)}
    return LeadPieces(
        before_last_active=before % lead,
        after_last_active=after % lead,
        first_active_s=created_s + 86_400,
        company=_company_template() % company if has_company else _NO_COMPANY,
    )


def user(user_id: int, *, blocked: bool) -> dict[str, Any]:
    """A user of the instance as ``/user`` lists it."""
    first, last = _FIRST_NAMES[user_id % len(_FIRST_NAMES)], _LAST_NAMES[user_id % len(_LAST_NAMES)]
    return {
        "id": user_id,
        "name": first,
        "lastName": last,
        "email": f"user-{user_id}@example.com",
        "username": f"user-{user_id}",
        "blocked": int(blocked),
        "departament": None,
        "photoUrl": None,
    }


@lru_cache(maxsize=1)
def _lead_template() -> tuple[str, str]:
    """The text before and after the value of ``lastActive``, to be filled with ``%``."""
    quiet = {"mainChannel": False, "disabled": False, "frequencyValue": None, "frequencyUnits": "DAY"}
    document = {
        "_id": "%(_id)s",
        "id": "RAW%(id)d",
        "address": None,
        "canal_de_aquisicao": None,
        "channelRestrictions": {
            "instagram": quiet,
            "whatsapp": quiet,
            "email": quiet | {"mainChannel": True, "frequencyValue": 5},
            "messenger": quiet,
        },
        "city": "%(city)s",
        "company": "RAW%(company)s",
        "country": "Brazil",
        "createDate": "%(createDate)s",
        "createdBy": None,
        "createdByName": "System",
        "email": "lead-%(id)d@example.com",
        "firstname": "%(firstname)s",
        "instancedomain": "%(instance)s",
        "ips": [f"{network}.%(ip)d" for network in ("192.0.2", "198.51.100", "203.0.113")],
        "lastActive": "LAST_ACTIVE",
        "lastname": "%(lastname)s",
        "link_instancia": None,
        "mobile": None,
        "owner": None,
        "phone": None,
        "photoUrl": None,
        "points": "RAW%(points)d",
        "preferred_locale": "pt-BR",
        "senha_inicial": "%(password)s",
        "stage": None,
        "state": None,
        "timezone": "America/Sao_Paulo",
        "updatedBy": None,
        "updatedByName": None,
        "updatedDate": None,
        "utmTags": [],
        "whatsapp": "%(whatsapp)s",
        "zipcode": None,
        "cargo": None,
        "departamento": None,
        "departmentAccess": [],
        "ignoreSubDepartments": False,
        "instance_active": "false",
        "lead_online": "false",
        "partner_instance": None,
        "userAccess": [],
        "createdByType": None,
    }
    before, after = _template({"dataLead": document}).split("LAST_ACTIVE")
    return before, after


@lru_cache(maxsize=1)
def _company_template() -> str:
    """Both company parts, to be filled with ``%``. The array repeats the company without its ``_id``."""
    names_before = "cnpj companyaddress companyannualrevenue companycity companycountry companyemail companyindustry"
    names_after = "companynemployees companyphone companystate companyzipcode"
    company: dict[str, Any] = {
        "id": "RAW%(id)d",
        **dict.fromkeys(names_before.split()),
        "companyname": "Empresa Exemplo %(id)d",
        **dict.fromkeys(names_after.split()),
        "createDate": "%(createDate)s",
        "createdBy": None,
        "createdByName": "System",
        "dores": None,
        "owner": None,
        "photoUrl": None,
        "points": 0,
        "qtdeclientes": None,
        "updatedBy": None,
        "updatedByName": None,
        "updatedDate": None,
    }
    return _template({"dataCompany": {"_id": "%(_id)s", **company}, "dataCompanyExtra": [company]})


def _template(document: dict[str, Any]) -> str:
    """The members of an object as JSON text; a value that starts with RAW loses its quotes."""
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    return re.sub(r'"RAW([^"]*)"', r"\1", text)[1:-1]
