"""`scrimp refit`: learn from the log, prove it, or refuse."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from scrimp.profiles.errors import UsageError
from scrimp.profiles.paths import paths
from scrimp.routing.text.in_words import counted

from . import session
from .certificate import certificate_blocks
from .complete import among
from .options import JsonOption, ProfileOption, SeedOption
from .parser import new_app
from .progress import on_fitted, one_thread
from .result import Column, Result, Table, emit, say

if TYPE_CHECKING:
    from collections.abc import Iterator

    from typer import Context

    from scrimp.profiles.load import Loaded

    from .result import Block

__all__ = ["app", "refit"]

app = new_app()

EPILOG = """\b
Examples:
  scrimp refit                      fit on the past, judge on what came later, promote or refuse
  scrimp refit --json | jq .verdict
  scrimp refit --install-timer      every week from now on
  scrimp refit --force              promote whatever the test says; it is logged as such
"""


class _Command(TyperCommand):
    """A command whose --install-timer may stand alone: then it is weekly."""

    def parse_args(self, ctx: Context, args: list[str]) -> list[str]:  # type: ignore[override]
        """Give a bare --install-timer its value, then parse as ever."""
        given: list[str] = []
        for word, following in zip(args, [*args, "-"][1:], strict=True):
            given.append("--install-timer=weekly" if word == "--install-timer" and following.startswith("-") else word)
        return super().parse_args(ctx, given)


@app.command(epilog=EPILOG, cls=_Command)
def refit(
    profile: ProfileOption = None,
    force: Annotated[bool, typer.Option("--force", help="Promote whatever the test says; logged as such.")] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Say nothing unless the router changed.")] = False,
    timer: Annotated[
        str | None,
        typer.Option(
            "--install-timer",
            metavar="[daily|weekly]",
            help="Refit by itself from now on (systemd, or cron).",
            autocompletion=among("daily", "weekly"),
        ),
    ] = None,
    json: JsonOption = False,
    seed: SeedOption = None,
) -> int:
    """Learn from your own outcomes; put the new router in force only if it proves better on outcomes it never saw.

    Exits 0 whatever the verdict.
    """
    if timer is not None:
        return _install(timer, profile, as_json=json)
    one_thread()
    from scrimp.routing.learn.judging.refitting import refit_profile

    loaded = session.load(profile, quiet=quiet)
    decider = session.make_decider(loaded.profile)
    ledger = session.ledger_to_read()
    data = refit_profile(
        ledger,
        decider,
        paths().routers,
        now=time.time(),
        force=force,
        seed=seed or 0,
        on_fitted=None if quiet else on_fitted,
    )
    changed = data["verdict"] == "promoted"
    code = 0
    if not quiet or json:
        code = emit(Result(data=data, blocks=_blocks(data)), as_json=json)
    elif changed:
        say(f"router {data['version']} is in force: {data['reasons'][0]}")
    if changed and ledger is not None:
        session.tell_at_end(ledger, loaded.profile)
    return code


def _blocks(data: dict[str, Any]) -> tuple[Block, ...]:
    blocks: list[Block] = [f"{data['verdict']}: {data['reasons'][0]}"]
    blocks += [f"  {reason}" for reason in data["reasons"][1:]]
    blocks += [f"  note: {note}" for note in data["notes"]]
    judgement = data["judgement"]
    if judgement is not None and judgement["values"]:
        blocks.append(values_table(judgement))
        series = len(data["blocks"])
        which = "" if series == 1 else f" as the last of {series} refits, each judged on what came before the next"
        blocks.append(
            f"{counted(data['n_labels'], 'label')}; fitted on {counted(data['n_fit'], 'prompt')}, judged on "
            f"{data['n_judged']:,} later "
            f"ones{which} ({judgement['method']}, effective size {judgement['ess']:g}); "
            f"{counted(judgement['n_changed'], 'decision changes', 'decisions change')}"
        )
    if data["certificate"]["status"] != "not-enough-data" or judgement is not None:
        blocks += certificate_blocks(data["certificate"])
    blocks += hint_lines(data["hints"])
    blocks.append(f"in force: {data['version']}")
    return tuple(blocks)


def hint_lines(found: dict[str, Any] | None) -> list[str]:
    """Return what is known of hints, in all and of each where there are several; nothing where none was drawn for."""
    from scrimp.routing.learn.judging.hints import as_line

    if found is None:
        return []
    kinds = found["kinds"] if len(found["kinds"]) > 1 else {}
    lines = [f"hints: {as_line(found['overall'])}"]
    return lines + [f"  {key.partition('@')[0]}: {as_line(each)}" for key, each in kinds.items()]


def values_table(judgement: dict[str, Any]) -> Table:
    """Return what each router was worth on the prompts judged on."""

    def cell(each: dict[str, Any], digits: int) -> str:
        def number(value: float | None) -> str:
            return "-" if value is None else f"{value:.{digits}f}"

        return f"{number(each['estimate'])} [{number(each['low'])}, {number(each['high'])}]"

    best = f"best single ({judgement['best_single']})"
    rows = [
        (
            best if name == "best single" else "new, as the log grew" if name == "new" else name,
            cell(parts["quality"], 3), cell(parts["cost_usd"], 6), cell(parts["utility_usd"], 5),
        )
        for name, parts in judgement["values"].items()
    ]  # fmt: skip
    columns = (
        Column("router", narrow="whole"), Column("quality", narrow="whole"),
        Column("USD a prompt", narrow="whole", drop=1), Column("utility, USD", narrow="whole"),
    )  # fmt: skip
    return Table(columns, rows)


def _install(every: str, profile: str | None, *, as_json: bool) -> int:
    from scrimp.routing.learn.judging.timer import environment_of, install_timer

    if every not in ("daily", "weekly"):
        raise UsageError(f"--install-timer: expected daily or weekly, not {every!r}")
    loaded = session.load(profile, quiet=True)  # a timer for a profile that does not load would fail every week
    done = install_timer(every, _named(loaded), environment_of(os.environ, loaded.origin.values()))
    for line in _not_seen(loaded):
        say(line)
    return emit(Result(data={"schema_version": 1, **done.to_dict()}, blocks=done.lines), as_json=as_json)


def _named(loaded: Loaded) -> str:
    """Return what `-p` takes for a profile wherever it is said: keys and folders do not choose another one there."""
    from scrimp.profiles.chain import list_profiles

    file = loaded.files[0]
    return next((each.name for each in list_profiles(paths()) if each.path == file), str(file.absolute()))


def _not_seen(loaded: Loaded) -> Iterator[str]:
    """Yield what the profile has here that a timer does not see."""
    from scrimp.profiles.keys import Keys, key_names

    if loaded.project_file is not None:
        yield f"{loaded.project_file} is of this folder: the timer does not see it"
    own = {name for arm in loaded.profile.arms for name in key_names(arm) if arm.key_cmd is None}
    stored = Keys({}, paths())
    only_here = sorted(name for name in own if os.environ.get(name) and not stored.has(name))
    if only_here:
        yield (
            f"{', '.join(only_here)}: set in this shell alone, so the timer does not see it. A refit calls no model; "
            f"what else you run from cron needs it: scrimp keys set {only_here[0]}"
        )
