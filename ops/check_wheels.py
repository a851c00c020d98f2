"""Whether every pinned package has a wheel for every CPython and platform that is supported.

    .venv/bin/python ops/check_wheels.py [3.14 ...]

Asks the package index through pip, and installs nothing. Prints a line for each CPython and platform; exit code 1 when
a wheel is missing, with the names. A package that is left out somewhere says so by its marker in `ops/constraints.txt`.
"""

import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from packaging.requirements import Requirement

CONSTRAINTS: Final = Path(__file__).resolve().parent / "constraints.txt"
PYTHONS: Final = ("3.11", "3.12", "3.13", "3.14")
PLATFORMS: Final = {
    # What a wheel may be built for, the newest first, and what markers are told.
    "Linux x86_64": (
        ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64", "manylinux_2_5_x86_64"),
        {"sys_platform": "linux", "platform_system": "Linux", "platform_machine": "x86_64"},
    ),
    "Linux aarch64": (
        ("manylinux_2_28_aarch64", "manylinux_2_17_aarch64", "manylinux2014_aarch64"),
        {"sys_platform": "linux", "platform_system": "Linux", "platform_machine": "aarch64"},
    ),
    "macOS arm64": (
        tuple(f"macosx_{release}_0_{machine}" for release in (14, 13, 12, 11) for machine in ("arm64", "universal2")),
        {"sys_platform": "darwin", "platform_system": "Darwin", "platform_machine": "arm64"},
    ),
}


def pinned(python: str, facts: dict[str, str]) -> list[str]:
    """What is to be installed there."""
    lines = [line.partition("#")[0].strip() for line in CONSTRAINTS.read_text("utf-8").splitlines()]
    there = {**facts, "python_version": python, "python_full_version": f"{python}.0", "os_name": "posix"}
    wanted = [Requirement(line) for line in lines if line]
    return [f"{one.name}{one.specifier}" for one in wanted if one.marker is None or one.marker.evaluate(there)]


def without_wheel(python: str, platforms: Sequence[str], packages: Sequence[str]) -> list[str]:
    """Those of the packages that have none. pip stops at the first, so it is asked again without it."""
    missing: list[str] = []
    while True:
        left = [package for package in packages if package not in missing]
        with TemporaryDirectory() as folder:
            done = subprocess.run(
                [
                    *(sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"),
                    *("--dry-run", "--ignore-installed", "--no-deps", "--only-binary=:all:", "--target", folder),
                    *("--implementation", "cp", "--python-version", python),
                    *("--abi", f"cp{python.replace('.', '')}", "--abi", "abi3", "--abi", "none"),
                    *(word for platform in platforms for word in ("--platform", platform)),
                    *left,
                ],
                capture_output=True,
                text=True,
                check=False,
            )
        if done.returncode == 0:
            return missing
        named = re.search(r"No matching distribution found for (\S+)", done.stderr)
        if named is None or named[1] not in left:
            raise SystemExit(f"pip could not be asked: {done.stderr.strip()[-500:]}")
        missing.append(named[1])


def main(pythons: Sequence[str]) -> int:
    """Print the table."""
    bad = 0
    for python in pythons:
        for name, (platforms, facts) in PLATFORMS.items():
            packages = pinned(python, facts)
            missing = without_wheel(python, platforms, packages)
            bad += len(missing)
            told = f"without a wheel: {', '.join(missing)}" if missing else "all there"
            print(f"CPython {python}  {name:14} {len(packages)} packages, {told}", flush=True)
    return 1 if bad else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:] or PYTHONS))
