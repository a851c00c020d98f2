"""Arrows point down. import-linter holds the floors; these hold what it cannot see."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = [ROOT / "producers" / "oppsync", ROOT / "worker" / "oppsync_worker", ROOT / "ops" / "oppsync_ops"]
CEILING = 300


def files() -> Iterator[Path]:
    """All Python files of the distribution."""
    for source in SOURCES:
        yield from source.rglob("*.py")


def test_the_floors_hold() -> None:
    """`lint-imports` as a developer runs it."""
    done = subprocess.run(
        [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", sorted(files()), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_is_small_and_says_what_it_is(path: Path) -> None:
    """At most 300 lines; a docstring at its head."""
    text = path.read_text("utf-8")

    assert len(text.splitlines()) <= CEILING
    assert ast.get_docstring(ast.parse(text)), "no docstring"


def test_the_median_file_is_about_a_hundred_lines() -> None:
    """Small, nameable files."""
    sizes = sorted(len(path.read_text("utf-8").splitlines()) for path in files())

    assert sizes[len(sizes) // 2] <= 120


def test_no_drawers() -> None:
    """A module is named after what it holds."""
    forbidden = {"utils", "util", "common", "helpers", "helper", "base", "misc"}

    assert not [path for path in files() if path.stem in forbidden]


def test_httpx_lives_in_crm_only() -> None:
    """One retry layer, one place that knows HTTP."""
    worker = ROOT / "worker" / "oppsync_worker"
    importers = {
        path.relative_to(worker).parts[0]
        for path in worker.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Import | ast.ImportFrom)
        and any((name or "").split(".")[0] in {"httpx", "aiohttp", "httpx_aiohttp"} for name in _names(node))
    }

    assert importers == {"crm"}


def _names(node: ast.Import | ast.ImportFrom) -> list[str | None]:
    return [node.module] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
