"""What is mutated, and which tests should notice, the quickest first."""

import tomllib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from mutation.lua import mutants_of_lua
from mutation.mutant import Mutant
from mutation.python import mutants_of_python

FOLDER: Final = Path(__file__).parent
ROOT: Final = FOLDER.parents[1]


@dataclass(frozen=True, slots=True)
class Target:
    """A part of the sources."""

    name: str
    files: tuple[str, ...]
    """Globs, relative to the checkout."""
    stages: tuple[tuple[str, ...], ...]
    """Tests that are run one stage after the other, until one of them notices."""

    def paths(self) -> list[str]:
        """The files that there are, `__init__` left out."""
        found = {one.relative_to(ROOT).as_posix() for glob in self.files for one in ROOT.glob(glob)}
        return sorted(path for path in found if not path.endswith("__init__.py"))

    def mutants(self) -> Iterator[Mutant]:
        """All of them, file by file."""
        for path in self.paths():
            yield from mutants_of(path)


def mutants_of(path: str) -> Iterator[Mutant]:
    """All mutants of a file."""
    text = (ROOT / path).read_text("utf-8")
    drawn = (mutants_of_lua if path.endswith(".lua") else mutants_of_python)(path, text)
    names: Counter[str] = Counter()
    for one in dict.fromkeys(drawn):
        # The same fault in a line that stands in the file more than once.
        names[one.name] += 1
        yield one if names[one.name] == 1 else replace(one, nth=names[one.name])


def targets() -> dict[str, Target]:
    """By name, as `targets.toml` has them."""
    given = tomllib.loads((FOLDER / "targets.toml").read_text("utf-8"))
    return {
        name: Target(name, tuple(one["files"]), tuple(tuple(stage) for stage in one["stages"]))
        for name, one in given.items()
    }


def judged() -> dict[str, str]:
    """Names of mutants that no test can or need notice, and why: `judged.toml`."""
    given = tomllib.loads((FOLDER / "judged.toml").read_text("utf-8"))
    return {name: why for why, names in given.get("survive", {}).items() for name in names}
