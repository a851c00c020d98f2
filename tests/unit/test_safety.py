"""What a worker holds for unsafe, from what Redis and the settings say."""

import pytest
from pydantic import SecretStr

from oppsync_worker.instances import InstanceSettings
from oppsync_worker.ledger.durability import Answers, TooOld, require_version, weaknesses
from oppsync_worker.safety import unencrypted

GOOD = {"redis_version": "7.2.4", "aof_enabled": 1, "maxmemory_policy": "noeviction"}


@pytest.mark.parametrize(
    ("info", "fsync", "names"),
    [
        (GOOD, "always", []),
        ({**GOOD, "aof_enabled": 0}, "always", ["no_append_only_file"]),
        ({**GOOD, "aof_enabled": 0}, None, ["no_append_only_file"]),
        (GOOD, "everysec", ["append_fsync"]),
        (GOOD, "no", ["append_fsync"]),
        (GOOD, None, ["append_fsync_unknown"]),
        ({**GOOD, "maxmemory_policy": "allkeys-lru"}, "always", ["eviction"]),
        ({**GOOD, "maxmemory_policy": "volatile-ttl"}, "always", ["eviction"]),
        ({**GOOD, "aof_enabled": 0, "maxmemory_policy": "allkeys-lfu"}, None, ["no_append_only_file", "eviction"]),
        ({"redis_version": "7.2.4"}, "always", ["append_only_file_unknown", "eviction_unknown"]),
        (None, "always", ["durability_unknown"]),
        (None, None, ["durability_unknown"]),
    ],
)
def test_what_is_amiss_is_told(info: dict[str, object] | None, fsync: str | None, names: list[str]) -> None:
    """Each in one line: what, what it costs, what to do; what cannot be told is said to be so."""
    found = weaknesses(Answers(info, fsync))

    assert [one.name for one in found] == names
    for one in found:
        assert "\n" not in one.sentence
        assert one.sentence.count(";") >= 1, "what it costs or what to do is missing"
        assert ("cannot be told" in one.sentence) == one.name.endswith("_unknown") == (not one.known)


@pytest.mark.parametrize(
    ("rights", "names"),
    [("~* &* +@all", []), (None, []), ("-@all", ["default_user"]), ("~* &* +@all -flushall", ["default_user"])],
)
def test_a_default_user_without_rights_loses_everything_at_a_restart(rights: str | None, names: list[str]) -> None:
    """On a Redis that reads its append-only file with that user's rights."""
    assert [one.name for one in weaknesses(Answers(GOOD, "always", rights))] == names


@pytest.mark.parametrize("version", ["6.2.0", "6.2.14", "7.0.15", "8.2.3", "10.0.0", "", "unknown"])
def test_versions_that_work(version: str) -> None:
    """6.2 and newer; of a server that does not say, the scripts will tell."""
    require_version(Answers({"redis_version": version}, None))


@pytest.mark.parametrize("version", ["2.8.24", "4.0.14", "5.0.14", "6.0.20"])
def test_versions_that_do_not(version: str) -> None:
    """With both versions in the sentence."""
    with pytest.raises(TooOld, match=rf"Redis {version} is too old.*6\.2"):
        require_version(Answers({"redis_version": version}, None))


def instance(name: str, url: str) -> InstanceSettings:
    """One with an invented token."""
    return InstanceSettings(name=name, token=SecretStr("t"), base_url=url)


@pytest.mark.parametrize(
    "url",
    [
        "https://crm.example",
        "http://127.0.0.1:8080",
        "http://127.8.9.10",
        "http://[::1]:80",
        "http://localhost:8080",
        "http://LOCALHOST",
        "http://sim.localhost",
    ],
)
def test_what_does_not_leave_this_machine_in_plain_text(url: str) -> None:
    """Encrypted, or on loopback."""
    assert unencrypted([instance("acme", url)]) == []


@pytest.mark.parametrize(
    "url",
    ["http://crm.example", "http://10.0.0.1", "http://[2001:db8::1]/x", "http://localhost.example", "http://0.0.0.0"],
)
def test_what_does(url: str) -> None:
    """With the instance's name, and neither its token nor its address."""
    (found,) = unencrypted([instance("acme", url), instance("globex", "https://crm.example")])

    assert found.name == "unencrypted_crm"
    assert "the CRM of acme is called over http://" in found.sentence
    assert "globex" not in found.sentence


def test_many_are_not_all_named() -> None:
    """A line has an end."""
    (found,) = unencrypted(instance(f"i{number}", "http://crm.example") for number in range(1_000))

    assert "i0, i1, i10, i100, i101 and 995 more" in found.sentence
