"""Place an arm by what it got right: its ability, from outcomes of the suite and of the log."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from scrimp.routing.learn.fitting.fit import layer_key
from scrimp.routing.learn.fitting.prior import Beside, place, with_ability
from scrimp.routing.ledger.store import instant
from scrimp.routing.plans.record import label_weight
from scrimp.routing.prompts.context import stack
from scrimp.routing.router import versions

from .probe_log import LogItem
from .probe_report import ProbeReport

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from scrimp.routing.asking.workspace import Workspace
    from scrimp.routing.learn.fitting.prior import Ability
    from scrimp.routing.prompts.context import Context
    from scrimp.routing.router.learned import LearnedRouter

    from .probe_report import Probed

    Floats = NDArray[np.float64]

__all__ = ["put_in_force", "report_of"]


def report_of(
    asker: Workspace,
    router: LearnedRouter,
    arm_name: str,
    tried: Sequence[Probed],
    contexts: Sequence[Context],
    *,
    logged: Sequence[LogItem] = (),
    charged_nano: int,
    served: Sequence[str] = (),
    ended: str | None = None,
    left_out: dict[str, int] | None = None,
) -> ProbeReport:
    """Place an arm, and return what was found.

    Parameters
    ----------
    contexts
        Of the prompts tried, in their order.
    logged
        Prompts of the log that were asked of it, for what other arms got on them.
    """
    embeddings, surface = stack(contexts)
    judged = np.array([math.nan if isinstance(each.item, LogItem) else each.item.level for each in tried])
    own = np.isnan(judged)
    ability = _place(asker, router, arm_name, tried, (embeddings, surface), judged, logged)
    levels = np.where(own, router.levels(router.features(embeddings, surface)), judged)
    return ProbeReport(
        arm=arm_name,
        model=asker.decider.profile.arm(arm_name).model,
        key=layer_key(asker.decider.info(arm_name), asker.decider.infos),
        router=router,
        tried=tuple(tried),
        levels=tuple(levels.tolist()),
        expected=() if ability is None else tuple(ability.p_right(router, levels, own).tolist()),
        ability=ability,
        charged_nano=charged_nano,
        served=tuple(served),
        ended_early=ended,
        left_out={} if left_out is None else left_out,
    )


def put_in_force(reports: Sequence[ProbeReport], routers: Path, *, now: float) -> str | None:
    """Write one router version that knows the abilities found, and make it the current one; return its name.

    None where all that was found is too little (`ProbeReport.too_little`). It is made from the router that the arms
    were placed by.

    Parameters
    ----------
    now
        POSIX time.

    Raises
    ------
    TryAgainError
        If the router is being changed just now.
    """
    enough = [each for each in reports if each.ability is not None and each.too_little is None]
    if not enough:
        return None
    with versions.lock(routers):
        name = versions.next_name(routers)
        placed, why = enough[0].router, []
        for each in enough:
            if each.ability is not None:
                placed = with_ability(placed, each.key, each.ability, version=name, of_arm=each.arm)
                why.append(f"{each.arm} ({each.model}) was placed by {each.ability.n} probe outcomes")
        versions.write_version(routers, placed, {"verdict": "probed", "reasons": why})
        versions.promote(routers, name, at=instant(now), action="probed")
    return name


def _place(
    asker: Workspace,
    router: LearnedRouter,
    arm_name: str,
    tried: Sequence[Probed],
    embedded: tuple[NDArray[np.float32], Floats],
    judged: Floats,
    logged: Sequence[LogItem],
) -> Ability | None:
    """Return the arm's ability, from embeddings and surface features, and judged levels (NaN on the log's prompts)."""
    score = np.array([math.nan if each.score is None else each.score for each in tried])
    if np.isnan(score).all():
        return None
    beside = None
    if logged and any(isinstance(each.item, LogItem) for each in tried):
        others = stack(asker.decider.contexts([item.prompt.text for item in logged]))
        beside = Beside(
            arms=tuple(asker.decider.info(item.arm) for item in logged),
            embeddings=others[0],
            surface=others[1],
            score=np.array([item.reward for item in logged]),
            weight=np.array([item.weight for item in logged]),
        )
    return place(
        router,
        *embedded,
        score,
        asker.decider.info(arm_name),
        level=judged,
        weight=np.array([_weight(each) for each in tried]),
        beside=beside,
    )


def _weight(probed: Probed) -> float:
    """Return how much an outcome says: the suite's checks know the answer, those of the log may be fooled."""
    item = probed.item
    if not isinstance(item, LogItem):
        return 1.0
    if not probed.asked:
        return item.weight
    return min(label_weight(check.kind, passed=probed.score == 1.0) for check in item.checks)
