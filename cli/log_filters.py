"""Options that choose requests of the log, for all commands that list or show several."""

from __future__ import annotations

from typing import Annotated

import typer

from .complete import complete_conversations, complete_own_arms, complete_profiles, complete_tags

__all__ = ["ArmFilter", "CidFilter", "Limit", "ProfileFilter", "TagFilter"]

Limit = Annotated[int, typer.Option("-n", "--limit", min=1, help="How many, newest first.")]
ArmFilter = Annotated[
    str | None, typer.Option("-m", "--arm", metavar="ARM", help="Only this arm.", autocompletion=complete_own_arms)
]
ProfileFilter = Annotated[
    str | None,
    typer.Option("-p", "--profile", metavar="NAME", help="Only this profile.", autocompletion=complete_profiles),
]
TagFilter = Annotated[
    str | None, typer.Option("--tag", metavar="TEXT", help="Only this tag.", autocompletion=complete_tags)
]
CidFilter = Annotated[
    str | None,
    typer.Option("--cid", metavar="NAME|ID", help="Only this conversation.", autocompletion=complete_conversations),
]
