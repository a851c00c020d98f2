"""The sample file: creates and updates for two instances, some of them bad on purpose."""

import csv
from dataclasses import dataclass
from pathlib import Path

HEADER = [
    "kind",
    "job_id",
    "instance",
    "funnel_id",
    "external_ref",
    "title",
    "value",
    "crm_column",
    "lead_id",
    "user",
    "status",
    "fields.Origem",
]
INSTANCES = ("acme", "globex")
RECORDS_EACH = 100
WRONG_COLUMN = 999
RIGHT_COLUMN = 131

DOUBTFUL = (95, 97, 99)
"""Records of acme whose create loses its answer; nothing else is asked for them."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What was written: the jobs by id, and how many lines are bad."""

    path: Path
    creates: dict[str, str]
    """job id -> instance"""
    updates: dict[str, str]
    rejected: list[str]
    doubtful: list[str]
    bad_lines: int


def job_id(instance: str, kind: str, number: int) -> str:
    """Readable ids, so that a person can follow one job through all that is shown."""
    return f"demo-{instance}-{kind}-{number:03d}"


def write_sample(path: Path) -> Sample:
    """Write the file: 200 creates, 100 updates, and three lines that no CRM would take."""
    creates: dict[str, str] = {}
    updates: dict[str, str] = {}
    rows: list[list[object]] = []
    rejected = [job_id("globex", "create", number) for number in (7, 8, 9)]
    for number in range(RECORDS_EACH):
        for instance in INSTANCES:
            ident = job_id(instance, "create", number)
            creates[ident] = instance
            column = WRONG_COLUMN if ident in rejected else 130
            rows.append(_create(ident, instance, number, column))
            if number % 2 == 0:
                change = job_id(instance, "update", number)
                updates[change] = instance
                rows.append(_update(change, instance, number))
    bad: list[list[object]] = [
        ["create", "", "acme", 7, "", "", "10,00", 130, 1, "", "open", ""],
        ["create", "", "acme", 7, "", "No such amount", "ten", 130, 1, "", "open", ""],
        ["update", "", "globex", 7, "ref-1", "Won is not a status", "", "", "", "", "won", ""],
    ]
    for position, row in zip((40, 120, 250), bad, strict=True):
        rows.insert(position, row)
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file, delimiter=";", lineterminator="\r\n")
        writer.writerow(HEADER)
        writer.writerows(rows)
    doubtful = [job_id("acme", "create", number) for number in DOUBTFUL]
    return Sample(path, creates, updates, rejected, doubtful, len(bad))


def _create(ident: str, instance: str, number: int, column: int) -> list[object]:
    value = f"R$ 1.{number:03d},50"
    return [
        "create",
        ident,
        instance,
        7,
        f"ref-{number}",
        f"Deal {number}",
        value,
        column,
        1000 + number,
        5,
        "open",
        "Site",
    ]


def _update(ident: str, instance: str, number: int) -> list[object]:
    return ["update", ident, instance, 7, f"ref-{number}", f"Deal {number}, won", "2.000,00", "", "", "", "gain", ""]
