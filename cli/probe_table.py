"""`scrimp probe --all`: every arm of a profile beside the others, on the same prompts."""

from __future__ import annotations

import sys
import time
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from scrimp.profiles.errors import ExitCode
from scrimp.profiles.money import format_usd
from scrimp.profiles.paths import paths
from scrimp.routing.text.in_words import counted

from . import session
from .result import Column, Result, Table, emit, say, show_progress

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scrimp.routing.learn.collecting.probe_all import ArmProbed, ProbeTable

__all__ = ["KINDS_ONLY", "Kind", "probe_table"]

KINDS_ONLY: Final = "--kind: some kinds of prompts say little of others"
"""Why what was found on some kinds is put in no router."""


class Kind(StrEnum):
    """A kind of prompt in the suite."""

    ARITHMETIC = "arithmetic"
    CODE = "code"
    EXTRACTION = "extraction"
    FORMAT = "format"
    KNOWLEDGE = "knowledge"
    LOGIC = "logic"
    LANGUAGE = "language"


def probe_table(
    profile: str | None,
    max_cost: str | None,
    limit: int | None,
    kinds: Sequence[str],
    *,
    fresh: bool,
    no_place: bool,
    as_json: bool,
) -> int:
    """Probe every arm, place those that can be, and print the table."""
    from scrimp.routing.learn.collecting.probe_all import probe_all
    from scrimp.routing.learn.collecting.probe_place import put_in_force

    loaded = session.load(profile)
    max_nano = session.parse_usd(max_cost, "--max-cost") or 0
    asker = session.workspace(loaded, session.ledger())
    asker.look_after()
    try:
        found = probe_all(asker, max_nano=max_nano, limit=limit, kinds=kinds, fresh=fresh, on_call=_progress)
    except KeyboardInterrupt:
        say("what was answered is kept: the same command goes on from there")
        raise
    session.look_back(asker.ledger, loaded.profile)
    version = None if no_place or kinds else put_in_force(found.reports, paths().routers, now=time.time())
    why = None if version else "--no-place" if no_place else KINDS_ONLY if kinds else "too few outcomes were scored"
    messages = [f"{each.arm.name} is dead: {each.dead}" for each in found.arms if each.dead]
    messages += [f"{each.arm.name} ended early: {each.ended}" for each in found.arms if each.ended]
    if found.ended is not None:
        messages.append(f"ended early: {found.ended}; the same command with a greater --max-cost goes on from there")
    placed = "not put in force: " + str(why) if version is None else f"router {version} uses this"
    messages.append(placed + ("" if version is None else "; `scrimp router rollback` undoes it"))
    n, of = len(found.common), len(found.items)
    summary = (
        f"{n} of {counted(of, 'prompt')} were asked of every arm that lives; {format_usd(found.charged_nano)} spent"
    )
    data = found.to_dict(version=version, why=why)
    code = ExitCode.OK if found.whole else ExitCode.BATCH_FAILURES
    result = Result(data=data, blocks=(_table(found), summary), messages=tuple(messages), exit_code=code)
    return emit(result, as_json=as_json, otherwise="what was asked is in the log (scrimp log)")


def _table(found: ProbeTable) -> Table:
    """Return arms by kinds, the best first and the dead last."""
    columns = (
        Column("arm"),
        *(Column(kind, "right") for kind in found.kinds),
        Column("all", "right"),
        Column("ability", "right"),
        Column("spent", "right"),
        Column("", narrow="below"),
    )

    def row(each: ArmProbed) -> tuple[str, ...]:
        ability = None if each.report is None else each.report.ability
        state = "dead" if each.dead else "ended early" if each.ended else ""
        return (
            each.arm.name,
            *(_share(found.of_kind(each, kind)) for kind in found.kinds),
            _share(each.got(found.common)),
            "-" if ability is None else f"{ability.median:+.1f} ({ability.low:+.1f} to {ability.high:+.1f})",
            format_usd(each.charged_nano),
            state,
        )

    def rank(each: ArmProbed) -> tuple[bool, float]:
        right, scored = each.got(found.common)
        return each.dead is not None, -right / scored if scored else 0.0

    return Table(columns, [row(each) for each in sorted(found.arms, key=rank)])


def _share(got: tuple[int, int]) -> str:
    right, scored = got
    return f"{right}/{scored}" if scored else "-"


def _progress(done: int, total: int) -> None:
    if sys.stderr.isatty():
        show_progress(f"{done}/{total}", ended=done == total)
    elif done % 50 == 0:
        say(f"{done} of {counted(total, 'call')} made")
