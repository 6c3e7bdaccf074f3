"""The command line: one lazy group, whose commands are imported when they are asked for, and the frame around them."""

from __future__ import annotations

import errno
import importlib
import io
import os
import sys
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from scrimp.profiles.collector import paused
from scrimp.profiles.errors import ExitCode, ScrimpError, UsageError
from scrimp.profiles.paths import working_folder

from .commands import COMMANDS, GROUPS
from .errors import say_error, unkeyed
from .help import lay_out_help, write_epilog
from .interrupts import Ended, as_interrupts, exit_code
from .parser import Group, read_at_once, read_numbers, read_pairs, read_words
from .result import say, write_err, write_out
from .streams import drop_stdout
from .typed import ELSEWHERE, OPTIONS, as_typed, nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["app", "command", "run"]

EPILOG: Final = """\b
Examples:
  scrimp ask "What is the capital of France?"
  git diff | scrimp ask "Write a commit message"
  scrimp route "Prove that 2 is prime"    which arm, and why; sends nothing
  scrimp spend                            what it cost, what the caps leave

Each command has examples of its own: scrimp COMMAND -h
"""

START: Final = """\
scrimp sends each prompt to the cheapest model that will do the job, under caps.

  scrimp "What is the capital of France?"           an answer, and what it cost
  git diff | scrimp ask "Write a commit message"    what is piped in comes along
  scrimp route "Prove that 2 is prime"              which arm, and why
"""
"""What stands on the short page, which is shown when nothing is asked for, above the names of the commands."""


class LazyGroup(Group):
    """A group that imports a command's module only when the command is wanted."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the commands' names in the order of the help page."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a command, importing its module."""
        del ctx
        return command(cmd_name)

    def invoke(self, ctx: Any) -> Any:
        """Run a command; what interrupts it is raised as `Ended`."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:
            raise Ended from error

    def shell_complete(self, ctx: Any, incomplete: str) -> list[Any]:
        """Offer the commands, importing none."""
        if incomplete.startswith("-"):
            return super().shell_complete(ctx, incomplete)
        item = importlib.import_module("typer._click.shell_completion").CompletionItem
        return [item(name, help=line) for name, line in COMMANDS.items() if name.startswith(incomplete)]

    def summaries(self, ctx: Any) -> list[tuple[str, str]]:
        """Return the commands' names and lines, importing none."""
        del ctx
        return list(COMMANDS.items())

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Show the short page where nothing is asked for."""
        if not args and not ctx.resilient_parsing:
            write_err(_short_page())
            ctx.exit(ExitCode.USAGE)
        return super().parse_args(ctx, args)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the list of commands, in groups."""
        del ctx
        for title, names in _groups():
            with formatter.section(title):
                formatter.write_dl([(name.ljust(_NAME), COMMANDS[name]) for name in names])

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Write the examples."""
        del ctx
        write_epilog(EPILOG, formatter)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Refuse an unknown command, saying what to type instead."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            ctx.fail(f"No command {args[0]!r}: {_meant(args[0])}")
        return super().resolve_command(ctx, args)


_NAME: Final = max(map(len, COMMANDS))


def _groups() -> list[tuple[str, list[str]]]:
    return [(title, [name for name in names if name in COMMANDS]) for title, names in GROUPS.items()]


def _short_page() -> str:
    wide = max(map(len, GROUPS))
    groups = "".join(f"  {title:<{wide}}  {' '.join(names)}\n" for title, names in _groups())
    return f"{START}\n{groups}\nMore: scrimp --help; of one command, with examples: scrimp COMMAND -h\n"


def _meant(word: str) -> str:
    """Return what to type instead of a word that is no command."""
    if (other := ELSEWHERE.get(word)) is not None:
        return other
    if (near := nearest(word)) is not None:
        return f"did you mean `scrimp {near}`?"
    return f"to ask it: scrimp ask {word} ...; to see what there is: scrimp --help"


def command(name: str) -> Any:
    """Return the built command of a name, or None when there is none of that name."""
    if name not in COMMANDS:
        return None
    with paused():
        module = importlib.import_module(f".{name}", __package__)
        built = typer.main.get_command(module.app)
    built.name = name
    _say_no_types(built)
    read_at_once(built)
    read_pairs(built)
    read_numbers(built)
    read_words(built)
    lay_out_help(built, f"scrimp {name}")
    return built


def _say_no_types(built: Any) -> None:
    """Leave Python's types out of the help page: not `PROMPT <list[str]>` or `--limit <int range>`."""
    for parameter in built.params:
        if parameter.param_type_name == "argument" and parameter.metavar:
            parameter.display_type_rich = _no_type
        elif parameter.type_descriptor.is_ranged and not parameter.metavar:
            parameter.metavar = "N"
    for each in getattr(built, "commands", {}).values():
        _say_no_types(each)


def _no_type(ctx: Any) -> None:
    del ctx


app = typer.Typer(
    name="scrimp",
    cls=LazyGroup,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    epilog=EPILOG,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


def _version(value: bool) -> None:
    if value:
        from importlib.metadata import version

        write_out(f"scrimp {version('scrimp')}\n")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", "-V", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", envvar="SCRIMP_DEBUG", help="Show tracebacks of errors.")] = False,
) -> None:
    """Send each prompt to the cheapest model that will do the job, under caps that hold."""
    del version
    if debug:
        os.environ["SCRIMP_DEBUG"] = "1"


def run(argv: Sequence[str]) -> int:
    """Run a command line and return its exit code; errors are one line and a hint on stderr, never a traceback."""
    if "_SCRIMP_COMPLETE" in os.environ:
        importlib.import_module("typer.completion").completion_init()
    received: list[int] = []
    try:
        with as_interrupts() as received:
            group = typer.main.get_command(app)
            read_at_once(group)
            done = group.main(as_typed(list(argv)), prog_name="scrimp", standalone_mode=False)
            sys.stdout.flush()
            return done if isinstance(done, int) else 0
    except (KeyboardInterrupt, Ended, typer.Abort) as error:
        if session := sys.modules.get(f"{__package__}.session"):
            session.tell_nobody()
        _trace(error)
        write_err("\n")
        for note in getattr(error.__cause__ or error, "__notes__", ()):
            say(note)
        return exit_code(received)
    except BrokenPipeError:
        return _closed_pipe()
    except SystemExit as error:
        if isinstance(error.__context__, BrokenPipeError):  # the parser makes an exit of its own of it
            return _closed_pipe()
        raise
    except ScrimpError as error:
        return _explain(error)
    except Exception as error:  # noqa: BLE001 - the frame around everything
        code = getattr(error, "exit_code", None)
        if isinstance(code, int) and callable(show := getattr(error, "show", None)):
            _refuse(error, show)
            return code
        return _unexpected(error)
    finally:
        if session := sys.modules.get(f"{__package__}.session"):
            session.close()


def _refuse(error: Exception, show: Callable[..., object]) -> None:
    """Show a usage error of the parser, which quotes what was typed; never a key that was."""
    said = io.StringIO()
    show(file=said)
    instead = OPTIONS.get(str(getattr(error, "option_name", None)))
    write_err(unkeyed(said.getvalue()) + (f"Instead: {instead}\n" if instead else ""))


def _debugging() -> bool:
    return bool(os.environ.get("SCRIMP_DEBUG"))


def _trace(error: BaseException) -> None:
    """Show a traceback, scrubbed of keys, if the user asked for it."""
    if not _debugging():
        return
    import traceback

    say(unkeyed("".join(traceback.format_exception(error))), mark="")


def _explain(error: ScrimpError) -> int:
    _trace(error)
    return say_error(error)


def _unexpected(error: Exception) -> int:
    if (
        isinstance(error, OSError)
        and error.filename is None
        and error.errno in (errno.EPIPE, errno.ENOSPC, errno.EBADF)
    ):
        if error.errno == errno.EPIPE:
            return _closed_pipe()
        drop_stdout()
        say("the disk is full" if error.errno == errno.ENOSPC else "standard output is closed")
        return int(ExitCode.UNEXPECTED)
    if isinstance(error, FileNotFoundError) and error.filename is None and not working_folder().is_absolute():
        return _explain(UsageError("the working directory is gone", hint="Go to another one, or give whole paths."))
    _trace(error)
    if not _debugging():
        say("unexpected error: " + unkeyed(f"{type(error).__name__}: {error}"))
        say("Run it again as `scrimp --debug ...` to see where.", mark="  ")
    return int(ExitCode.UNEXPECTED)


def _closed_pipe() -> int:
    """Leave quietly when the reader of our output has gone (`scrimp log | head -1`)."""
    drop_stdout()
    return int(ExitCode.CLOSED_PIPE)
