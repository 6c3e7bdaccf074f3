"""`scrimp probe`: find out how able an arm is, with short prompts whose answers can be checked."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer

from scrimp.profiles.errors import UsageError
from scrimp.profiles.money import format_usd
from scrimp.profiles.paths import paths

from . import session
from .complete import complete_arms
from .options import JsonOption, ProfileOption
from .parser import new_app
from .result import Column, Result, Table, emit, say, show_progress

if TYPE_CHECKING:
    from collections.abc import Mapping


__all__ = ["app", "probe"]

app = new_app()

EPILOG = """\b
Examples:
  scrimp probe small --max-usd 0.05
  scrimp probe large -p work --limit 20 --dry-place
  scrimp probe large --from-log --check tests     and prompts of your own that were checked by `tests`
"""


@app.command(epilog=EPILOG)
def probe(
    arm: Annotated[str, typer.Argument(metavar="ARM", autocompletion=complete_arms)],
    profile: ProfileOption = None,
    max_usd: Annotated[str, typer.Option("--max-usd", metavar="USD", help="The most to spend on it.")] = "0.20",
    limit: Annotated[int | None, typer.Option("--limit", min=0, help="Prompts of the sixty to ask at most.")] = None,
    from_log: Annotated[
        bool, typer.Option("--from-log", help="Also ask prompts of your log whose answers were checked, checked alike.")
    ] = False,
    check: Annotated[
        list[str] | None,
        typer.Option(
            "--check",
            metavar="NAME",
            help="Of the log, only what this check was run on; repeatable. Allows commands.",
        ),
    ] = None,
    log_limit: Annotated[
        int,
        typer.Option("--log-limit", min=1, max=1000, help="Prompts of the log to ask at most, the latest first."),
    ] = 40,
    dry_place: Annotated[bool, typer.Option("--dry-place", help="Say where the arm stands; leave the router.")] = False,
    json: JsonOption = False,
) -> int:
    """Place an arm that the router has not seen: up to sixty short prompts with answers that a machine can check.

    With --from-log it is also asked what was asked before with `--check` (those prompts go to the arm's provider).
    Checks that run a command run it only where --check names them; checks that ask a model are left out.

    The router then uses what was found in place of the prior from tier and price (`scrimp router rollback` undoes it).
    """
    from scrimp.routing.learn.collecting.probe import probe as run
    from scrimp.routing.learn.collecting.probe import put_in_force
    from scrimp.routing.learn.collecting.probe_log import read_checked

    if check and not from_log:
        raise UsageError("--check chooses among prompts of the log: it goes with --from-log")
    if limit == 0 and not from_log:
        raise UsageError("--limit 0 leaves nothing to ask: it goes with --from-log")
    loaded = session.load(profile)
    max_nano = session.parse_usd(max_usd, "--max-usd") or 0
    asker = session.workspace(loaded, session.ledger())
    log = read_checked(asker.ledger, loaded.profile, arm, named=check or (), n=log_limit) if from_log else None
    if log is not None and limit == 0 and not log.to_ask and not log.known:
        raise UsageError(
            f"the log has no prompt to ask{_counts(log.left_out)}", hint="`scrimp ask --check` makes some."
        )
    asker.look_after()
    report = run(asker, arm, max_nano=max_nano, limit=limit, log=log, on_item=_progress)
    session.look_back(asker.ledger, loaded.profile)
    ability = report.ability
    version = None if dry_place else put_in_force(report, paths().routers, now=time.time())
    rows = []
    for kind in sorted({each.kind for each in report.tried}):
        of_kind = [each for each in report.tried if each.kind == kind]
        rows.append((kind, f"{sum(each.score == 1.0 for each in of_kind)}/{len(of_kind)}"))
    right = f"{report.n_right} of {report.n_scored} right"
    lines = [f"{report.arm} ({report.model}): {right}, {format_usd(report.charged_nano)} spent"]
    if ability is not None:
        lines.append(
            f"ability {ability.mean:+.2f} [{ability.low:+.2f}, {ability.high:+.2f}] "
            f"(90% credible; {ability.prior_mean:+.2f} "
            f"was assumed before)"
        )
    if ability is not None and ability.shift_sd is not None:
        lines.append(
            f"your logged prompts are {'easier' if ability.shift > 0 else 'harder'} than they look by "
            f"{abs(ability.shift):.2f} (sd {ability.shift_sd:.2f}), by what other arms got on them"
        )
    messages = []
    if log is not None:
        n_asked = sum(each.kind == "log" and each.asked for each in report.tried)
        messages.append(
            f"of the log: {n_asked} prompts asked, {report.n_known} outcomes of {report.arm} known already"
            + _counts(report.left_out)
        )
    if report.served:
        messages.append(f"answered by {', '.join(report.served)}, which is not {report.model}")
    if report.ended_early:
        messages.append(f"ended early: {report.ended_early}")
    if version:
        messages.append(f"router {version} uses this; `scrimp router rollback` undoes it")
    data = report.to_dict(version=version)
    table = Table((Column("kind"), Column("right", "right")), rows)
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
        say(f"{done} of {total} prompts tried")
