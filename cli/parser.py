"""How every command's parser is set up: plain help, no options that the command did not ask for."""

from __future__ import annotations

import os
import re
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import typer
from typer.core import TyperGroup

from scrimp.profiles.errors import UsageError
from scrimp.profiles.money import read_number

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["OLD_NAMES", "Group", "lists", "new_app", "read_at_once", "read_numbers", "read_pairs", "read_words"]


class Group(TyperGroup):
    """A group whose help page says in a whole sentence what each of its commands does."""

    bare: str | None = None
    """The command that is run when none is named."""

    def summaries(self, ctx: Any) -> list[tuple[str, str]]:
        """Return the commands' names, in the order of the help page, with a sentence on each."""
        named = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        return [(name, each.get_short_help_str(1000)) for name, each in named if each and not each.hidden]

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the list of commands."""
        with formatter.section("Commands"):
            formatter.write_dl(self.summaries(ctx))

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Take another tool's word for a command that is there: `rm` for `delete`."""
        if args and args[0] not in (there := self.list_commands(ctx)):
            meant = next((name for name in _SAME.get(args[0], ()) if name in there), args[0])
            args = [meant, *args[1:]]
        return super().resolve_command(ctx, args)


def lists(command: str) -> type[Group]:
    """Return a group that runs one of its commands when none is named: `log -n 5` is `log list -n 5`."""

    class Listing(Group):
        bare = command

        def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
            """Put the command before options that come first."""
            bare = not args or (args[0].startswith("-") and args[0] not in ("-h", "--help"))
            completing = ctx.resilient_parsing
            return super().parse_args(ctx, [command, *args] if bare and not completing else args)

    return Listing


def new_app(
    help: str | None = None,  # noqa: A002 - Typer's own word
    *,
    epilog: str | None = None,
    group: bool = False,
    bare: str | None = None,
) -> typer.Typer:
    """Return an empty Typer app.

    Parameters
    ----------
    help, epilog
        What the help page says before and after the options.
    group
        Whether it is nothing without a subcommand: then its help page is shown.
    bare
        The subcommand that is run when none is named: `keys` is `keys list`.
    """
    texts: dict[str, Any] = {name: text for name, text in (("help", help), ("epilog", epilog)) if text is not None}
    return typer.Typer(
        cls=Group if bare is None else lists(bare),
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


def read_at_once(built: Any) -> None:
    """Have a command, or a group of them, read by itself the values that can mean but one thing.

    Typer has every value read by pydantic, and importing that takes as long as all else that a short command does. It
    is still asked about whatever is less plain, so that what is accepted and what is said stay Typer's.
    """
    for parameter in built.params:
        _read_at_once(parameter)
    built.get_help_option = partial(_help_option, built.get_help_option)
    for each in getattr(built, "commands", {}).values():
        read_at_once(each)


def read_pairs(built: Any) -> None:
    """Have options whose metavar says `KEY VALUE` take two words, which the command gets as `KEY=VALUE`."""
    for parameter in built.params:
        if parameter.metavar == "KEY VALUE":
            parameter.nargs = 2
    for each in getattr(built, "commands", {}).values():
        read_pairs(each)


def _help_option(make: Callable[[Any], Any], ctx: Any) -> Any:
    option = make(ctx)
    if option is not None:
        _read_at_once(option)
    return option


def _read_at_once(parameter: Any) -> None:
    typers = getattr(parameter, "get_runtime_param", None)  # of Typer's releases since it reads by pydantic
    if typers is not None and not (isinstance(typers, partial) and typers.func is _Reader):
        parameter.get_runtime_param = partial(_Reader, parameter.type_descriptor, typers)


class _Reader:
    """Reads a parameter's values, or asks Typer's reader to."""

    def __init__(self, descriptor: Any, typers: Callable[[], Any]) -> None:
        self._descriptor = descriptor
        self._typers = typers

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:
        """Return what a value means."""
        if param.nargs == 2 and param.multiple:
            for key, _ in value or ():
                if "=" in key:
                    raise UsageError(
                        f"{param.opts[0]} {key}: it takes two words: {param.opts[0]} {key.replace('=', ' ')}"
                    )
            return [f"{key}={said}" for key, said in value or ()]
        info, kind = self._descriptor.parameter_info, self._descriptor.annotation
        many = kind == list[str] and isinstance(value, (list, tuple))
        if info.parser is None and info.path_type is None:
            if value is None:
                return () if param.multiple or param.nargs == -1 else None
            if many and all(type(each) is str for each in value):
                return list(value)
            if kind is str and type(value) is str:
                return value
            if isinstance(kind, type) and issubclass(kind, StrEnum) and value in [each.value for each in kind]:
                return kind(value)
            if kind in (int, float) and (number := _plain_number(kind, value)) is not None and not info.clamp:
                low, high = info.min, info.max
                if (low is None or number >= low) and (high is None or number <= high):
                    return number
        return self._typers().coerce(value, param=param, ctx=ctx)


def _plain_number(kind: type, value: Any) -> Any:
    if type(value) is kind:
        return value
    return kind(value) if isinstance(value, str) and _PLAIN[kind].fullmatch(value) else None


def read_words(built: Any) -> None:
    """Have a command, or a group of them, read words as people type them.

    The home folder's `~` is filled in wherever a file may be named. Text that is not UTF-8 is refused: it would be sent
    with question marks in it. A prompt may begin with a dash.
    """
    for parameter in built.params:
        shown = parameter.metavar or ""
        if any(word in shown for word in ("FILE", "FOLDER", "INPUT", "OUTCOMES")):
            parameter.process_value = partial(_find_home, parameter.process_value)
        else:
            parameter.process_value = partial(_check_text, parameter, parameter.process_value)
        if parameter.param_type_name == "argument" and "PROMPT" in shown:
            built.make_parser = partial(_take_dashes, built.make_parser)
    built.make_parser = partial(_know_old_names, built.make_parser)
    for each in getattr(built, "commands", {}).values():
        read_words(each)


def _find_home(process: Callable[..., Any], ctx: Any, value: Any) -> Any:
    if isinstance(value, str):
        value = os.path.expanduser(value)  # noqa: PTH111 - it leaves alone what names no user
    elif isinstance(value, (list, tuple)):
        value = [os.path.expanduser(each) if isinstance(each, str) else each for each in value]  # noqa: PTH111
    return process(ctx, value)


def _check_text(parameter: Any, process: Callable[..., Any], ctx: Any, value: Any) -> Any:
    for each in value if isinstance(value, (list, tuple)) else (value,):
        if isinstance(each, str) and (found := _NOT_UTF_8.search(each)) is not None:
            byte = ord(found[0]) - 0xDC00
            what = parameter.metavar if parameter.param_type_name == "argument" else max(parameter.opts, key=len)
            raise UsageError(
                f"{what} is not UTF-8: byte 0x{byte:02x} after {each[: found.start()][-20:]!r}",
                hint="Convert it, or give it on standard input: iconv -f latin1 -t utf-8 FILE | scrimp ...",
            )
    return process(ctx, value)


OLD_NAMES: Final = {
    "-n": "--dry-run",
    "--dry-place": "--no-place",
    "--estimate": "--dry-run",
    "--max-usd": "--max-cost",
    "--number": "--limit",
    "--out": "--output",
}
"""Names that options had, or have in other programs, and what they are called here: in every command that has those."""


def _know_old_names(make: Callable[[Any], Any], ctx: Any) -> Any:
    """Return a command's parser that says what to type in place of an option's old name."""
    parser = make(ctx)
    options = parser._process_opts  # noqa: SLF001 - there is no other way in

    def process(arg: str, state: Any) -> None:
        try:
            options(arg, state)
        except Exception as error:
            typed = str(getattr(error, "option_name", ""))
            name = OLD_NAMES.get(typed) if hasattr(error, "possibilities") else None  # it is NoSuchOption
            if name is None or name not in parser._long_opt:  # noqa: SLF001
                raise
            what = (
                "a dry run is --dry-run (-n is a count, where there is one)" if typed == "-n" else f"it is {name} now"
            )
            raise UsageError(f"there is no {typed} here: {what}") from None

    parser._process_opts = process  # noqa: SLF001
    return parser


def _take_dashes(make: Callable[[Any], Any], ctx: Any) -> Any:
    """Return a command's parser that takes for the prompt what begins with a dash and can be no option."""
    parser = make(ctx)
    options = parser._process_opts  # noqa: SLF001 - there is no other way in

    def process(arg: str, state: Any) -> None:
        first = arg[1:2]
        name = arg.partition("=")[0]
        unknown = f"-{first}" not in parser._short_opt and first != "-"  # noqa: SLF001
        spaced = any(map(str.isspace, name))
        if first.isspace() or first.isdigit() or arg.startswith("---") or (spaced and (unknown or first == "-")):
            state.largs.append(arg)
            return
        try:
            options(arg, state)
        except Exception as error:
            if getattr(error, "option_name", None) is not None and hasattr(error, "possibilities"):
                error.message += " (a prompt that begins with a dash goes after --)"  # type: ignore[attr-defined]  # it is NoSuchOption
            raise

    parser._process_opts = process  # noqa: SLF001
    return parser


_SAME: Final = {
    "ls": ("list", "show"),
    "list": ("show",),
    "all": ("list", "show"),
    "get": ("show",),
    "cat": ("show",),
    "view": ("show",),
    "info": ("show",),
    "rm": ("clear",),
    "delete": ("rm", "clear"),
    "remove": ("rm", "clear"),
    "del": ("rm", "clear"),
    "unset": ("rm", "clear"),
    "forget": ("rm",),
    "add": ("set", "init"),
    "create": ("init", "set"),
    "new": ("init", "set"),
    "validate": ("check",),
    "where": ("path",),
    "default": ("use",),
    "switch": ("use",),
    "select": ("use",),
}
"""Other tools' words for subcommands, and which of ours they may mean; the first that is there is taken."""

_PLAIN: Final = {int: re.compile(r"-?[0-9]{1,15}"), float: re.compile(r"-?[0-9]{1,15}(\.[0-9]{1,15})?")}
"""Numbers that everyone reads alike."""

_NOT_UTF_8: Final = re.compile("[\udc80-\udcff]")
"""What Python makes of bytes in arguments that it cannot decode."""

_MOST: Final = 10**15
"""No number of anything is larger; sums with it stay within a double and 64 bits."""
