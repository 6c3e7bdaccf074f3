"""`scrimp duel`: two answers without names, side by side, and which of them is better."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .complete import complete_two_arms
from .options import JsonOption, LocalOnly, MaxSpend, Offline, PrivateOption, ProfileOption, SeedOption
from .parser import new_app

__all__ = ["app", "duel"]

app = new_app()

EPILOG = """\b
Examples:
  scrimp duel "Explain tides to a child"
  scrimp duel --arms small,large -f prompts.txt --max-cost 1
  scrimp duel --dry-run -f prompts.txt     what it would cost; asks nothing
  scrimp report --duels             which arm is the stronger, and how sure that is
"""


@app.command(epilog=EPILOG)
def duel(
    prompt: Annotated[list[str] | None, typer.Argument(metavar="PROMPT", help="What both arms are asked.")] = None,
    file: Annotated[
        Path | None,
        typer.Option("-f", "--file", metavar="FILE", help="Prompts, one a line, or as `batch` reads them."),
    ] = None,
    arms: Annotated[
        str | None,
        typer.Option(
            "--arms",
            metavar="A,B",
            help="These two, by what -m takes; else they are drawn, duel by duel.",
            autocompletion=complete_two_arms,
        ),
    ] = None,
    max_cost: MaxSpend = None,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Leave out rows of FILE that cannot be read.")] = False,
    profile: ProfileOption = None,
    private: PrivateOption = None,
    local_only: LocalOnly = False,
    offline: Offline = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what it would cost; ask nothing.")] = False,
    json: JsonOption = False,
    seed: SeedOption = None,
) -> int:
    """Ask two arms the same, and say which answer is better before you know whose it is.

    Type 1 or 2, = where both are good alike, 0 where neither is, and why on the same line if you like. Names and prices
    come after. Each verdict labels both answers, as an audit does: refit learns from them.

    Unless --arms names them, the two arms are those whose duel tells most for its money; one in ten is drawn from all
    pairs alike. With -f, prompts that were judged before are left out.
    """
    from .dueling import DuelFlags, run_duels

    return run_duels(
        DuelFlags(
            words=tuple(prompt or ()),
            file=file,
            arms=arms,
            max_cost=max_cost,
            skip_bad=skip_bad,
            profile=profile,
            private=None if private is None else private.value,
            on_this_machine=local_only or offline,
            seed=seed,
        ),
        dry_run=dry_run,
        as_json=json,
    )
