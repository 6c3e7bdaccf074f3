"""`scrimp learn export`: the best answers of the log as chat rows, to train a model of one's own on."""

from __future__ import annotations

import json
import time
from contextlib import ExitStack
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scrimp.routing.text.in_words import counted

from . import session
from .log_filters import TagFilter
from .options import DaysOption, ProfileOption, SinceOption, days_back
from .outputs import agreed, new_output
from .result import say, write_out

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["EPILOG", "export"]

EPILOG = """\b
Examples:
  scrimp learn export --tag support --top 1 > sft.jsonl
  scrimp learn export --by judge --scrub --yes -o sft.jsonl
  scrimp learn export --preferences --since 2026-11-01 > pairs.jsonl
"""


class Judged(StrEnum):
    """What says how good an answer is."""

    LABEL = "label"
    JUDGE = "judge"
    BOTH = "both"


def export(
    top: Annotated[
        int, typer.Option("--top", min=1, help="Answers (or pairs) of one prompt at most, the best first.")
    ] = 3,
    by: Annotated[
        Judged,
        typer.Option("--by", help="What says how good an answer is; with both it needs both, and the mean counts."),
    ] = Judged.LABEL,
    preferences: Annotated[
        bool, typer.Option("--preferences", help="Pairs of a better and a worse answer instead.")
    ] = False,
    scrub: Annotated[
        bool, typer.Option("--scrub", help="Put placeholders for e-mail, cards, accounts, phones, machines and keys.")
    ] = False,
    tag: TagFilter = None,
    days: DaysOption = None,
    since: SinceOption = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="File to write; it must not exist.")
    ] = None,
    profile: ProfileOption = None,
    yes: Annotated[bool, typer.Option("-y", "--yes", help="Do not ask.")] = False,
) -> int:
    """Write the best answers to each prompt as chat rows, for distillation.

    Each row is {"messages": [...], "metadata": {...}}: salted ids, arm, model, reward. Answers below 0.5 are not
    written. With --preferences each is {"prompt", "chosen", "rejected", "metadata"}, of two answers to one prompt.
    `scrimp learn import` reads such files back.

    The prompts of your log leave with it: without --tag, --since or --days it asks first. Keys of your arms never do.
    """
    from scrimp.routing.learn.data.export import Export

    back = days_back(days, since, now=time.time())
    loaded = session.load(profile)
    name = loaded.profile.name
    if session.ledger_to_read() is None:
        say("the log is empty")
        return 0
    run = Export(
        session.ledger(),
        top=top,
        by=by.value,
        preferences=preferences,
        scrubbing=scrub,
        profile=name,
        tag=tag,
        since=None if back is None else time.time() - back * 86_400,
    )
    kept, lost = run.n_there
    if tag is None and back is None and kept:
        what = f"write what was asked and answered in {kept:,} requests of profile {name}"
        agreed(what, yes, hint="Add --yes to do it, or choose some by --tag, --since or --days.")
    with ExitStack() as stack:
        file = None if output is None else stack.enter_context(new_output(output))
        for row in run.rows():
            line = json.dumps(row, ensure_ascii=False) + "\n"
            if file is None:
                write_out(line, as_json=True)
            else:
                file.write(line.encode())
    what = counted(run.n_rows, "pair" if preferences else "answer")
    say(f"{what} to {counted(run.n_prompts, 'prompt')} of profile {name}" + _told(run.left_out))
    if lost:
        say(
            f"{counted(lost, 'request has', 'requests have')} no text any more (log.keep), and "
            f"{'is' if lost == 1 else 'are'} not among them"
        )
    if run.redacted:
        say("replaced: " + ", ".join(f"{n:,} {kind}" for kind, n in sorted(run.redacted.items())))
    return 0


def _told(left_out: Mapping[str, int]) -> str:
    if not left_out:
        return ""
    return "; prompts left out: " + "; ".join(f"{n:,} ({why})" for why, n in left_out.items())
