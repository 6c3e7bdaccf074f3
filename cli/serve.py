"""`scrimp serve`: an endpoint for other programs."""

from __future__ import annotations

import asyncio
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from scrimp.profiles.errors import UsageError
from scrimp.profiles.system import needs_posix

from . import session
from .options import MaxSpend, PrivateOption, ProfileOption, TagOption
from .parser import new_app
from .result import say, write_err

__all__ = ["app", "serve"]

app = new_app()

EPILOG = """\b
Examples:
  scrimp serve                                     OpenAI and Anthropic, on a free port of this machine
  scrimp serve --port 4321 --token-file ~/.scrimp-token
  scrimp serve -p work --max-cost 5                no more than $5 until it ends
  scrimp serve --memory relevant                   long chats cut to what they are about (docs/memory.md)
\b
Then, elsewhere:
  export OPENAI_BASE_URL=http://127.0.0.1:4321/v1 OPENAI_API_KEY=$(cat ~/.scrimp-token)
  curl $OPENAI_BASE_URL/chat/completions -H "Authorization: Bearer $OPENAI_API_KEY" \\
    -d '{"model": "scrimp",
      "messages": [{"role": "user", "content": "Capital of France?"}]}'
\b
Models: scrimp (routed), scrimp/cheap, scrimp/balanced, scrimp/best, an arm's name, or a plan (small ? tests > large,
with a check of the profile).
`scrimp run` does all of this for one command. docs/serve.md has recipes.
"""


class Cut(StrEnum):
    """How long chats are cut: `routing.serving.cutting.CUTS`."""

    AUTO = "auto"
    LAST = "last"
    RELEVANT = "relevant"


@app.command(epilog=EPILOG)
def serve(
    profile: ProfileOption = None,
    host: Annotated[
        str, typer.Option("--host", metavar="ADDRESS", help="Where to listen; only this machine, unless told.")
    ] = "127.0.0.1",
    port: Annotated[
        int,
        typer.Option(
            "--port",
            metavar="N",
            min=0,
            max=65535,
            show_default=False,
            help="Which port; 0, as by itself, takes a free one.",
        ),
    ] = 0,
    port_file: Annotated[
        Path | None, typer.Option("--port-file", metavar="FILE", help="Write the port there once it listens.")
    ] = None,
    token: Annotated[
        str | None,
        typer.Option(
            "--token",
            envvar="SCRIMP_SERVE_TOKEN",
            show_envvar=False,
            metavar="TEXT",
            help="What clients must show as their API key (better: SCRIMP_SERVE_TOKEN). Else one is made.",
        ),
    ] = None,
    token_file: Annotated[
        Path | None,
        typer.Option(
            "--token-file", metavar="FILE", help="Keep the token there (0600): read if it holds one, else written."
        ),
    ] = None,
    no_token: Annotated[
        bool, typer.Option("--no-token", help="Ask for none: any program on this machine may ask.")
    ] = False,
    max_cost: MaxSpend = None,
    tag: TagOption = None,
    tag_header: Annotated[
        str | None,
        typer.Option(
            "--tag-header",
            metavar="NAME",
            help="Take each request's label from this header, as a gateway in front sets it (docs/scale.md).",
        ),
    ] = None,
    memory: Annotated[
        Cut | None,
        typer.Option(
            "--memory",
            help="Cut long chats of text to these turns (docs/memory.md). Else all is sent.",
        ),
    ] = None,
    private: PrivateOption = None,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Say nothing about requests that go well.")] = False,
) -> int:
    """Answer programs that speak OpenAI's or Anthropic's interface, each request routed and under every cap.

    /v1/chat/completions, /v1/responses, /v1/messages (and count_tokens), /v1/models. Ctrl-C ends it.
    """
    needs_posix("serve")
    from .serving import capped, listening, make_endpoint, on_signals, summary

    listen = listening()
    if no_token and (token or token_file):
        raise UsageError("--no-token and a token do not go together")
    if no_token and not listen.is_loopback(host):
        raise UsageError(f"--no-token is for this machine alone, and --host {host} is not")
    mode = None if private is None else private.value
    loaded = capped(session.load(profile, private=mode), session.parse_usd(max_cost, "--max-cost"))
    shown = None if no_token else token or (token_file and listen.read_token(token_file)) or listen.make_token()
    if shown is not None and (not shown.isascii() or not shown.isprintable() or " " in shown):
        raise UsageError("a token is printable ASCII characters without spaces")
    sock = listen.bind(host, port)
    url = listen.url_of(sock)
    endpoint = make_endpoint(
        loaded,
        sock,
        token=shown,
        hosts=(host,),
        one_run=max_cost is not None,
        tag=tag,
        tag_header=tag_header,
        memory=memory,
        quiet=quiet,
    )

    async def go() -> None:
        on_signals(endpoint.stop)
        serving = await endpoint.start()
        if token_file is not None and shown is not None:
            listen.write_private(token_file, shown)
        if port_file is not None:
            listen.write_private(port_file, str(sock.getsockname()[1]))
        say(f"serving profile {loaded.profile.name} at {url}/v1 (Anthropic's: {url}); Ctrl-C ends it")
        if shown is not None and token is None and token_file is None:
            write_err(f"token: {shown}\n")
        await serving

    try:
        asyncio.run(go())
    finally:
        if port_file is not None:
            port_file.unlink(missing_ok=True)
    for line in summary(endpoint.service.totals):
        say(line)
    return 0
