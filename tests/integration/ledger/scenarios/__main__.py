"""Tells all cases anew: `PYTHONPATH=tests .venv/bin/python -m integration.ledger.scenarios`; then read the difference.

With `--mutants [EVERY [NAME ...]]`, such as `--mutants 4 settle`, it puts one fault at a time into the scripts instead,
and says which of them no case tells of: the same as `bash ops/mutate` (each, or each fourth), many times as quick.
"""

import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Final

import redis

from integration.ledger.scenarios.cases import CHAPTERS, FOLDER, Case, cases, golden
from integration.ledger.scenarios.world import World, compose
from mutation.mutant import Mutant
from mutation.targets import ROOT, judged, mutants_of
from oppsync_ops import redis_server
from oppsync_worker.ledger.assembly import Script

LUA: Final = "worker/oppsync_worker/ledger/lua"
SAYS = sys.stdout.write


@contextmanager
def _server() -> Iterator[redis.Redis]:
    with (
        tempfile.TemporaryDirectory() as folder,
        redis_server.running(Path(folder)) as server,
        redis.Redis.from_url(server.url, socket_timeout=3, retry=None) as client,
    ):
        client.config_set("appendonly", "no")
        yield client


def tell() -> int:
    """Write all that is told; 1, and nothing is written, when a case could not be played to its end."""
    failed = 0
    found: dict[str, str] = {}
    with _server() as client:
        for name, case in cases().items():
            world = World(client)
            try:
                case(world)
            except Exception:  # noqa: BLE001 - all that fail are named at once
                SAYS(f"{name}\n{traceback.format_exc()}\n")
                failed = 1
            chapter, _, title = name.partition("/")
            found.setdefault(chapter, f"What {chapter} tells.\n")
            found[chapter] += "\n".join([f"\n=== {title}", f"# {(case.__doc__ or '').strip()}", *world.lines, ""])
    if failed:
        return failed
    for chapter, text in found.items():
        (FOLDER / f"{chapter}.txt").write_text(text, "utf-8")
    return failed


class Trial:
    """Mutants of the scripts, and the cases that may tell of them."""

    def __init__(self) -> None:
        """Plays each case once, to see which files it is about."""
        self.cases = cases()
        self.told = {f"{part}/{name}": text for part in CHAPTERS for name, text in golden(part).items()}
        self.about: dict[str, list[str]] = {}
        with _server() as client:
            for name in sorted(self.cases, key=lambda name: len(self.told[name])):
                for part in self._parts(client, self.cases[name]):
                    self.about.setdefault(part, []).append(name)

    def _parts(self, client: redis.Redis, case: Case) -> set[str]:
        parts: set[str] = set()

        def keep(part: str, text: str) -> str:
            parts.add(part)
            return text

        world = World(client)
        case(world)
        for script in world.scripts:
            compose(script, keep)
        return parts

    def of(self, stem: str, every_nth: int) -> Counter[str]:
        """Try some or all mutants of a file; those that no case tells of are said at once."""
        known, count, names = judged(), Counter[str](), self.about.get(stem, [])
        mutants = list(islice(mutants_of(f"{LUA}/{stem}.lua"), 0, None, every_nth))
        while mutants:
            with _server() as client:
                while mutants:
                    mutant = mutants.pop(0)
                    if mutant.name in known:
                        count["judged"] += 1
                        continue
                    try:
                        by = self._noticed(client, mutant, stem, names)
                    except redis.TimeoutError:
                        # It never ends, and may have written something: only a new server helps.
                        count["noticed"] += 1
                        break
                    count["noticed" if by else "survived"] += 1
                    if by:
                        # Whoever has noticed one may notice its neighbour.
                        names.insert(0, names.pop(names.index(by)))
                    else:
                        SAYS(f"  {mutant}\n")
        return count

    def _noticed(self, client: redis.Redis, mutant: Mutant, stem: str, names: list[str]) -> str:
        """By which case."""
        scripts: dict[str, Script] = {}

        def mutated(name: str) -> Script:
            if name not in scripts:
                scripts[name] = compose(name, lambda part, text: mutant.apply(text) if part == stem else text)
            return scripts[name]

        for name in names:
            world = World(client, mutated)
            try:
                self.cases[name](world)
            except redis.TimeoutError:
                raise
            except Exception:  # noqa: BLE001 - whatever a mutant leads to
                return name
            if "\n".join(world.lines) != self.told[name].partition("\n")[2]:
                return name
        return ""


def mutate(every_nth: int, stems: list[str]) -> int:
    """The table; 1 when some survive."""
    trial, total = Trial(), Counter[str]()
    for stem in stems or sorted(path.stem for path in (ROOT / LUA).glob("*.lua")):
        count = trial.of(stem, every_nth)
        total += count
        SAYS(f"{stem:12} {count['noticed']:5} noticed {count['judged']:5} judged {count['survived']:5} survived\n")
        sys.stdout.flush()
    share = 100 * total["noticed"] / max(1, total["noticed"] + total["survived"])
    SAYS(f"all: {total['noticed']} noticed, {total['judged']} judged, {total['survived']} survived: {share:.1f} %\n")
    return 1 if total["survived"] else 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--mutants"]:
        raise SystemExit(mutate(int((sys.argv[2:] or ["1"])[0]), sys.argv[3:]))
    raise SystemExit(tell())
