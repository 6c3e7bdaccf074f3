"""`scrimp probe`: find out how able an arm is, with short prompts whose answers can be checked."""

from __future__ import annotations

import shlex
import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer

from scrimp.profiles.errors import UsageError
from scrimp.profiles.money import format_usd
from scrimp.profiles.paths import paths
from scrimp.routing.text.in_words import counted

from . import session
from .complete import complete_named, complete_own_arms
from .options import JsonOption, MaxSpend, ProfileOption
from .parser import new_app
from .probe_table import KINDS_ONLY, Kind, probe_table
from .result import Column, Note, Result, Table, emit, say, show_progress

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .result import Block


__all__ = ["app", "probe"]

app = new_app()

EPILOG = """\b
Examples:
  scrimp probe small --max-cost 0.05
  scrimp probe large -p work --limit 20 --no-place
  scrimp probe large --from-log --check tests     and prompts of your own that were checked by `tests`
  scrimp probe --all --max-cost 0.50               every arm, in one table
  scrimp probe --all --kind format --limit 5      which arms keep to a form
"""


@app.command(epilog=EPILOG)
def probe(
    arm: Annotated[str | None, typer.Argument(metavar="[ARM]", autocompletion=complete_own_arms)] = None,
    all_arms: Annotated[
        bool, typer.Option("--all", help="Every arm of the profile, the same prompts, in one budget, as a table.")
    ] = False,
    profile: ProfileOption = None,
    max_cost: MaxSpend = "0.20",
    limit: Annotated[
        int | None, typer.Option("-n", "--limit", min=0, help="Prompts of the seventy to ask at most.")
    ] = None,
    kind: Annotated[
        list[Kind] | None, typer.Option("--kind", help="Only prompts of this kind; repeatable. Leaves the router.")
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="With --all, ask anew what the log knows.")] = False,
    from_log: Annotated[
        bool, typer.Option("--from-log", help="Also ask prompts of your log whose answers were checked, checked alike.")
    ] = False,
    check: Annotated[
        list[str] | None,
        typer.Option(
            "--check",
            metavar="NAME",
            help="Of the log, only what this check was run on; repeatable. Allows commands.",
            autocompletion=complete_named,
        ),
    ] = None,
    log_limit: Annotated[
        int,
        typer.Option("--log-limit", min=1, max=1000, help="Prompts of the log to ask at most, the latest first."),
    ] = 40,
    no_place: Annotated[bool, typer.Option("--no-place", help="Say where the arm stands; leave the router.")] = False,
    json: JsonOption = False,
) -> int:
    """Place an arm that the router has not seen: up to seventy short prompts with answers that a machine can check.

    They are of all five levels of difficulty; what is right of each says how able the arm is, whatever its price says.

    With --from-log it is also asked what was asked before with `--check` (those prompts go to the arm's provider).
    Checks that run a command run it only where --check names them; checks that ask a model are left out.

    The router then uses what was found in place of what it believed before (`scrimp router rollback` undoes it). Fewer
    than ten scored outcomes are shown and not used.

    With --all every arm is first asked for a sign of life; then all are asked one prompt after another, so that a cap
    in the middle leaves arms that were asked the same. What the log has of the last thirty days is not asked again: so
    the same command goes on where it was stopped. Exit 6 where an arm is dead, or something was left out.
    """
    from scrimp.routing.learn.collecting.probe import probe as run
    from scrimp.routing.learn.collecting.probe_log import read_checked
    from scrimp.routing.learn.collecting.probe_place import put_in_force
    from scrimp.routing.reports.abilities import load_table
    from scrimp.routing.reports.likeness import likeness
    from scrimp.routing.text.in_words import level_in_words

    if all_arms == (arm is not None):
        raise UsageError("probe what? Name an arm, or give --all", hint="`scrimp models` lists the arms.")
    if all_arms and (from_log or check):
        raise UsageError("--from-log is of one arm: it does not go with --all")
    if fresh and not all_arms:
        raise UsageError("--fresh goes with --all: one arm is always asked anew")
    kinds = tuple(dict.fromkeys(each.value for each in kind or ()))
    if arm is None:
        return probe_table(profile, max_cost, limit, kinds, fresh=fresh, no_place=no_place, as_json=json)
    if check and not from_log:
        raise UsageError("--check chooses among prompts of the log: it goes with --from-log")
    if limit == 0 and not from_log:
        raise UsageError("--limit 0 leaves nothing to ask: it goes with --from-log")
    loaded = session.load(profile)
    max_nano = session.parse_usd(max_cost, "--max-cost") or 0
    asker = session.workspace(loaded, session.ledger())
    log = read_checked(asker.ledger, loaded.profile, arm, named=check or (), n=log_limit) if from_log else None
    if log is not None and limit == 0 and not log.to_ask and not log.known:
        raise UsageError(
            f"the log has no prompt to ask{_counts(log.left_out)}", hint="`scrimp ask --check` makes some."
        )
    asker.look_after()
    report = run(asker, arm, max_nano=max_nano, limit=limit, kinds=kinds, log=log, on_item=_progress)
    session.look_back(asker.ledger, loaded.profile)
    ability = report.ability
    version = None if no_place or kinds else put_in_force([report], paths().routers, now=time.time())
    rows = [
        (
            "your log" if each.level is None else f"{each.level} {level_in_words(each.level).partition(',')[0]}",
            f"{each.n_right}/{each.n_scored}",
            "-" if each.expected is None else f"{each.expected:.0%}",
        )
        for each in report.by_level()
    ]
    right = f"{report.n_right} of {report.n_scored} right"
    lines: list[Block] = [f"{report.arm} ({report.model}): {right}, {format_usd(report.charged_nano)} spent"]
    if ability is not None:
        known = load_table(paths().abilities)
        lines += [
            Note(
                f"ability {ability.median:+.1f} ({ability.low:+.1f} to {ability.high:+.1f}), "
                f"{likeness(known, ability.median)}"
            ),
            Note(
                f"believed before: {ability.prior_mean:+.1f} ({ability.prior_low:+.1f} to {ability.prior_high:+.1f}), "
                f"{likeness(known, ability.prior_mean)}, by {ability.prior_basis}"
            ),
        ]
    if ability is not None and ability.shift_sd is not None:
        lines.append(
            f"your logged prompts are {'easier' if ability.shift > 0 else 'harder'} than they look by "
            f"{abs(ability.shift):.2f} (sd {ability.shift_sd:.2f}), by what other arms got on them"
        )
    messages = []
    if log is not None:
        n_asked = sum(each.kind == "log" and each.asked for each in report.tried)
        messages.append(
            f"of the log: {counted(n_asked, 'prompt')} asked, {counted(report.n_known, 'outcome')} of "
            f"{report.arm} known already" + _counts(report.left_out)
        )
    if report.served:
        messages.append(f"answered by {', '.join(report.served)}, which is not {report.model}")
    if report.ended_early:
        messages.append(f"ended early: {report.ended_early}")
    why = None
    if version is not None:
        messages.append(f"router {version} uses this; `scrimp router rollback` undoes it")
    elif no_place or kinds:
        why = "--no-place" if no_place else KINDS_ONLY
    else:
        why = report.too_little
        again = f"scrimp probe {arm}{'' if profile is None else f' -p {shlex.quote(profile)}'} --limit 20"
        more = " with a greater --max-cost" if report.ended_early else ""
        messages.append(f"not put in force: {why}; `{again}`{more} gives enough")
    data = report.to_dict(version=version, why=why)
    table = Table((Column("level"), Column("right", "right"), Column("expected", "right")), rows)
    found = Result(data=data, blocks=(table, *lines), messages=tuple(messages))
    return emit(found, as_json=json, otherwise="what was asked is in the log (scrimp log)")


def _counts(left_out: Mapping[str, int]) -> str:
    """Return what was left out and why, as the end of a sentence."""
    if not left_out:
        return ""
    return "; left out: " + "; ".join(f"{n} ({why})" for why, n in sorted(left_out.items()))


def _progress(done: int, total: int) -> None:
    if sys.stderr.isatty():
        show_progress(f"{done}/{total}", ended=done == total)
    elif done % 20 == 0:
        say(f"{done} of {counted(total, 'prompt')} tried")
