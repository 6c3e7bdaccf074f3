"""Where plans of several stages stopped, and what the stages that were not run would have cost."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scrimp.routing.ledger.overview import stage_charges
from scrimp.routing.ledger.store import instant

from .plans import plan_records

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scrimp.routing.ledger.store import Ledger

    from .plans import PlanRecord

__all__ = ["PlanStops", "plan_stops"]


@dataclass(frozen=True, slots=True)
class PlanStops:
    """One plan of several stages.

    Attributes
    ----------
    name, text
        What the profile calls it (None without a name), and how it is spelled.
    n_stages
        The most stages that it had.
    n, n_failed
        Its runs, and those that gave no answer.
    stopped
        How often the answer of each stage was the one given.
    charged_nano
        What all of its runs were charged.
    saved_nano
        What the stages after those answers would have cost by what they cost on average in runs that reached them;
        None where no run that stopped early could be compared.
    n_saved, n_unknown
        Runs that stopped early and are in that sum; and those that are not, since a stage of theirs has never run.
    """

    profile: str
    name: str | None
    text: str
    n_stages: int
    n: int
    n_failed: int
    stopped: Mapping[int, int]
    charged_nano: int
    saved_nano: int | None
    n_saved: int
    n_unknown: int


def plan_stops(ledger: Ledger, profile: str, *, since: float | None = None, n: int = 8) -> list[PlanStops]:
    """Return a profile's plans of several stages that ran, those that ran most often first.

    Parameters
    ----------
    since
        Only runs that were begun at this POSIX time or later.
    n
        How many plans at most.
    """
    at = None if since is None else instant(since)
    charges = stage_charges(ledger, profile, since=at)
    found = [
        _stops(profile, record, charges, at or "") for record in plan_records(ledger, profile, {}, n_others=10 * n)
    ]
    return sorted((each for each in found if each.n and each.n_stages > 1), key=lambda each: -each.n)[:n]


def _stops(profile: str, record: PlanRecord, charges: Mapping[str, Mapping[int, int]], at: str) -> PlanStops:
    runs = [run for run in record.runs if run["created_at"] >= at]
    ran: defaultdict[int, list[int]] = defaultdict(list)
    for run in runs:
        for stage, nano in charges.get(run["id"], {}).items():
            ran[stage].append(nano)
    stopped: defaultdict[int, int] = defaultdict(int)
    saved = n_saved = n_unknown = 0
    for run in runs:
        stage = run["stage"]
        if stage is None or run["status"] != "ok":
            continue
        stopped[stage] += 1
        spared = range(stage + 1, (run["n_stages"] or stage) + 1)
        if not spared:
            continue
        if all(ran.get(each) for each in spared):
            n_saved += 1
            saved += sum(round(sum(ran[each]) / len(ran[each])) for each in spared)
        else:
            n_unknown += 1
    return PlanStops(
        profile=profile,
        name=record.name,
        text=record.text or (runs[-1]["text"] if runs else "") or "",
        n_stages=max((run["n_stages"] or 1 for run in runs), default=0),
        n=len(runs),
        n_failed=sum(run["status"] != "ok" for run in runs),
        stopped=dict(sorted(stopped.items())),
        charged_nano=sum(run["charged_nano"] or 0 for run in runs),
        saved_nano=saved if n_saved else None,
        n_saved=n_saved,
        n_unknown=n_unknown,
    )
