"""The tree of commands."""

import click
import pytest
from click.testing import CliRunner

from oppsync_ops.cli.lazy import Lazy, LazyGroup
from oppsync_ops.cli.root import oppsync


def commands(group: click.Group, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Every command there is, by its words."""
    context = click.Context(group)
    found = []
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None, name
        found.append((*path, name))
        if isinstance(command, click.Group):
            found += commands(command, (*path, name))
    return found


EVERY = commands(oppsync)


@pytest.mark.parametrize("words", EVERY, ids=" ".join)
def test_every_command_explains_itself(words: tuple[str, ...]) -> None:
    """With --help, whatever else it would need."""
    result = CliRunner().invoke(oppsync, [*words, "--help"], prog_name="oppsync")

    assert result.exit_code == 0, result.output
    assert len(result.stdout.splitlines()) > 3


@pytest.mark.parametrize("words", [words for words in EVERY if words[0] not in {"simulator", "worker"}], ids=" ".join)
def test_an_unknown_option_is_a_wrong_use(words: tuple[str, ...]) -> None:
    """One line that names the command to ask."""
    result = CliRunner().invoke(oppsync, [*words, "--no-such-option"], prog_name="oppsync")

    assert result.exit_code == 2
    assert result.stderr.startswith("oppsync: ")
    assert f"`oppsync {words[0]}" in result.stderr
    assert result.stderr.count("\n") == 1


def test_the_tree_is_what_operators_rely_on() -> None:
    """Names that scripts and runbooks hold."""
    assert {
        ("worker",),
        ("redis", "start"),
        ("redis", "stop"),
        ("redis", "status"),
        ("enqueue", "create"),
        ("enqueue", "update"),
        ("enqueue", "file"),
        ("job", "show"),
        ("job", "wait"),
        ("dead", "list"),
        ("dead", "show"),
        ("dead", "replay"),
        ("dead", "discard"),
        ("dead", "export"),
        ("doubt", "list"),
        ("hold", "list"),
        ("hold", "set"),
        ("hold", "release"),
        ("instances",),
        ("status",),
        ("health",),
        ("simulator",),
    } <= set(EVERY)


def test_a_group_alone_shows_its_help_as_a_wrong_use() -> None:
    """It was asked for nothing."""
    result = CliRunner().invoke(oppsync, ["dead"], prog_name="oppsync")

    assert result.exit_code == 2
    assert "replay" in result.stderr


def test_an_unknown_command_is_a_wrong_use() -> None:
    """In one line."""
    result = CliRunner().invoke(oppsync, ["deed"], prog_name="oppsync")

    assert result.exit_code == 2
    assert result.stderr.startswith("oppsync: No such command 'deed'")


def test_a_command_whose_module_is_not_installed_says_what_to_install() -> None:
    """The others are not disturbed."""
    group = LazyGroup("oppsync", lazy={"gone": Lazy("no_such_module:command", "Gone.")})

    with pytest.raises(click.ClickException, match="needs the module no_such_module"):
        group.get_command(click.Context(group), "gone")


def test_a_name_that_is_no_command_is_our_mistake() -> None:
    """And seen at once."""
    group = LazyGroup("oppsync", lazy={"odd": Lazy("json:dumps", "Odd.")})

    with pytest.raises(TypeError, match="json:dumps"):
        group.get_command(click.Context(group), "odd")


def of_type(kind: type[click.ParamType]) -> list[tuple[tuple[str, ...], click.Parameter]]:
    """Every parameter of this type, with its command's words."""
    found = []
    for words in EVERY:
        at: click.Command = oppsync
        for word in words:
            assert isinstance(at, click.Group)
            at = at.get_command(click.Context(at), word) or at
        found += [(words, parameter) for parameter in at.params if isinstance(parameter.type, kind)]
    return found


@pytest.mark.parametrize(
    ("words", "option"), [(words, given.opts[0]) for words, given in of_type(click.types.FloatParamType)], ids=str
)
@pytest.mark.parametrize("value", ["nan", "-nan", "inf", "1e999"])
def test_what_is_no_number_is_a_wrong_use(words: tuple[str, ...], option: str, value: str) -> None:
    """No bound is broken by NaN, and nobody waits for so long."""
    result = CliRunner().invoke(oppsync, [*words, f"{option}={value}"], prog_name="oppsync")

    assert result.exit_code == 2, result.output
    assert option in result.stderr


def test_whole_numbers_have_bounds() -> None:
    """A number of thirty digits is a wrong use, not an error of this software; nor is it a record of the CRM."""
    unbound = [
        (" ".join(words), given.opts[0])
        for words, given in of_type(click.IntRange)
        if isinstance(given.type, click.IntRange) and None in {given.type.min, given.type.max}
    ]

    assert unbound == []
