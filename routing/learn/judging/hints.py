"""Whether hints help: answers with a hint in front against answers for which the coin kept it back, kind by kind.

Each label is a score `(reward - mean) * (hinted - p)`, with p the logged chance that the hint was in front. Where hints
change nothing its mean is 0 whatever the chances were, since the coin was fair by them; the sum over the sum of
`p (1 - p)` is the difference that a hint makes (Robinson, Econometrica 56, 1988; overlap weights: Li, Morgan and
Zaslavsky, JASA 113, 2018). Inverse propensities give the same where all chances are alike; where they are not, a few
labels of rare draws would drown the rest.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from scrimp.routing.asking.hint_files import read_hints
from scrimp.routing.asking.hinting import FAIR, SELDOM, START, Odds
from scrimp.routing.learn.data.labelled import SOURCES, WEAK
from scrimp.routing.learn.maths.sequential import ALPHA, Look, informed, level_of_test, spent_by, spent_so_far
from scrimp.routing.ledger.hints import drawn_for, last_found

from .gate import bounds

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from scrimp.routing.ledger.store import Ledger

    Floats = NDArray[np.float64]

__all__ = [
    "LEAST",
    "Label",
    "as_line",
    "judge_hints",
    "judged_so_far",
    "labels_in",
    "past_of",
    "share_of_error",
    "shelf_status",
    "threshold",
]

_ALL: Final = "all"  # a hint's id has an @ in it

LEAST: Final = 30
"""Labels below which the start holds: the fair coin, the first threshold, and no test."""

_EACH: Final = 10  # labels on either side, at least

_SLOWER: Final = 6.0
"""Half of the error is spent by so many times the labels of a refit's gate, 600: ten points take about a thousand."""

_GROWTH: Final = 1.3
"""A further test is made once there are so many times the labels of the last one: each look costs some power."""

_OPEN: Final = (0.3, 0.7)
"""The coin's chance while nothing is shown: it leans to where labels point, and not so far that they stop telling."""

_SHOWN: Final = {"helps": 1.0 - SELDOM, "harms": SELDOM}

_PRIOR_SD: Final = 0.1
"""What a hint is thought to change before labels: nothing, give or take ten points."""

_SLOPE: Final = (0.25, 0.25)
"""How much more a hint helps per unit of cosine, before labels: mean and sd; ten points from 0.4 to 0.8."""

_LOWER: Final = 0.1  # how far below START the threshold may be learnt: nothing was seen there at first
_HIGHEST: Final = 0.9


@dataclass(frozen=True, slots=True)
class Label:
    """One answer for which a hint was drawn.

    Attributes
    ----------
    hint
        The hint's id.
    hinted
        Whether it was in front.
    p
        The chance that it was, in (0, 1).
    similarity
        Cosine of prompt and hint.
    reward
        In [0, 1].
    """

    hint: str
    hinted: bool
    p: float
    similarity: float
    reward: float


def labels_in(ledger: Ledger | None, profile: str | None) -> list[Label]:
    """Return what is known of answers for which a hint was drawn, by the order of their last labels.

    Of each the mean of the newest label of each source, by how much the source counts. Agreement and asking again say
    too little. Ratings count here: who rates does not know which side the coin fell on.
    """
    if ledger is None:
        return []
    rows: dict[str, dict[str, Any]] = {}
    found: dict[str, dict[str, tuple[float, float]]] = {}
    for row in drawn_for(ledger, [source for source in SOURCES if source not in ("agreement", *WEAK)], profile=profile):
        rows[row["request_id"]] = row
        found.setdefault(row["request_id"], {})[row["source"]] = (row["reward"], SOURCES[row["source"]] * row["weight"])
    labels = []
    for key, row in rows.items():
        total = sum(weight for _, weight in found[key].values())
        hinted, chance = bool(row["hinted"]), row["hint_propensity"]
        if total <= 0.0 or row["hinted"] is None or not 0.0 < chance < 1.0 or row["hint_similarity"] is None:
            continue
        reward = sum(value * weight for value, weight in found[key].values()) / total
        labels.append(Label(row["hint"], hinted, chance if hinted else 1.0 - chance, row["hint_similarity"], reward))
    return labels


def share_of_error(order: int) -> float:
    """Return the error that the n-th test of a profile may spend on both its sides, in all its looks together.

    `ALPHA / (n (n + 1))`: however many kinds there come to be, their shares add up to `ALPHA` at most.

    Examples
    --------
    >>> share_of_error(1), round(sum(map(share_of_error, range(1, 1000))), 4)
    (0.025, 0.05)
    """
    return ALPHA / (order * (order + 1))


def judge_hints(
    labels: Sequence[Label], past: Sequence[Mapping[str, Any]], *, tests: bool = True
) -> dict[str, Any] | None:
    """Return what a refit says of hints; None where none was ever drawn for.

    Parameters
    ----------
    past
        What earlier refits said, oldest first: their tests have spent error, and what they showed stands until a later
        test shows the opposite.
    tests
        Whether to test, which spends error; else only to estimate.
    """
    if not labels:
        return None
    orders: dict[str, int] = {}
    looks: dict[str, list[Look]] = {}
    shown: dict[str, str] = {}
    for said in past:
        for key, each in ((_ALL, said["overall"]), *said["kinds"].items()):
            shown[key] = each["verdict"]
            if each["order"] is not None:
                orders[key] = each["order"]
            if each["tested"]:
                looks.setdefault(key, []).append(Look(each["information"] / _SLOWER, each["level"], each["spent"]))

    def judged(key: str, mine: Sequence[Label]) -> dict[str, Any]:
        return _judged(mine, orders, key, looks.get(key, ()), shown.get(key, "open"), tests=tests)

    overall = judged(_ALL, labels)
    kinds = {key: judged(key, [each for each in labels if each.hint == key]) for key in _in_order(labels)}
    value, basis = threshold(labels)
    return {"n": len(labels), "overall": overall, "kinds": kinds, "threshold": {"value": value, "basis": basis}}


def _in_order(labels: Sequence[Label]) -> list[str]:
    return list(dict.fromkeys(each.hint for each in labels))


def _judged(
    labels: Sequence[Label], orders: dict[str, int], key: str, looks: Sequence[Look], shown: str, *, tests: bool
) -> dict[str, Any]:
    """Estimate what a hint changes on some prompts, and test it once there is enough that is new."""
    hinted = np.array([each.hinted for each in labels], float)
    p = np.array([each.p for each in labels])
    reward = np.array([each.reward for each in labels])
    centred = reward - _mean_by_kind(labels, reward)
    scores = centred * (hinted - p) / float((p * (1.0 - p)).mean())
    information = float(4.0 * (p * (1.0 - p)).sum())  # labels, as many as a fair coin would have taken
    effect = float(scores.mean())
    low, high = bounds(scores, 0.025)
    n, n_hinted = len(labels), int(hinted.sum())
    level, spent, tested = 0.0, spent_so_far(looks), False
    last = max((informed(look) for look in looks), default=0.0)
    time = information / _SLOWER
    enough = n >= LEAST and min(n_hinted, n - n_hinted) >= _EACH and time >= _GROWTH * last
    if tests and enough:
        alpha = share_of_error(orders.setdefault(key, max(orders.values(), default=0) + 1)) / 2.0
        level = level_of_test(time, looks, alpha=alpha)
        if level > 0.0:
            tested, spent = True, max(spent, spent_by(time, alpha=alpha))
            least, most = bounds(scores, level)
            shown = "helps" if least > 0.0 else "harms" if most < 0.0 else shown
    return {
        "n": n, "n_hinted": n_hinted, "effect": effect, "low": _number(low), "high": _number(high), "verdict": shown,
        "chance": _chance(scores, shown), "information": information, "level": level, "spent": spent, "tested": tested,
        "order": orders.get(key),
    }  # fmt: skip


def _mean_by_kind(labels: Sequence[Label], reward: Floats) -> Floats:
    """Return `(n,)` the mean reward of each label's own kind: prompts of one are easier than those of another."""
    found = np.zeros(len(labels))
    names = np.array([each.hint for each in labels])
    for name in _in_order(labels):
        found[names == name] = reward[names == name].mean()
    return found


def _chance(scores: Floats, shown: str) -> float:
    """Return the coin's next chance: where nothing is shown, the belief that hints help, from a prior around none."""
    if shown in _SHOWN:
        return _SHOWN[shown]
    n = len(scores)
    error = float(scores.std(ddof=1)) / math.sqrt(n) if n >= LEAST else 0.0
    if error == 0.0:
        return FAIR
    precision = 1.0 / _PRIOR_SD**2 + 1.0 / error**2
    belief = NormalDist().cdf(float(scores.mean()) / error**2 / math.sqrt(precision))
    return round(min(max(belief, _OPEN[0]), _OPEN[1]), 4)


def threshold(labels: Sequence[Label]) -> tuple[float, str]:
    """Return the cosine from which hints are drawn for, and what it rests on: `start`, or `labels`.

    What a hint changes is taken to be `a + b (cosine - START)`, fitted by maximum a posteriori to the scores of
    `judge_hints`, with normal priors: a around 0, b around a quarter. The start moves up past all cosines at which that
    is below 0 by two standard errors, and down past those at which it is above; a doubt moves nothing.
    """
    if len(labels) < LEAST:
        return START, "start"
    reward = np.array([each.reward for each in labels])
    centred = reward - _mean_by_kind(labels, reward)
    noise = float(centred.var())
    if noise == 0.0:
        return START, "start"
    coin = np.array([each.hinted - each.p for each in labels])
    design = coin[:, None] * np.array([[1.0, each.similarity - START] for each in labels])
    prior = np.diag([1.0 / _PRIOR_SD**2, 1.0 / _SLOPE[1] ** 2])
    spread = np.linalg.inv(design.T @ design / noise + prior)
    fitted = spread @ (design.T @ centred / noise + prior @ np.array([0.0, _SLOPE[0]]))
    cosines = np.round(np.arange(START - _LOWER, _HIGHEST + 1e-9, 0.01), 2)
    at = np.column_stack([np.ones_like(cosines), cosines - START])
    effect, doubt = at @ fitted, 2.0 * np.sqrt(np.einsum("ij,jk,ik->i", at, spread, at))
    harms, helps = cosines[effect + doubt < 0.0], cosines[effect - doubt > 0.0]
    if len(harms) and harms.max() >= START:
        return round(float(harms.max()) + 0.01, 2), "labels"
    below = START
    while below - 0.01 >= START - _LOWER - 1e-9 and np.isclose(helps, below - 0.01).any():
        below -= 0.01
    return (round(below, 2), "labels") if below < START else (START, "start")


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def as_line(each: Mapping[str, Any]) -> str:
    """Return an estimate in words: `+3.1 points [-1.0, +7.2], n = 84: not shown to help`."""
    said = {"helps": "shown to help", "harms": "shown to harm"}.get(each["verdict"], "not shown to help")
    if each["low"] is None or each["high"] is None:
        return f"n = {each['n']:,}: too few to tell"
    low, high = (f"{100 * each[name]:+.1f}" for name in ("low", "high"))
    return f"{100 * each['effect']:+.1f} points [{low}, {high}], n = {each['n']:,}: {said}"


def past_of(refits: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return what a profile's refits said of hints, oldest first, from their rows in the ledger."""
    said = (json.loads(row["data"] or "{}").get("hints") for row in refits)
    return [each for each in said if each]


def judged_so_far(ledger: Ledger | None, profile: str | None) -> dict[str, Any] | None:
    """Return what labels say of hints now, without a test: what is shown is what the last refit showed.

    Parameters
    ----------
    profile
        None takes all together, of which nothing is ever tested.
    """
    said = None if profile is None else last_found(ledger, profile)
    return judge_hints(labels_in(ledger, profile), [] if said is None else [said], tests=False)


def shelf_status(folder: Path, ledger: Ledger | None, profile: str) -> dict[str, Any]:
    """Return what `learn templates --list` shows: the hints of a folder, and what labels say of each."""
    shelf = read_hints(folder)
    odds = Odds.of(last_found(ledger, profile))
    now = judged_so_far(ledger, profile)
    rows = []
    for hint in shelf.hints:
        kind = now["kinds"].get(hint.id) if now else None
        rows.append(
            {
                "name": hint.name, "id": hint.id, "about": hint.about, "made_from": hint.made_from,
                "edited": hint.edited, "chance": odds.chance.get(hint.id, FAIR), "n": 0 if kind is None else kind["n"],
                "effect": None if kind is None else kind["effect"], "text": "-" if kind is None else as_line(kind),
            }
        )  # fmt: skip
    return {
        "schema_version": 1, "folder": str(folder), "threshold": odds.threshold, "hints": rows,
        "problems": list(shelf.problems),
    }  # fmt: skip
