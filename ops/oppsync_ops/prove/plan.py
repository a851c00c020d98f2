"""Everything that will be done in a run, drawn from its seed before anything starts.

The same seed and options give the same plan, to the last title. What cannot be planned is the interleaving: it belongs
to the machine and its clock, so two runs of a plan differ in which request a given kill meets.
"""

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from typing import Final

from oppsync_ops.prove.form import Form, form_for
from oppsync_ops.prove.hostile import draw_hostile
from oppsync_ops.prove.load import INSTANCES, TIGHT, draw_jobs
from oppsync_ops.prove.neighbours import QUIET, Neighbour, Phases, draw_neighbours, rules_of, spare
from oppsync_ops.prove.planned import Fate, PlannedJob
from oppsync_ops.prove.poison import Poison, draw_poison
from oppsync_ops.prove.rules import Rule, rules_for
from oppsync_ops.prove.schedule import PlannedFault, draw_faults

REQUESTS_PER_JOB: Final = 1.2
"""Requests that a job costs under fire: retries and look-ups count too."""
ROOM: Final = 2.0
TIGHT_ROOM: Final = 0.85
"""Budget over need. Below 1 there is always a line, and the budget is used to the last request."""
LEAST_REQUESTS: Final = 20
HANDS: Final = 40
"""Calls that one worker has in flight."""
QUIET_ROOM: Final = 10.0
"""Budget over need of a quiet instance: nobody waits for a slot of their own instance there."""
IN_FLIGHT: Final = 8
"""Requests in flight at once, for each instance."""


@dataclass(frozen=True, slots=True)
class Allowance:
    """What an instance may be sent: so many requests in any window."""

    requests: int
    window_s: float
    in_flight: int = IN_FLIGHT


@dataclass(frozen=True, slots=True)
class Options:
    """What a person chooses."""

    seed: int
    jobs: int
    minutes: float
    workers: int
    marker: bool = True
    """Whether the CRM has a marker field."""
    leads: bool = True
    """Whether creates name their lead."""
    neighbours: bool = True
    """Whether there are instances in trouble beside the judged ones."""

    @property
    def needs_met(self) -> bool:
        """Whether a lost answer can always be settled without a person."""
        return self.marker and self.leads


@dataclass(frozen=True, slots=True)
class Plan:
    """One run."""

    options: Options
    form: Form
    jobs: tuple[PlannedJob, ...]
    faults: tuple[PlannedFault, ...]
    poison: tuple[Poison, ...]
    rules: tuple[Rule, ...]
    budgets: Mapping[str, Allowance]
    neighbours: tuple[Neighbour, ...] = ()

    @classmethod
    def draw(cls, options: Options) -> "Plan":
        """The plan of these options."""
        form = form_for(options.minutes)
        jobs = draw_jobs(options.seed, options.jobs, leads=options.leads, killer=form.killer)
        beside = draw_neighbours(options.jobs, options.workers, hands=HANDS) if options.neighbours else ()
        killer = next((job for job in jobs if job.fate is Fate.POISON), None)
        return cls(
            options=options,
            form=form,
            jobs=jobs,
            faults=draw_faults(options.seed, form, minutes=options.minutes, workers=options.workers),
            poison=tuple(
                sorted(
                    [*draw_poison(options.seed, options.jobs), *draw_hostile(options.seed, options.jobs, jobs)],
                    key=lambda one: one.at,
                )
            ),
            rules=rules_for(form, killer_mark=killer.mark if killer else None),
            budgets=_budgets(jobs, form, load_s=60 * options.minutes) | _budgets_beside(beside, form),
            neighbours=beside,
        )

    @property
    def load_s(self) -> float:
        """How long jobs are handed over and faults are committed."""
        return 60 * self.options.minutes

    @property
    def phases(self) -> Phases:
        """What is judged when."""
        return Phases(self.form.calm_s, self.form.beside_s, self.load_s)

    @property
    def neighbours_rules(self) -> tuple[Rule, ...]:
        """What the CRM does to neighbours, from the moment when they move in; quiet instances are spared."""
        rules = [*rules_of(self.neighbours, self.phases, call_s=self.form.call_s), *spare(QUIET)]
        return tuple(Rule(name, given) for name, given in rules)

    @property
    def digest(self) -> str:
        """Tells one plan from another in a few letters."""
        parts: tuple[object, ...] = (
            self.options,
            self.form,
            self.jobs,
            self.faults,
            self.poison,
            self.rules,
            sorted(self.budgets.items()),
        )
        parts += (self.neighbours,)
        return hashlib.sha256(repr(parts).encode()).hexdigest()[:12]

    @property
    def killer(self) -> PlannedJob | None:
        """The job that takes its workers down, where there is one."""
        return next((job for job in self.jobs if job.fate is Fate.POISON), None)


def _budgets(jobs: tuple[PlannedJob, ...], form: Form, *, load_s: float) -> dict[str, Allowance]:
    counts = Counter(job.instance for job in jobs)
    found = {}
    for instance in INSTANCES:
        room = TIGHT_ROOM if instance == TIGHT else ROOM
        need = counts[instance] * REQUESTS_PER_JOB * form.window_s / load_s
        found[instance] = Allowance(max(LEAST_REQUESTS, ceil(need * room)), form.window_s)
    return found


def _budgets_beside(neighbours: tuple[Neighbour, ...], form: Form) -> dict[str, Allowance]:
    if not neighbours:
        return {}
    quiet = ceil(form.quiet_per_s / len(QUIET) * form.window_s * QUIET_ROOM)
    found = {name: Allowance(quiet, form.window_s, 2 * IN_FLIGHT) for name in QUIET}
    for one in neighbours:
        found[one.instance] = Allowance(ceil(one.requests * form.window_s / 60), form.window_s, one.in_flight)
    return found
