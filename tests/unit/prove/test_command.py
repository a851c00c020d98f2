"""What a person sees before anything is started."""

import json
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from oppsync_ops.prove.command import prove


def planned(*arguments: str) -> Result:
    """The command, told to show its plan."""
    return CliRunner().invoke(prove, ["--plan", *arguments], standalone_mode=False)


def test_a_seed_shows_the_same_plan_every_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """And another seed another one."""
    one, again, other = (planned("--seed", seed) for seed in ("7", "7", "8"))
    # gzip writes the second in which it packs.
    monkeypatch.setattr("time.time", lambda: 1.0)
    much_later = planned("--seed", "7")

    assert one.return_value == 0
    assert one.stdout == much_later.stdout
    assert one.stdout == again.stdout != other.stdout
    assert "worker killed (SIGKILL)" in one.stdout
    assert "appendfsync always" in one.stdout


def test_without_a_seed_one_is_drawn_and_told() -> None:
    """Or nobody could repeat what was found."""
    first, second = (json.loads(planned("--json").stdout) for _ in range(2))

    assert first["seed"] != second["seed"]
    assert first["digest"] != second["digest"]


def test_what_is_missing_is_told() -> None:
    """Marker and lead ids are needed for the zeros."""
    settings = json.loads(planned("--json", "--without", "marker", "--without", "lead").stdout)["settings"]

    assert settings["marker_field"] == "none"
    assert settings["lead_id"] == "in none"
    assert settings["reconcile.on_probably_absent"] == "operator"


def test_more_minutes_take_the_product_s_own_lease() -> None:
    """And a job that takes its workers down."""
    short, long = (json.loads(planned("--json", "--minutes", minutes).stdout) for minutes in ("4.9", "5"))

    assert (short["form"], long["form"]) == ("short", "long")
    assert long["planned_jobs"] == short["planned_jobs"] + 2


def test_too_little_is_refused() -> None:
    """With the option named."""
    refused = planned("--workers", "1")

    assert isinstance(refused.exception, click.BadParameter)
    assert refused.exception.param is not None
    assert refused.exception.param.name == "workers"


@pytest.mark.parametrize("proof", ["--flood", "--failover"])
def test_a_proof_of_its_own_has_a_plan_of_its_own(proof: str) -> None:
    """With its settings, and nothing is started."""
    done = planned(proof, "--seed", "3", "--json")

    assert done.return_value == 0
    assert json.loads(done.stdout)["seed"] == 3
    assert json.loads(done.stdout)["settings"]["lease_seconds"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("--flood", "--failover"),
        ("--flood", "--against", "stock"),
        ("--failover", "--without", "marker"),
        ("--flood", "--minutes", "3"),
        ("--kills", "3"),
        ("--wait-replicas", "1"),
        ("--jobs", "200000"),
    ],
)
def test_what_does_not_go_together_is_refused(arguments: tuple[str, ...]) -> None:
    """Instead of being passed over."""
    assert isinstance(planned(*arguments).exception, click.UsageError)


def test_neighbours_can_be_left_out() -> None:
    """For a quick look; the plan says so."""
    beside, alone = (json.loads(planned("--json", *flags).stdout) for flags in ((), ("--alone",)))

    assert len(beside["neighbours"]) == 6
    assert alone["neighbours"] == []
    assert set(alone["budgets"]) < set(beside["budgets"])


def test_a_report_that_cannot_be_written_is_told_before_anything_is_started(tmp_path: Path) -> None:
    """Not after twenty minutes."""
    refused = CliRunner().invoke(prove, ["--report", str(tmp_path / "no" / "report.json")], standalone_mode=False)

    assert isinstance(refused.exception, FileNotFoundError)
    assert "to repeat" not in refused.output
