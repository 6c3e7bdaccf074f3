"""All that the report page shows, put together: what the log says, and what measuring says of it."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import TYPE_CHECKING, Final

import numpy as np

from scrimp.routing.learn.maths.metrics import brier, ece, reliability
from scrimp.routing.ledger import overview as ledger_overview
from scrimp.routing.ledger.spending import open_calls, spent_by_day
from scrimp.routing.ledger.store import instant
from scrimp.routing.reports.page.overview import Bin, Calibration, Overview
from scrimp.routing.reports.quality import quality_report, wilson
from scrimp.routing.reports.refits import refit_history
from scrimp.routing.reports.savings import plan_stops
from scrimp.routing.reports.spending import cap_states_of, sums
from scrimp.routing.reports.survey import survey
from scrimp.routing.reports.versus import versus
from scrimp.routing.router.versions import current_name

from .duels import duel_report

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from scrimp.profiles.schema import Profile
    from scrimp.routing.ledger.store import Ledger
    from scrimp.routing.prices.price import ArmPrice
    from scrimp.routing.reports.survey import Pair

__all__ = ["calibrated", "make_overview"]

N_BINS: Final = 10
"""Bins of the calibration, as in `eval`."""

_EXCERPT: Final = 600
"""Characters of a prompt and of an answer that are read for the page."""


def make_overview(
    ledger: Ledger | None,
    *,
    now: float,
    routers: Path,
    days: float | None = None,
    only: str | None = None,
    profile: Profile | None = None,
    problem: str | None = None,
    alone: tuple[str, ArmPrice] | None = None,
    texts: bool = True,
) -> Overview:
    """Return what the log says, as the report page shows it. What dead processes left is charged first.

    Parameters
    ----------
    ledger
        None where there is none yet.
    now, days
        POSIX time; only the last so many days.
    routers
        The folder of router versions.
    only
        Only this profile's requests; None: everybody's.
    profile, problem
        Whose caps are shown, and which arm is compared with; or why there is none.
    alone
        The arm that routing is compared with, and its price; None where that is not known.
    texts
        Whether prompts and answers are shown where they are kept.
    """
    since = None if days is None else now - days * 86_400
    duels = duel_report(ledger, profile=only, since=since).to_dict()
    router = current_name(routers)
    if ledger is None:
        made = datetime.fromtimestamp(now).astimezone()
        return Overview(
            made_at=made.strftime("%Y-%m-%d %H:%M"), zone=None, profile=only, days=days, first_day=None,
            quality=quality_report(None), survey=survey(None), duels=duels, router=router, caps_problem=problem,
        )  # fmt: skip
    caps = () if profile is None else cap_states_of(ledger, profile, now=now)
    day = None if since is None else ledger.windows(since)[0]
    at = None if since is None else instant(since)
    found = survey(ledger, since=since, profile=only)
    several = only is None and len(ledger_overview.profiles(ledger)) > 1
    opened = [row for row in open_calls(ledger) if only in (None, row["profile"])]
    profiles = ledger_overview.profiles(ledger) if only is None else [only]
    compared = None
    if alone is not None and profile is not None and only in (None, profile.name):
        compared = versus(ledger, *alone, since_day=day, profile=profile.name)
    shown = {each.id for each in (*found.biggest, *found.worst)}
    return Overview(
        made_at=datetime.fromtimestamp(now, ledger.zone).strftime("%Y-%m-%d %H:%M"),
        zone=ledger.zone_name,
        profile=only,
        days=days,
        first_day=day,
        quality=quality_report(ledger, since=since, profile=only),
        survey=found,
        caps=tuple(caps),
        caps_of=None if profile is None else profile.name,
        caps_problem=problem,
        daily=tuple(
            (
                row["day"],
                f"{row['profile']}/{row['arm']}" if several else row["arm"],
                row["charged_nano"],
                row["n_calls"],
            )
            for row in spent_by_day(ledger, since_day=day, profile=only)
        ),
        by_arm=tuple(sums(ledger, "arm", since_day=day, profile=only)),
        n_open=len(opened),
        open_nano=sum(row["charged_nano"] for row in opened),
        calibration=calibrated(found.pairs),
        expectations=tuple(ledger_overview.expectations(ledger, since=at, profile=only)),
        plans=tuple(each for name in profiles for each in plan_stops(ledger, name, since=since)),
        duels=duels,
        refits=tuple(refit_history(ledger, since=since, profile=only)),
        router=router,
        versus=compared,
        versus_problem=problem if compared is None else None,
        texts=ledger_overview.excerpts(ledger, shown, n_chars=_EXCERPT) if texts else None,
    )


def calibrated(pairs: Sequence[Pair]) -> Calibration | None:
    """Return what was predicted of answers beside what came; None without any.

    The bins are those of `maths.metrics.reliability`; their intervals are Wilson's, of the mean outcome as a share.
    """
    if not pairs:
        return None
    said = np.array([min(1.0, max(0.0, each.predicted)) for each in pairs])
    seen = np.array([each.observed for each in pairs])
    bins = []
    for predicted, observed, weight in zip(*(part.tolist() for part in reliability(said, seen, N_BINS)), strict=True):
        n = round(weight * len(pairs))
        low, high = wilson(observed * n, n) or (0.0, 1.0)
        bins.append(Bin(predicted, observed, n, low, high))
    return Calibration(
        tuple(bins), len(pairs), ece(said, seen, N_BINS), brier(said, seen), Counter(each.basis for each in pairs)
    )
