"""How every command's parser is set up: plain help, no options that the command did not ask for."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

import typer
from typer.core import TyperGroup

from scrimp.profiles.money import read_number

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Group", "new_app", "read_numbers"]


class Group(TyperGroup):
    """A group whose help page says in a whole sentence what each of its commands does."""

    def summaries(self, ctx: Any) -> list[tuple[str, str]]:
        """Return the commands' names, in the order of the help page, with a sentence on each."""
        named = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        return [(name, each.get_short_help_str(1000)) for name, each in named if each and not each.hidden]

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the list of commands."""
        with formatter.section("Commands"):
            formatter.write_dl(self.summaries(ctx))


def new_app(help: str | None = None, *, epilog: str | None = None, group: bool = False) -> typer.Typer:  # noqa: A002 - Typer's own word
    """Return an empty Typer app.

    Parameters
    ----------
    help, epilog
        What the help page says before and after the options.
    group
        Whether it is nothing without a subcommand: then its help page is shown.
    """
    texts: dict[str, Any] = {name: text for name, text in (("help", help), ("epilog", epilog)) if text is not None}
    return typer.Typer(
        cls=Group,
        **texts,  # a None here would hide the callback's own docstring
        no_args_is_help=group,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    )


def read_numbers(built: Any) -> None:
    """Have the flags and arguments of a command that take numbers refuse what Python's own parsers let through.

    Those take `nan` (which no bound refuses), `inf`, `1_000`, and digits of any script.
    """
    for parameter in built.params:
        if parameter.type_descriptor.annotation in (int, float):
            parameter.process_value = partial(_process, parameter, parameter.process_value)
    for each in getattr(built, "commands", {}).values():
        read_numbers(each)


def _process(parameter: Any, process: Callable[..., Any], ctx: Any, value: Any) -> Any:
    if isinstance(value, str):
        shown = value if len(value) <= 40 else f"{value[:37]}..."
        try:
            number = read_number(value)
        except ValueError as error:
            raise typer.BadParameter(f"{shown!r} is {error}", ctx=ctx, param=parameter) from None
        if abs(number) > _MOST:
            raise typer.BadParameter(f"{shown} is too large a number", ctx=ctx, param=parameter)
    return process(ctx, value)


_MOST: Final = 10**15
"""No number of anything is larger; sums with it stay within a double and 64 bits."""
