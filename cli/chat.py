"""`scrimp chat`: a conversation, turn by turn."""

from __future__ import annotations

from typing import Annotated

import typer

from scrimp.profiles.errors import UsageError

from .options import (
    ArmOption,
    CidOption,
    FileOption,
    Memory,
    MemoryOption,
    Offline,
    PreferOption,
    PrivateOption,
    ProfileOption,
    WtpOption,
)
from .parser import new_app

__all__ = ["app", "chat"]

app = new_app()

EPILOG = """\b
Examples:
  scrimp chat                            Ctrl-D ends, !help lists what else there is
  scrimp chat --max-cost 0.50            no more than that for the whole session
  scrimp chat -c                         go on with the last conversation
  scrimp chat --cid trip -f plan.md      by a name, about a file
  scrimp chat -m large -s "Be brief"     every turn of one arm
  printf 'Name a river\\nAnd another\\n' | scrimp chat     each line is a turn
"""


@app.command(epilog=EPILOG)
def chat(
    prompt: Annotated[list[str] | None, typer.Argument(metavar="[PROMPT]", help="What is said first.")] = None,
    system: Annotated[str | None, typer.Option("-s", "--system", metavar="TEXT", help="System prompt.")] = None,
    file: FileOption = None,
    arm: ArmOption = None,
    profile: ProfileOption = None,
    follow: Annotated[bool, typer.Option("-c", "--continue", help="Go on with the last conversation.")] = False,
    cid: CidOption = None,
    memory: MemoryOption = None,
    template: Annotated[
        str | None,
        typer.Option(
            "-t", "--template", metavar="NAME|FILE", help="Template that each message is put in, as {{input}}."
        ),
    ] = None,
    variable: Annotated[
        list[str] | None, typer.Option("-v", "--var", metavar="NAME=VALUE", help="A variable of the template. Repeats.")
    ] = None,
    max_cost: Annotated[
        str | None, typer.Option("--max-cost", metavar="USD", help="Spend no more than this on the whole session.")
    ] = None,
    private: PrivateOption = None,
    wtp: WtpOption = None,
    prefer: PreferOption = None,
    no_log: Annotated[
        bool, typer.Option("--no-log", help="Keep no text or features of this session, only its money.")
    ] = False,
    offline: Offline = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Nothing on stderr but errors and warnings.")] = False,
) -> int:
    """Talk with whichever arm is worth most for each turn; what it cost stands beside each answer.

    On a terminal, !help lists what can be typed beside messages. Elsewhere each line of standard input is a turn.
    """
    from .asking import AskFlags
    from .chatting import run_chat

    if "-" in (prompt or ()) or "-" in (file or ()):
        raise UsageError("standard input is what is typed: a chat cannot read it as a file, too")
    flags = AskFlags(
        words=tuple(prompt or ()),
        system=system,
        files=tuple(file or ()),
        arm=arm,
        profile=profile,
        follow=cid or follow,
        memory=memory or Memory.AUTO,
        template=template,
        variables=tuple(variable or ()),
        max_cost=max_cost,
        private=None if private is None else private.value,
        wtp=wtp,
        prefer=prefer,
        no_log=no_log,
        on_this_machine=offline,
        quiet=quiet,
    )
    return run_chat(flags)
