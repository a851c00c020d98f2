"""Wrong settings: one clear line each, and no secret in any."""

from pathlib import Path

import pytest

from oppsync_worker.instances import DEFAULT_BASE_URL, InstanceSettings
from oppsync_worker.settings import Settings, SettingsError, fingerprint

ONE = {"SPRINTHUB_INSTANCE": "acme", "SPRINTHUB_API_TOKEN": "s3cr3t-token"}


def test_one_instance_from_two_variables() -> None:
    """The careful defaults of an undocumented limit."""
    acme = Settings.from_environ(ONE).instances["acme"]

    assert acme.base_url == DEFAULT_BASE_URL
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
