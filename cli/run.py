"""`scrimp run`: a command whose calls of models go through scrimp, under one cap."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from typing import Annotated, Final

import typer

from . import session
from .options import ProfileOption
from .parser import new_app
from .result import say

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

_CLAUDE_MODELS: Final = (
    "ANTHROPIC_MODEL",
    "ANTHROPIC_DEFAULT_OPUS_MODEL",
    "ANTHROPIC_DEFAULT_SONNET_MODEL",
    "ANTHROPIC_DEFAULT_HAIKU_MODEL",
    "ANTHROPIC_SMALL_FAST_MODEL",
)


@app.command(epilog=EPILOG, context_settings={"ignore_unknown_options": False, "allow_interspersed_args": False})
def run(
    command: Annotated[list[str], typer.Argument(metavar="COMMAND", help="What to run, with its own arguments.")],
    profile: ProfileOption = None,
    model: Annotated[
        str | None,
        typer.Option(
            "-m", "--model", metavar="NAME", help="The model that it is told to ask for: scrimp, scrimp/cheap, an arm."
        ),
    ] = None,
    max_cost: Annotated[
        str | None, typer.Option("--max-cost", metavar="USD", help="Spend no more than this on the whole session.")
    ] = None,
    tag: Annotated[str | None, typer.Option("--tag", metavar="TEXT", help="A label for `scrimp spend`.")] = None,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="No summary at the end.")] = False,
) -> int:
    """Run a command whose model calls go through scrimp: routed, logged, and under one cap for the whole session.

    Its exit code is the command's.
    """
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
        serving = asyncio.create_task(endpoint.run())
        waiting = asyncio.create_task(endpoint.listening.wait())
        await asyncio.wait({serving, waiting}, return_when=asyncio.FIRST_COMPLETED)
        try:
            return await _child(program, command, _environment(listen.url_of(sock), token, model))
        finally:
            endpoint.stop(now=True)
            await serving

    code = asyncio.run(go())
    if not quiet:
        for line in (*said, *summary(endpoint.service.totals)):
            say(line)
    return code


def _environment(url: str, token: str, model: str | None) -> dict[str, str]:
    """Return the environment of the command: its own, with the endpoint in the place of the providers."""
    env = dict(os.environ)
    for name in ("OPENAI_BASE_URL", "OPENAI_API_BASE"):
        env[name] = f"{url}/v1"
    env["ANTHROPIC_BASE_URL"] = url
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY"):
        env[name] = token
    env.pop("ANTHROPIC_AUTH_TOKEN", None)  # it would go before the key
    if model is not None:
        env |= dict.fromkeys((*_CLAUDE_MODELS, "OPENAI_MODEL"), model)
    for name in ("no_proxy", "NO_PROXY"):
        env[name] = ",".join(filter(None, (env.get(name), "127.0.0.1")))
    return env


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
