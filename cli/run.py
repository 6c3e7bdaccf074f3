"""`scrimp run`: a command whose calls of models go through scrimp, under one cap."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from typing import TYPE_CHECKING, Annotated

import typer

from scrimp.profiles.system import needs_posix

from . import session
from .children import Address, command_of, environment_of
from .complete import complete_asked_models
from .options import MaxSpend, ProfileOption, TagOption
from .parser import new_app
from .result import say

if TYPE_CHECKING:
    from scrimp.routing.asking.workspace import Workspace

__all__ = ["app", "run"]

app = new_app()

EPILOG = """\b
Examples:
  scrimp run --max-cost 2 -- claude                     no more than $2 for the session
  scrimp run -p work -- aider --model openai/scrimp
  scrimp run -m scrimp/cheap -- python my_agent.py      anything that speaks OpenAI's or Anthropic's interface
\b
The command finds OPENAI_BASE_URL, OPENAI_API_KEY, ANTHROPIC_BASE_URL and ANTHROPIC_API_KEY set, and asks for models as
ever: names that scrimp does not know are routed. Options of scrimp's own go before the command. docs/serve.md has
recipes.
"""

NOT_FOUND, NOT_RUNNABLE = 127, 126
"""Exit codes of a command that cannot be run, as shells have them."""


@app.command(epilog=EPILOG, context_settings={"allow_interspersed_args": False})
def run(
    command: Annotated[list[str], typer.Argument(metavar="COMMAND", help="What to run, with its own arguments.")],
    profile: ProfileOption = None,
    model: Annotated[
        str | None,
        typer.Option(
            "-m",
            "--arm",
            "--model",
            metavar="NAME",
            help="The model that it is told to ask for: scrimp, scrimp/cheap, an arm.",
            autocompletion=complete_asked_models,
        ),
    ] = None,
    max_cost: MaxSpend = None,
    tag: TagOption = None,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="No summary at the end.")] = False,
) -> int:
    """Run a command whose model calls go through scrimp: routed, logged, and under one cap for the whole session.

    Its exit code is the command's.
    """
    needs_posix("run")
    from .serving import capped, listening, make_endpoint, summary

    listen = listening()
    loaded = capped(session.load(profile), session.parse_usd(max_cost, "--max-cost"))
    if model is not None:
        from scrimp.routing.serving.names import resolve

        resolve(model, loaded.profile)
    program = shutil.which(command[0])
    if program is None:
        say(f"{command[0]}: no such command")
        return NOT_FOUND
    token = listen.make_token()
    sock = listen.bind("127.0.0.1", 0)
    said: dict[str, None] = {}  # a program may own the terminal: what is to be said waits for its end
    endpoint = make_endpoint(
        loaded,
        sock,
        token=token,
        one_run=True,
        any_model=True,
        tag=tag,
        quiet=True,
        told=lambda line: said.update({line: None}),
    )

    async def go() -> int:
        serving = await endpoint.start()
        try:
            to = Address(listen.url_of(sock), token, model, _window(endpoint.service.space, model))
            return await _child(program, command_of(command, to), environment_of(command, os.environ, to))
        finally:
            endpoint.stop(now=True)
            await serving

    code = asyncio.run(go())
    if not quiet:
        for line in (*said, *summary(endpoint.service.totals)):
            say(line)
    return code


def _window(space: Workspace, model: str | None) -> int | None:
    """Return the tokens of the longest conversation that an arm takes, of those that may be asked for."""
    names = [arm.name for arm in space.profile.arms]
    windows = [space.decider.window(name) for name in ([model] if model in names else names)]
    return max((window for window in windows if window is not None), default=None)


async def _child(program: str, command: list[str], env: dict[str, str]) -> int:
    """Run the command with our own streams and return its exit code; of one that a signal ended, 128 and its number."""
    loop = asyncio.get_running_loop()
    try:
        child = await asyncio.create_subprocess_exec(*command, executable=program, env=env)
    except OSError as error:
        say(f"{command[0]}: {error.strerror}")
        return NOT_RUNNABLE
    # A terminal sends Ctrl-C to the command itself too: what it does about that is its own affair.
    loop.add_signal_handler(signal.SIGINT, lambda: None)
    for number in (signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, child.send_signal, number)
    code = await child.wait()
    return code if code >= 0 else 128 - code
