"""What the log knows of bids: how far jurors can be trusted, and how plans for like prompts fared.

It is looked up when a plan is decided, and stands in the decision without any text, so that a request that is taken up
again after a kill comes to the same calls.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from scrimp.routing.ledger.bids import bid_texts, bids_of

from .bid import JUROR, LOST, WON, believed
from .brief import NO_MEMORY, Memory

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from scrimp.routing.deciding.trace import Decision
    from scrimp.routing.ledger.store import Ledger
    from scrimp.routing.plans.plan import Plan
    from scrimp.routing.prompts.context import Context

__all__ = ["PastBid", "PastBids", "recalled", "remembering", "trust_of"]

_LAST: Final = 600
"""How many bids are looked at."""

_NEAR: Final = 2
"""How many that won, and that lost, are shown."""

_GRID: Final = tuple(n / 20 for n in range(21))
_PRIOR_BIDS: Final = 12
"""As many bids as the prior of the jurors' consistency is worth."""

_GONE: Final = "(no longer kept)"


@dataclass(frozen=True, slots=True)
class PastBid:
    """A bid and what became of it.

    Attributes
    ----------
    quality
        The arm's predicted quality for that prompt.
    scores
        What jurors gave, in [0, 1].
    reward, weight
        The label of the answer that was given by it, in [0, 1], and how much it says; None where there is none.
    """

    quality: float
    scores: tuple[float, ...]
    reward: float | None = None
    weight: float = 1.0


def trust_of(past: Iterable[PastBid]) -> float:
    """Return how far scores move what is predicted of an arm, in [0, 1]: the lesser of two figures.

    The weight w of the scores that makes the labels on winners' answers most likely, as the mean over a grid with a
    prior proportional to 1 - w (its mean, 0.35, is the trust where nothing was labelled):

        p(w | labels) ~ (1 - w) prod_i v_i^(a_i y_i) (1 - v_i)^(a_i (1 - y_i)),  v_i = believed(q_i, s_i, w)

    And how consistent jurors are, whatever is right: R = 1 - MS_within / MS_between over bids, the reliability of a
    mean score, drawn towards 1 / 2 by `_PRIOR_BIDS` bids. Jurors who say the same of everything, or each something
    else, tell nothing even where no answer was ever labelled.

    Examples
    --------
    >>> round(trust_of([]), 3)
    0.35
    """
    bids = [bid for bid in past if bid.scores]
    labelled = [bid for bid in bids if bid.reward is not None]
    logs = []
    for w in _GRID[1:-1]:
        fit = math.log(1.0 - w)
        for bid in labelled:
            v, y = believed(bid.quality, bid.scores, w), bid.reward or 0.0
            fit += bid.weight * (y * math.log(max(v, 1e-6)) + (1.0 - y) * math.log(max(1.0 - v, 1e-6)))
        logs.append(fit)
    most = max(logs)
    chances = [math.exp(fit - most) for fit in logs]
    by_labels = math.fsum(w * p for w, p in zip(_GRID[1:-1], chances, strict=True)) / math.fsum(chances)
    return min(by_labels, _consistency(bids))


def _consistency(bids: Sequence[PastBid]) -> float:
    several = [bid.scores for bid in bids if len(bid.scores) > 1]
    if len(several) < 2:
        return 0.5
    means = [math.fsum(scores) / len(scores) for scores in several]
    k = math.fsum(map(len, several)) / len(several)
    grand = math.fsum(means) / len(means)
    between = k * math.fsum((mean - grand) ** 2 for mean in means) / (len(several) - 1)
    n_within = sum(map(len, several)) - len(several)
    within = math.fsum((s - m) ** 2 for scores, m in zip(several, means, strict=True) for s in scores) / n_within
    found = max(0.0, 1.0 - within / between) if between > 1e-9 else 0.0
    return (len(several) * found + _PRIOR_BIDS * 0.5) / (len(several) + _PRIOR_BIDS)


def remembering(ledger: Ledger, decision: Decision, plan: Plan, context: Context | None) -> Decision:
    """Return a decision with what the log knows of bids; one whose plan has none as it is."""
    if not any(stage.how == "bid" for stage in plan.stages):
        return decision
    return PastBids(ledger, decision.profile).added(decision, plan, context)


class PastBids:
    """The latest bids of a profile: read once for as many decisions as are made together."""

    def __init__(self, ledger: Ledger, profile: str) -> None:
        self.rows = bids_of(ledger, profile=profile, last=_LAST)
        for row in self.rows:
            row["verdicts"] = json.loads(row["verdicts"])
        self.trust = round(trust_of(filter(None, map(_past, self.rows))), 6)

    def added(self, decision: Decision, plan: Plan, context: Context | None) -> Decision:
        """Return a decision with what the log knows of bids.

        Of like prompts' bids only those count as an example that were made where every arm of the stage was asked: what
        stands in them, each has been sent before.
        """
        if decision.plan is None:
            return decision
        arms = {arm for stage in plan.stages if stage.how == "bid" for arm in stage.arms}
        known: dict[str, Any] = {"trust": self.trust, WON: [], LOST: []}
        if context is not None:
            for row in _nearest(self.rows, arms, context, decision.embedder_id):
                how = row["verdicts"][-1]["check"]
                if how in (WON, LOST) and len(known[how]) < _NEAR:
                    known[how].append([row["request_id"], row["seq"]])
        return replace(decision, plan={**decision.plan, "bids": known})


def recalled(ledger: Ledger | None, decision: Decision) -> Memory:
    """Return what a decision has of bids, with their texts."""
    known = (decision.plan or {}).get("bids")
    if known is None:
        return NO_MEMORY

    def texts(how: str) -> tuple[str, ...]:
        which = [(request_id, seq) for request_id, seq in known[how]]
        found = [None] * len(which) if ledger is None else bid_texts(ledger, which)
        return tuple(_GONE if text is None else text for text in found)

    return Memory(known["trust"], texts(WON), texts(LOST))


def _past(row: dict[str, Any]) -> PastBid | None:
    """Return a row of the log as a bid; a label counts only for the one that was carried out."""
    verdicts = row["verdicts"]
    scores = tuple(each["score"] for each in verdicts if each["check"].startswith(JUROR))
    quality = row["quality"]
    if quality is None:
        return None
    if verdicts[-1]["check"] != WON or row["reward"] is None:
        return PastBid(quality, scores)
    return PastBid(quality, scores, row["reward"], 1.0 if row["weight"] is None else row["weight"])


def _nearest(
    rows: Sequence[dict[str, Any]], arms: set[str], context: Context, embedder_id: str | None
) -> list[dict[str, Any]]:
    """Return bids on other prompts whose text is kept, nearest first."""
    import numpy as np

    own = np.asarray(context.embedding, dtype=np.float32)
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        alike = row["embedder_id"] == embedder_id and row["embedding"] is not None
        if row["kept"] and alike and arms <= set(json.loads(row["arms"])):
            found[row["request_id"]].append(row)
    near = {}
    for request_id, bids in found.items():
        vector = np.frombuffer(bids[0]["embedding"], dtype="<f4")
        if len(vector) == len(own):
            near[request_id] = float(vector @ own)
    order = sorted(near, key=lambda request_id: -near[request_id])
    return [row for request_id in order for row in found[request_id]]
