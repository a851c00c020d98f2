"""The distribution as other people install it."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from this tree with what is installed already."""
    out = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [
            sys.executable,
            "-m",
            "build",
            "--wheel",
            "--no-isolation",
            "--skip-dependency-check",
            "--outdir",
            str(out),
            str(ROOT),
        ],
        check=True,
        capture_output=True,
    )
    (built,) = out.glob("*.whl")
    return built


def test_the_wheel_has_three_packages_and_their_scripts(wheel: Path) -> None:
    """Lua files and type marks included; no tests, no `worker` or `producers` at the top."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()

    tops = {name.split("/")[0] for name in names if ".dist-info" not in name}
    assert tops == {"oppsync", "oppsync_worker", "oppsync_ops"}
    assert "oppsync_worker/ledger/lua/life.lua" in names
    assert {"oppsync/py.typed", "oppsync_worker/py.typed"} <= set(names)


def test_the_light_install_needs_redis_and_pydantic_only(wheel: Path) -> None:
    """Everything else is an extra."""
    with zipfile.ZipFile(wheel) as archive:
        (metadata,) = [name for name in archive.namelist() if name.endswith("METADATA")]
        lines = archive.read(metadata).decode().splitlines()

    needed = [line for line in lines if line.startswith("Requires-Dist:") and "extra ==" not in line]
    assert sorted(line.split()[1].split(">")[0] for line in needed) == ["pydantic", "redis"]


def test_an_app_with_a_worker_module_of_its_own_can_enqueue(wheel: Path, tmp_path: Path, redis_url: str) -> None:
    """From the wheel, in a process in which nothing but redis and pydantic can be imported besides."""
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    (tmp_path / "worker.py").write_text("NAME = 'the app has a worker of its own'\n", "utf-8")
    (tmp_path / "app.py").write_text(
        "import sys\n"
        "class Refuse:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in ('celery', 'kombu', 'httpx', 'aiohttp', 'sentry_sdk', 'oppsync_ops'):\n"
        "            raise ImportError(name)\n"
        "sys.meta_path.insert(0, Refuse())\n"
        "import worker\n"
        "from oppsync import CreateOpportunity, JobClient, State\n"
        "import oppsync; assert oppsync.__file__.startswith(sys.argv[2]), oppsync.__file__\n"
        "with JobClient(sys.argv[1]) as client:\n"
        "    job_id = client.enqueue(CreateOpportunity(instance='acme', funnel_id=7, title='T', crm_column=130))\n"
        "    print(worker.NAME, client.outcome(job_id).state)\n",
        "utf-8",
    )

    done = subprocess.run(
        [sys.executable, "app.py", redis_url, str(site)],
        cwd=tmp_path,
        env={"PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "the app has a worker of its own queued"


def test_importing_costs_next_to_nothing() -> None:
    """No Celery, httpx or Sentry; and below 150 ms on top of a bare interpreter."""
    probe = (
        "import sys, time; started = time.perf_counter(); import oppsync; took = time.perf_counter() - started;"
        "from oppsync import JobClient, CreateOpportunity;"
        "print(took, sorted({'celery', 'kombu', 'httpx', 'aiohttp', 'sentry_sdk'} & set(sys.modules)))"
    )

    answers = [
        subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True).stdout.split(
            maxsplit=1
        )
        for _ in range(3)
    ]

    assert {loaded.strip() for _, loaded in answers} == {"[]"}
    assert min(float(took) for took, _ in answers) < 0.15
