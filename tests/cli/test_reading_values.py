"""Values that a command reads by itself mean what Typer's own reader says, and pydantic is not imported for them."""

import os
import subprocess
import sys
from enum import StrEnum
from typing import Annotated, Any

import pytest
import typer

from scrimp.cli.parser import read_at_once

VALUES = [
    None, (), [], "", "x", " x ", "5", "-5", "05", "+5", "5.0", " 5", "5_0", "٥", "1e3", "nan", "inf", "5.25", "-0.5",
    "red", "Red", "RED", "green", ".5", "5.", "999", "9" * 30, 5, 5.0, True, False, "yes", "no", "maybe", ("a", "b"), ["5", "6"], ["a", 1], b"x",
]  # fmt: skip


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


def _length(word: object) -> int:
    return len(str(word))


def command():
    app = typer.Typer(add_completion=False)

    @app.command()
    def one(
        text: Annotated[str, typer.Argument()] = "",
        texts: Annotated[list[str] | None, typer.Option()] = None,
        whole: Annotated[int, typer.Option()] = 1,
        bounded: Annotated[int | None, typer.Option(min=1, max=10)] = None,
        clamped: Annotated[int, typer.Option(max=10, clamp=True)] = 1,
        share: Annotated[float | None, typer.Option(min=0.0, max=1.0)] = None,
        number: Annotated[float, typer.Option()] = 1.0,
        yes: Annotated[bool, typer.Option()] = False,
        parsed: Annotated[int, typer.Option(parser=_length)] = 1,
        colour: Annotated[Colour, typer.Option()] = Colour.BLUE,
    ) -> None:
        pass

    return typer.main.get_command(app)


def outcome(parameter: Any, ctx: Any, value: Any) -> Any:
    try:
        read = parameter.process_value(ctx, value)
    except Exception as error:
        return type(error), str(error)
    return type(read), repr(read)


@pytest.mark.parametrize("n", range(10))
def test_values_mean_what_typer_says(n):
    typers, ours = command(), command()
    read_at_once(ours)
    for value in VALUES:
        with typers.make_context("x", [], resilient_parsing=True) as ctx:
            wanted = outcome(typers.params[n], ctx, value)
        with ours.make_context("x", [], resilient_parsing=True) as ctx:
            assert outcome(ours.params[n], ctx, value) == wanted, (ours.params[n].name, value)


@pytest.mark.parametrize(
    ("argv", "asked"),
    [(["log"], {}), (["log", "-n", "3"], {}), (["rate", "good"], {}), (["spend", "--days", "3"], {}), (["--help"], {}),
     (["profile", "list"], {}), (["log", "--help"], {}), ([], {"COMP_WORDS": "scrimp ask --prof", "COMP_CWORD": "2"})],
)  # fmt: skip
def test_pydantic_is_not_imported(tmp_path, argv, asked):
    script = (
        "import sys; from scrimp.cli.app import run\n"
        "try:\n    run(sys.argv[1:])\n"
        "except SystemExit:\n    pass\n"
        "print([name for name in ('pydantic', 'rich', 'sqlite_utils') if name in sys.modules], file=sys.stderr)"
    )
    env = {**os.environ, "SCRIMP_HOME": str(tmp_path), **asked}
    if asked:
        env["_SCRIMP_COMPLETE"] = "complete_bash"
    done = subprocess.run(
        [sys.executable, "-c", script, *argv], capture_output=True, text=True, env=env, stdin=subprocess.DEVNULL
    )
    assert done.stderr.splitlines()[-1] == "[]", done.stderr
    if asked:
        assert done.stdout.split() == ["--profile"]
