"""How every command's parser is set up: plain help, no options that the command did not ask for."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperGroup

__all__ = ["Group", "new_app"]


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
