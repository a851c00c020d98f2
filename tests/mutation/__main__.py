"""The command: draw mutants, try them, tell who survived."""

import argparse
import json
import queue
import random
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, TextIO

import mutation
from mutation.mutant import Mutant
from mutation.sandbox import Sandbox
from mutation.targets import ROOT, Target, judged, targets

NOTICED, SURVIVED, JUDGED = "noticed", "survived", "judged"
UNNOTICED: Final = {0, 5}
"""Exit codes of a run in which nothing failed, or nothing was tested. With any other a test failed, a module could not
be imported, or the fault took the whole run with it."""


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one mutant."""

    target: str
    mutant: Mutant
    end: str
    said: str
    seconds: float


def arguments() -> argparse.ArgumentParser:
    """What the command understands."""
    parser = argparse.ArgumentParser(
        prog="ops/mutate", description=mutation.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--target", action="append", metavar="NAME", help="only this part; may be given again")
    parser.add_argument("--file", action="append", metavar="PATH", help="only mutants of this file; may be given again")
    parser.add_argument("--changed", metavar="REV", help="only mutants on lines that have changed since this revision")
    parser.add_argument("--only", action="append", metavar="ID", help="only this mutant; may be given again")
    parser.add_argument(
        "--sample", type=int, metavar="N", help="draw so many of each target; without it, all are tried"
    )
    parser.add_argument("--seed", type=int, default=1, help="of the draw (default: 1)")
    parser.add_argument(
        "--stages", type=int, metavar="N", help="ask only the first N stages of tests: quicker, and harder"
    )
    parser.add_argument("--jobs", type=int, default=2, metavar="N", help="how many at once (default: 2)")
    parser.add_argument("--report", type=Path, metavar="FILE", help="a line of JSON for each mutant")
    parser.add_argument("--at-least", type=float, default=95.0, metavar="PERCENT", help="noticed, or exit code 1 (95)")
    parser.add_argument("--list", action="store_true", help="show the mutants, and try none")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Exit code 0 when enough were noticed, 1 when not, 2 for a wrong use or tests that fail without any mutant."""
    given = arguments().parse_args(argv)
    known = targets()
    unknown = [name for name in given.target or [] if name not in known]
    if unknown:
        sys.stderr.write(f"There is no target {unknown[0]!r}; there are {', '.join(known)}.\n")
        return 2
    known = {name: replace(one, stages=one.stages[: given.stages]) for name, one in known.items()}
    chosen = [known[name] for name in given.target or known]
    drawn = {one.name: draw(one, given) for one in chosen}
    drawn = {name: some for name, some in drawn.items() if some}
    if given.list:
        for name, some in drawn.items():
            print(f"{name}: {len(some)} mutants")
            for one in some:
                print(f"  {one}")
        return 0
    if not drawn:
        print("Nothing to mutate: 0 mutants.")
        return 0
    work = [(known[name], one) for name, some in drawn.items() for one in some]
    with tempfile.TemporaryDirectory(prefix="oppsync-mutants-") as folder:
        boxes = [Sandbox(ROOT, Path(folder) / str(number)) for number in range(min(given.jobs, len(work)))]
        limits = {}
        for name in drawn:
            for stage in known[name].stages:
                began = time.monotonic()
                code, said = boxes[0].test(stage, within_s=900, bytecode=True)
                if code != 0:
                    sys.stderr.write(f"Without any mutant, these tests fail: {' '.join(stage)}\n{said}\n")
                    return 2
                limits[stage] = 30 + 4 * (time.monotonic() - began)
        with given.report.open("w") if given.report else open("/dev/null", "w") as report:  # noqa: PTH123
            results = list(tried(work, boxes, limits, report))
        for box in boxes:
            box.close()
    return told(results, at_least=given.at_least)


def draw(target: Target, given: argparse.Namespace) -> list[Mutant]:
    """The mutants of a target that are to be tried."""
    found: Iterable[Mutant] = target.mutants()
    if given.file:
        found = (one for one in found if one.path in given.file)
    if given.only:
        found = (one for one in found if one.name in given.only)
    if given.changed:
        lines = changed_lines(given.changed)
        found = (one for one in found if one.line in lines.get(one.path, ()))
    every = list(found)
    if given.sample is None or given.sample >= len(every):
        return every
    return sorted(random.Random(given.seed).sample(every, given.sample), key=lambda one: (one.path, one.start))


def changed_lines(revision: str) -> dict[str, set[int]]:
    """Lines that are new or other since a revision, by file."""
    command = ["git", "-C", str(ROOT), "diff", "--unified=0", "--no-color", "--no-ext-diff", revision]
    shown = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    found: dict[str, set[int]] = {}
    path = ""
    for line in shown.splitlines():
        if line.startswith("+++ b/"):
            path = line.removeprefix("+++ b/")
        elif hunk := re.match(r"@@ -\S+ \+(\d+)(?:,(\d+))? @@", line):
            first, count = int(hunk[1]), int(hunk[2] or 1)
            found.setdefault(path, set()).update(range(first, first + count))
    return found


def tried(
    work: list[tuple[Target, Mutant]], boxes: list[Sandbox], limits: dict[tuple[str, ...], float], report: TextIO
) -> Iterable[Result]:
    """Try them all, several at once; a line for each."""
    reasons = judged()
    todo: queue.SimpleQueue[tuple[Target, Mutant]] = queue.SimpleQueue()
    done: queue.SimpleQueue[Result | BaseException] = queue.SimpleQueue()
    for one in work:
        todo.put(one)

    def keep_trying(box: Sandbox) -> None:
        try:
            while True:
                target, mutant = todo.get_nowait()
                done.put(attempt(target, mutant, box, limits, reasons))
        except queue.Empty:
            return
        except BaseException as error:  # noqa: BLE001 - whoever waits for results must hear of it
            done.put(error)

    for box in boxes:
        threading.Thread(target=keep_trying, args=(box,), daemon=True).start()
    for number in range(1, len(work) + 1):
        result = done.get()
        if isinstance(result, BaseException):
            raise result
        mutant = result.mutant
        print(f"[{number}/{len(work)}] {result.end:8} {result.seconds:5.1f} s  {mutant}", flush=True)
        facts = {"target": result.target, "id": mutant.name, "path": mutant.path, "line": mutant.line}
        facts |= {"what": mutant.what, "before": mutant.before, "after": mutant.after}
        report.write(json.dumps({**facts, "end": result.end, "said": result.said}) + "\n")
        report.flush()
        yield result


def attempt(
    target: Target,
    mutant: Mutant,
    box: Sandbox,
    limits: dict[tuple[str, ...], float],
    reasons: dict[str, str],
) -> Result:
    """Put one fault in, and ask the tests, stage by stage."""
    began = time.monotonic()
    if mutant.name in reasons:
        return Result(target.name, mutant, JUDGED, reasons[mutant.name], 0.0)
    box.put(mutant)
    try:
        for stage in target.stages:
            code, said = box.test(stage, within_s=limits[stage])
            if code not in UNNOTICED:
                return Result(target.name, mutant, NOTICED, said, time.monotonic() - began)
    finally:
        box.take_back(mutant, ROOT)
    return Result(target.name, mutant, SURVIVED, "", time.monotonic() - began)


def told(results: list[Result], *, at_least: float) -> int:
    """The table, and who survived unjudged."""
    survivors = [one for one in results if one.end == SURVIVED]
    if survivors:
        print("\nNo test noticed these:")
        for one in survivors:
            print(f"  {one.mutant}")
    print(
        f"\n{'target':16} {'mutants':>8} {'noticed':>8} {'judged':>8} {'survived':>9} {'noticed of those unjudged':>26}"
    )
    enough = True
    for name in [*dict.fromkeys(one.target for one in results), "all"]:
        some = [one for one in results if name in {one.target, "all"}]
        count = {end: sum(one.end == end for one in some) for end in (NOTICED, JUDGED, SURVIVED)}
        share = 100 * count[NOTICED] / max(1, count[NOTICED] + count[SURVIVED])
        enough = enough and (name == "all" or share >= at_least)
        print(f"{name:16} {len(some):8} {count[NOTICED]:8} {count[JUDGED]:8} {count[SURVIVED]:9} {share:25.1f}%")
    return 0 if enough else 1


if __name__ == "__main__":
    raise SystemExit(main())
