"""The script that finds out which rights a user lacks: it names each, and changes nothing."""

from collections.abc import Callable, Iterator

import pytest
import redis

from integration.ledger.aborting import everything
from oppsync_worker.ledger import rights
from oppsync_worker.ledger.assembly import READS, UNLOGGED
from oppsync_worker.ledger.scripts import Call, run

COMMANDS = sorted(
    {*READS, *UNLOGGED, *rights.WRITES} | {word for some in rights.WRITES.values() for word in some.split()}
)
"""All that scripts use, and all that takes it back."""
KEYS = ("oppsync:job:*", "oppsync:job:rights-check", "opportunities.bulk", "opportunities.bulk")
CHANNELS = ("&celery-task-meta-*", "celery-task-meta-rights-check")
Some = Callable[..., redis.Redis]


def lacking(client: redis.Redis, *commands: str) -> list[str]:
    """What the script says."""
    found = run(client, Call("rights", (len(commands), *commands, *KEYS, *CHANNELS)))
    return [one.decode() for one in found]


@pytest.fixture
def whole(ledger: redis.Redis) -> Iterator[None]:
    """Nothing is changed, whatever is found out."""
    ledger.hset("oppsync:job:a", mapping={"state": "queued"})
    ledger.rpush("opportunities.bulk", "a")
    before = everything(ledger)
    yield
    assert everything(ledger) == before


@pytest.mark.usefixtures("whole")
def test_whoever_has_all_rights_lacks_none(with_rights: Some) -> None:
    """Of any role's commands."""
    everyone = {one for role in rights.ROLES.values() for one in rights.commands(role)}

    assert lacking(with_rights(), *COMMANDS) == []
    assert lacking(with_rights(), *sorted(everyone)) == []


@pytest.mark.usefixtures("whole")
@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_that_lacks_is_named(with_rights: Some, command: str) -> None:
    """And no other, wherever it stands; whoever is not asked for does not matter."""
    client = with_rights(f"-{command}")
    others = [one for one in COMMANDS if one != command]

    found = lacking(client, *COMMANDS)

    # Asking for another may need this one: to clean up, or to see whether a key may be used.
    said = {f"command {command}"}
    said |= {f"keys {pattern}" for pattern in KEYS[::2]} if command == "exists" else set()
    assert f"command {command}" in found
    assert set(found) == said
    assert len(found) == len(set(found))
    assert [one for one in lacking(client, *others) if one.startswith("command ")] == (
        ["command publish"] if command == "publish" else []
    )


@pytest.mark.usefixtures("whole")
@pytest.mark.parametrize("command", sorted({*READS, *rights.WRITES} - {"time", "publish"}))
def test_the_last_command_and_the_first_are_asked_for(with_rights: Some, command: str) -> None:
    """One alone, the first of some, the last of some."""
    client = with_rights(f"-{command}")

    for some in ((command,), (command, "time"), ("time", command)):
        assert f"command {command}" in lacking(client, *some)


@pytest.mark.usefixtures("whole")
def test_keys_that_may_not_be_used_are_named(with_rights: Some) -> None:
    """By their patterns, the last one too."""
    assert lacking(with_rights(keys="~oppsync:*"), "get") == ["keys opportunities.bulk"]
    assert lacking(with_rights(keys="~opportunities.bulk ~oppsync:job:raw-*"), "get") == ["keys oppsync:job:*"]


@pytest.mark.usefixtures("whole")
def test_channels_that_may_not_be_used_are_named(with_rights: Some) -> None:
    """And a missing command to publish is told as such."""
    assert lacking(with_rights(channels="&other"), "get") == ["channels celery-task-meta-*"]
    assert lacking(with_rights("-publish"), "get") == ["command publish"]


def test_what_is_tried_is_cleaned_up_where_that_is_permitted(ledger: redis.Redis, with_rights: Some) -> None:
    """Without the right to clean up it is not tried."""
    for clean, command in (("hdel", "hsetnx"), ("del", "incr"), ("lpop", "lpush"), ("rpop", "rpush"), ("srem", "sadd")):
        assert lacking(with_rights(f"-{clean}"), command) == []
        assert lacking(with_rights(), command) == []
        assert ledger.keys("*") == []
