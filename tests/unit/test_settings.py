"""Wrong settings: one clear line each, and no secret in any."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from oppsync_worker import settings as settings_module
from oppsync_worker.instances import (
    DEFAULT_BASE_URL,
    BreakerSettings,
    BudgetSettings,
    InstanceSettings,
    OrderSettings,
    ReconcileSettings,
    RetrySettings,
)
from oppsync_worker.settings import Settings, SettingsError, fingerprint

ONE = {"SPRINTHUB_INSTANCE": "acme", "SPRINTHUB_API_TOKEN": "s3cr3t-token"}


def test_one_instance_from_two_variables() -> None:
    """The careful defaults of an undocumented limit."""
    acme = Settings.from_environ(ONE).instances["acme"]

    assert acme.base_url == DEFAULT_BASE_URL == "https://sprinthub-api-master.sprinthub.app"
    assert (acme.budget.requests, acme.budget.window_seconds, acme.budget.concurrency) == (45, 60, 2)


def test_many_instances_from_a_file(tmp_path: Path) -> None:
    """A table each; what a table leaves out comes from the variable, then from the default."""
    file = tmp_path / "instances.toml"
    file.write_text('[acme]\ntoken = "a"\n[globex]\ntoken = "b"\nbase_url = "http://127.0.0.1:1"\n', "utf-8")

    found = Settings.from_environ(
        {"SPRINTHUB_INSTANCES_FILE": str(file), "SPRINTHUB_BASE_URL": "http://127.0.0.1:2"}
    ).instances

    assert found["acme"].base_url == "http://127.0.0.1:2"
    assert found["globex"].base_url == "http://127.0.0.1:1"


@pytest.mark.parametrize(
    ("environ", "says"),
    [
        ({}, "no SprintHub instance is set"),
        ({"SPRINTHUB_INSTANCE": "acme"}, "SPRINTHUB_API_TOKEN is not set"),
        ({"SPRINTHUB_API_TOKEN": "x"}, "SPRINTHUB_INSTANCE is not set"),
        ({**ONE, "SPRINTHUB_INSTANCE": "a b"}, "SPRINTHUB_INSTANCE name: is not of the expected form"),
        ({**ONE, "SPRINTHUB_API_TOKEN": "s3cr3t-token\n"}, "SPRINTHUB_INSTANCE token: must be printable ASCII"),
        ({**ONE, "SPRINTHUB_BASE_URL": "http://a:s3cr3t@h"}, "base_url (SPRINTHUB_BASE_URL): is not of the expected"),
        ({**ONE, "SPRINTHUB_BASE_URL": "sprinthub.app"}, "base_url (SPRINTHUB_BASE_URL): is not of the expected form"),
        ({**ONE, "OPPSYNC_CONCURRENCY": "many"}, "OPPSYNC_CONCURRENCY: must be a valid integer"),
        ({**ONE, "OPPSYNC_CONCURRENCY": "0"}, "OPPSYNC_CONCURRENCY: must be greater than or equal to 1"),
        ({**ONE, "OPPSYNC_LOG": "xml"}, "OPPSYNC_LOG: must be 'auto', 'json' or 'text'"),
        ({**ONE, "OPPSYNC_LEASE_SECONDS": "-1"}, "OPPSYNC_LEASE_SECONDS: must be greater than or equal to 1"),
        ({**ONE, "OPPSYNC_OUTCOME_DAYS": "0.00001"}, "OPPSYNC_OUTCOME_DAYS: must be at least 0.042, which is one hour"),
        ({**ONE, "OPPSYNC_OUTCOME_DAYS": "nan"}, "OPPSYNC_OUTCOME_DAYS: must be"),
        ({**ONE, "OPPSYNC_WAIT_REPLICAS": "-1"}, "OPPSYNC_WAIT_REPLICAS: must be greater than or equal to 0"),
        ({**ONE, "OPPSYNC_WAIT_MS": "60000"}, "OPPSYNC_WAIT_MS: must be less than or equal to 4000"),
        ({"SPRINTHUB_INSTANCES_FILE": "nowhere.toml"}, "cannot read nowhere.toml: No such file"),
    ],
)
def test_a_wrong_setting_is_named(environ: dict[str, str], says: str) -> None:
    """By its variable."""
    with pytest.raises(SettingsError) as wrong:
        Settings.from_environ(environ)

    assert any(says in problem for problem in wrong.value.problems)
    assert "s3cr3t" not in str(wrong.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[acme", "is not TOML"),
        ('token = "s3cr3t"', "token stands outside of any table"),
        ("[acme]", "[acme] token: is missing"),
        ('[acme]\ntoken = "s3cr3t"\ncolour = 1', "[acme] colour: is not a setting of an instance"),
        ('[acme]\ntoken = "s3cr3t"\n[acme.budget]\nrequests = -1', "[acme] budget.requests: must be greater than"),
        ('[acme]\ntoken = "s3cr3t"\ncall_seconds = 4', "[acme] : call_seconds must be more than connect_seconds"),
        ('[acme]\ntoken = "s3cr3t"\nvalue_as = "text"', "[acme] value_as: must be 'number' or 'string'"),
    ],
)
def test_a_wrong_table_is_named(tmp_path: Path, text: str, says: str) -> None:
    """By file, table and key."""
    file = tmp_path / "instances.toml"
    file.write_text(text, "utf-8")

    with pytest.raises(SettingsError) as wrong:
        Settings.from_environ({"SPRINTHUB_INSTANCES_FILE": str(file)})

    assert any(says in problem for problem in wrong.value.problems)
    assert "s3cr3t" not in str(wrong.value)


def test_a_fingerprint_tells_credentials_apart_without_telling_them() -> None:
    """Another token, another fingerprint."""
    one, other = (InstanceSettings(name="acme", token=token) for token in ("a-token", "b-token"))

    assert fingerprint(one) != fingerprint(other)
    assert "token" not in fingerprint(one)


def test_settings_do_not_show_secrets() -> None:
    """However they are printed."""
    settings = Settings.from_environ({**ONE, "SENTRY_DSN": "https://s3cr3t@127.0.0.1/1"})

    assert "s3cr3t" not in f"{settings!r}{settings}"
    assert settings.secrets == ["s3cr3t-token", "https://s3cr3t@127.0.0.1/1"]


BOUNDS: list[tuple[type[BaseModel], str, Any, list[Any], list[Any]]] = [
    # table, setting, default, what may be set, what may not
    (BudgetSettings, "requests", 45, [0, 1_000_000], [-1, 1_000_001]),
    (BudgetSettings, "window_seconds", 60.0, [0.001, 86_400], [0, 0.000_9, -1, 86_401]),
    (BudgetSettings, "concurrency", 2, [0, 10_000], [-1, 10_001]),
    (BudgetSettings, "cool_down_seconds", 65.0, [0.001, 86_400], [0, 86_401]),
    (BudgetSettings, "max_pause_seconds", 900.0, [0.001, 86_400], [0, 86_401]),
    (BudgetSettings, "learned_min_share", 0.2, [0.001, 1], [0, 1.001]),
    (BudgetSettings, "learned_seconds", 3_600.0, [0.001, 86_400], [0, 86_401]),
    (RetrySettings, "max_attempts", 12, [1, 1_000], [0, 1_001]),
    (RetrySettings, "max_age_seconds", 86_400.0, [0.001, 30 * 86_400], [0, 30 * 86_400 + 1]),
    (RetrySettings, "first_delay_seconds", 2.0, [0.001, 86_400], [0, 86_401]),
    (RetrySettings, "max_delay_seconds", 900.0, [0.001, 86_400], [0, 86_401]),
    (RetrySettings, "max_refusals", 5, [1, 1_000], [0, 1_001]),
    (ReconcileSettings, "enabled", True, [False], ["perhaps"]),
    (ReconcileSettings, "probe_after_seconds", (5, 15, 45, 120, 300), [(1, 2), range(1, 21)], [(), (1,), range(1, 22)]),
    (ReconcileSettings, "column_pages", 20, [1, 1_000], [0, 1_001]),
    (ReconcileSettings, "on_probable", "operator", ["adopt"], ["resend"]),
    (ReconcileSettings, "on_absent", "resend", ["operator"], ["adopt"]),
    (ReconcileSettings, "on_probably_absent", "operator", ["resend"], ["adopt"]),
    (ReconcileSettings, "patience_seconds", 3_600.0, [0.001, 7 * 86_400], [0, 7 * 86_400 + 1]),
    (ReconcileSettings, "max_absences", 3, [1, 1_000], [0, 1_001]),
    (ReconcileSettings, "max_share", 0.25, [0.001, 0.5], [0, 0.501]),
    (BreakerSettings, "failures", 5, [0, 1_000], [-1, 1_001]),
    (BreakerSettings, "open_seconds", 10.0, [0.001, 86_400], [0, 86_401]),
    (BreakerSettings, "max_open_seconds", 300.0, [0.001, 86_400], [0, 86_401]),
    (OrderSettings, "after_dead", "go_on", ["wait"], ["stop"]),
    (OrderSettings, "settle_seconds", 60.0, [0, 86_400], [-1, 86_401]),
    (InstanceSettings, "bearer", None, ["b"], ["", "a b", "a\n", "ä"]),
    (InstanceSettings, "base_url", DEFAULT_BASE_URL, ["http://h/a"], ["ftp://h", "h", "https://h?x", "https://u@h"]),
    (InstanceSettings, "auth", "header", ["query"], ["body"]),
    (InstanceSettings, "value_as", "number", ["string"], ["text"]),
    (InstanceSettings, "sequence_as", "string", ["number"], ["text"]),
    (InstanceSettings, "marker_field", None, ["m", "m" * 200], ["", "m" * 201]),
    (InstanceSettings, "connect_seconds", 5.0, [0.001, 39.9], [0]),
    (InstanceSettings, "read_seconds", 30.0, [0.001, 86_400], [0, 86_401]),
    (InstanceSettings, "call_seconds", 40.0, [5.001, 80], [0, 81]),
    (Settings, "sentry_dsn", None, ["https://k@h/1"], []),
    (Settings, "sentry_environment", "production", ["staging"], []),
    (Settings, "concurrency", 200, [1, 5_000], [0, 5_001]),
    (Settings, "lease_seconds", 25.0, [1, 600], [0.9, 601]),
    (Settings, "max_crashes", 3, [0, 100], [-1, 101]),
    (Settings, "outcome_days", 7.0, [1 / 24, 3_650], [0.04, 3_651, float("nan")]),
    (Settings, "wait_replicas", 0, [0, 10], [-1, 11]),
    (Settings, "wait_ms", 1_000, [10, 4_000], [9, 4_001]),
    (Settings, "watchdog_seconds", 120.0, [0, 5, 86_400], [-1, 0.001, 4.9, 86_401]),
    (Settings, "health_dir", None, ["/tmp"], []),  # noqa: S108 - a name only
    (Settings, "sweep_seconds", 300.0, [0, 86_400], [-1, 86_401]),
    (Settings, "remote_control", "inspect", ["all", "off"], ["some"]),
    (Settings, "require_durable", False, [True], ["perhaps"]),
    (Settings, "log", "auto", ["json", "text"], ["xml"]),
    (Settings, "log_level", "INFO", ["DEBUG", "WARNING", "ERROR"], ["LOUD"]),
]
NEEDED: dict[type[BaseModel], dict[str, Any]] = {
    InstanceSettings: {"name": "acme", "token": "t"},
    Settings: {"instances": {}},
}


@pytest.mark.parametrize(("table", "name", "default", "good", "bad"), BOUNDS, ids=lambda one: str(one)[:40])
def test_a_setting_has_its_default_and_its_bounds(
    table: type[BaseModel], name: str, default: Any, good: list[Any], bad: list[Any]
) -> None:
    """What may be set, to the last figure, and what may not."""
    needed = NEEDED.get(table, {})
    assert getattr(table.model_validate(needed), name) == default
    for value in good:
        table.model_validate({**needed, name: value})
    for value in bad:
        with pytest.raises(ValidationError):
            table.model_validate({**needed, name: value})


def test_every_setting_is_in_that_list() -> None:
    """One more setting, one more line."""
    listed = {(table, name) for table, name, *_ in BOUNDS}
    tables = {table for table, _ in listed}
    others = {"name", "token", "instances", "budget", "retry", "reconcile", "breaker", "order"}

    assert {(table, name) for table in tables for name in table.model_fields if name not in others} == listed


VARIABLES = {
    "SENTRY_DSN": ("https://k@h/1", "sentry_dsn", "https://k@h/1"),
    "SENTRY_ENVIRONMENT": ("staging", "sentry_environment", "staging"),
    "OPPSYNC_CONCURRENCY": ("7", "concurrency", 7),
    "OPPSYNC_LEASE_SECONDS": ("1.5", "lease_seconds", 1.5),
    "OPPSYNC_MAX_CRASHES": ("9", "max_crashes", 9),
    "OPPSYNC_OUTCOME_DAYS": ("2.5", "outcome_days", 2.5),
    "OPPSYNC_WAIT_REPLICAS": ("2", "wait_replicas", 2),
    "OPPSYNC_WAIT_MS": ("70", "wait_ms", 70),
    "OPPSYNC_WATCHDOG_SECONDS": ("33", "watchdog_seconds", 33.0),
    "OPPSYNC_HEALTH_DIR": ("/run/oppsync", "health_dir", Path("/run/oppsync")),
    "OPPSYNC_SWEEP_SECONDS": ("44", "sweep_seconds", 44.0),
    "OPPSYNC_REMOTE_CONTROL": ("off", "remote_control", "off"),
    "OPPSYNC_REQUIRE_DURABLE": ("1", "require_durable", True),
    "OPPSYNC_LOG": ("json", "log", "json"),
    "OPPSYNC_LOG_LEVEL": ("ERROR", "log_level", "ERROR"),
}


@pytest.mark.parametrize("variable", VARIABLES)
def test_a_variable_is_the_setting_that_it_names(variable: str) -> None:
    """And an empty one says nothing."""
    text, name, value = VARIABLES[variable]
    found = getattr(Settings.from_environ({**ONE, variable: text}), name)

    assert (found.get_secret_value() if name == "sentry_dsn" else found) == value
    assert getattr(Settings.from_environ({**ONE, variable: ""}), name) == getattr(Settings(instances={}), name)


def test_every_variable_is_documented() -> None:
    """In the table that the module begins with."""
    assert all(variable in str(settings_module.__doc__) for variable in VARIABLES)


def test_a_wrong_variable_is_named_in_one_sentence() -> None:
    """As its own, with what it must be; each on a line, in the order of the settings."""
    with pytest.raises(SettingsError) as wrong:
        Settings.from_environ({**ONE, "OPPSYNC_WATCHDOG_SECONDS": "3", "OPPSYNC_CONCURRENCY": "0"})

    assert wrong.value.problems == (
        "OPPSYNC_CONCURRENCY: must be greater than or equal to 1",
        "OPPSYNC_WATCHDOG_SECONDS: must be 0, which is off, or at least 5",
    )
    assert str(wrong.value) == "\n".join(wrong.value.problems)


def test_everything_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    """Whoever mends one thing after the other restarts a worker for each."""
    file = tmp_path / "instances.toml"
    file.write_text('stray = 1\n[acme]\ntoken = "t"\nauth = "body"\n[globex.budget]\nrequests = 1\n', "utf-8")

    with pytest.raises(SettingsError) as wrong:
        Settings.from_environ({"SPRINTHUB_INSTANCES_FILE": str(file), "SPRINTHUB_INSTANCE": "umbrella"})

    assert wrong.value.problems == (
        f"{file}: stray stands outside of any table; one table per instance, as in [acme]",
        "SPRINTHUB_API_TOKEN is not set, but SPRINTHUB_INSTANCE is: set both, or neither",
        f"{file}: [acme] auth: must be 'header' or 'query'",
        f"{file}: [globex] token: is missing",
    )


def test_the_single_instance_stands_beside_those_of_the_file(tmp_path: Path) -> None:
    """With its own token."""
    file = tmp_path / "instances.toml"
    file.write_text('[globex]\ntoken = "b"\n', "utf-8")

    found = Settings.from_environ({**ONE, "SPRINTHUB_INSTANCES_FILE": str(file)}).instances

    assert {name: one.token.get_secret_value() for name, one in found.items()} == {
        "acme": "s3cr3t-token",
        "globex": "b",
    }
    assert all(one.name == name for name, one in found.items())


def test_a_file_that_is_not_utf_8_is_named(tmp_path: Path) -> None:
    """As such: the text's encoding does not depend on the machine."""
    file = tmp_path / "instances.toml"
    file.write_bytes('[acme]\ntoken = "t"\nmarker_field = "código"\n'.encode("latin-1"))

    with pytest.raises(SettingsError, match="is not UTF-8"):
        Settings.from_environ({"SPRINTHUB_INSTANCES_FILE": str(file)})
    file.write_text('[acme]\ntoken = "t"\nmarker_field = "código"\n', "utf-8")
    found = Settings.from_environ({"SPRINTHUB_INSTANCES_FILE": str(file)}).instances
    assert found["acme"].marker_field == "código"


@pytest.mark.parametrize("times", [(15, 5), (5, 5, 300), (300, 5, 15)])
def test_probes_come_ever_later(times: tuple[int, ...]) -> None:
    """The last is the settle window."""
    with pytest.raises(ValidationError, match="must grow"):
        ReconcileSettings(probe_after_seconds=times)


@pytest.mark.parametrize(("last", "good"), [(39.9, False), (40, True)])
def test_nothing_is_called_absent_while_its_call_may_last(last: float, good: bool) -> None:  # noqa: FBT001
    """Unless a person decides anyway."""
    probes = {"probe_after_seconds": (5, last)}
    if good:
        InstanceSettings.model_validate({**NEEDED[InstanceSettings], "reconcile": probes})
    else:
        with pytest.raises(ValidationError, match="must not be less than call_seconds"):
            InstanceSettings.model_validate({**NEEDED[InstanceSettings], "reconcile": probes})
    InstanceSettings.model_validate({**NEEDED[InstanceSettings], "reconcile": {**probes, "enabled": False}})


def test_a_call_outlasts_its_connecting() -> None:
    """Or a deadline that passes while connecting could not be told from one that passes while sending."""
    InstanceSettings(name="acme", token="t", connect_seconds=9, call_seconds=9.1)
    InstanceSettings(name="acme", token="t", connect_seconds=0.1, call_seconds=0.2)
    with pytest.raises(ValidationError, match="must be more than connect_seconds"):
        InstanceSettings(name="acme", token="t", connect_seconds=9, call_seconds=9)


def test_no_table_is_changed_later_or_tells_what_it_was_given() -> None:
    """A credential could be among it."""
    for table in (BudgetSettings, RetrySettings, ReconcileSettings, BreakerSettings, OrderSettings, InstanceSettings):
        assert table.model_config["frozen"]
        with pytest.raises(ValidationError) as wrong:
            table.model_validate({"token": "s3cr3t with spaces", "name": "acme", "s3cr3t": object()})
        assert "s3cr3t with" not in str(wrong.value)
    settings = Settings(instances={})
    with pytest.raises(ValidationError, match="frozen"):
        settings.concurrency = 1  # type: ignore[misc]
    with pytest.raises(ValidationError) as wrong:
        Settings.model_validate({"instances": {}, "concurrency": "s3cr3t"})
    assert "s3cr3t" not in str(wrong.value)


def test_outcomes_are_kept_in_seconds() -> None:
    """A day has 86,400."""
    assert Settings(instances={}, outcome_days=2.5).ttl_s == 216_000
    assert Settings(instances={}, outcome_days=1 / 24).ttl_s == 3_600


def test_a_fingerprint_stays_the_same() -> None:
    """12 hexadecimal digits, the same on every worker and after every upgrade: a hold is compared with it."""
    assert fingerprint(InstanceSettings(name="acme", token="a-token")) == "1f6076e3a47b"


def test_every_secret_is_known_to_those_who_hide_them(tmp_path: Path) -> None:
    """A bearer too."""
    file = tmp_path / "instances.toml"
    file.write_text('[acme]\ntoken = "t1"\nbearer = "b1"\n[globex]\ntoken = "t2"\n', "utf-8")

    assert Settings.from_environ({"SPRINTHUB_INSTANCES_FILE": str(file)}).secrets == ["t1", "b1", "t2"]
