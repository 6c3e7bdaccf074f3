"""What the log knows of checks: their verdicts as labels, and their power where the answer's worth became known."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, Final

from scrimp.profiles.rungs import bare_of
from scrimp.routing.ledger.labels import truths_of_checked, truths_of_made, truths_of_several

from .difficulty import clipped, over_difficulty
from .kinds.kind import some_right
from .plan import Plan
from .power import SPREAD, WEIGHTS, Observation, fit_spread, prior_counts
from .skills import ROLES, Skill, Tried, learn_skill

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from scrimp.routing.checks.base import Verdict
    from scrimp.routing.ledger.store import Ledger


__all__ = ["label_rows", "label_weight", "learned_skills", "learned_spread", "observations"]

_RECENT: Final = 1_000
"""How many of the latest labelled answers are looked at: a check's power changes with what it is used for."""


def label_weight(kind: str, *, passed: bool) -> float:
    """Return how much a verdict says about an answer being right, in [0, 1]: the weight of its label.

    A pass weighs 1 - P(pass | wrong), a fail P(pass | right), as supposed of the kind of check.
    """
    right_pass, right_fail, wrong_pass, wrong_fail = prior_counts(kind)
    if passed:
        return round(wrong_fail / (wrong_pass + wrong_fail), 3)
    return round(right_pass / (right_pass + right_fail), 3)


def label_rows(
    verdicts: Iterable[Verdict], kinds: Mapping[str, str], *, keep_evidence: bool = True
) -> list[dict[str, Any]]:
    """Return verdicts as labels of the source `check`: reward 1 for a pass, 0 for a fail; abstentions are none.

    The last label of a source is the one that counts, so fails come after passes.
    """
    told = [verdict for verdict in verdicts if verdict.outcome != "abstain"]
    weights = {v.check: label_weight(kinds.get(v.check, ""), passed=not v.failed) for v in told}
    return [
        {
            "reward": 0.0 if verdict.failed else 1.0,
            "weight": weights[verdict.check],
            "note": _note(verdict) if keep_evidence else verdict.check,
            "check_kind": kinds.get(verdict.check),
        }
        for verdict in sorted(told, key=lambda each: (each.failed, weights[each.check]))
    ]


def _note(verdict: Verdict) -> str:
    """Return what a label says of its verdict: the check, and the evidence where that does not name it already."""
    if verdict.check in verdict.evidence or not verdict.evidence:
        return verdict.evidence or verdict.check
    return f"{verdict.check}: {verdict.evidence}"


def _ease(decision: str | None) -> float | None:
    """Return the mean logit of the arms' predicted quality, of a logged decision."""
    try:
        arms = json.loads(decision or "")["arms"]
        qualities = [min(0.9999, max(0.0001, float(arm["quality"]))) for arm in arms]
    except (ValueError, KeyError, TypeError):
        return None
    return math.fsum(math.log(q / (1.0 - q)) for q in qualities) / len(qualities) if qualities else None


def observations(ledger: Ledger) -> dict[str, list[Observation]]:
    """Return, for each check of the log, its verdicts on answers whose worth became known otherwise."""
    found: dict[str, list[Observation]] = {}
    for row in truths_of_checked(ledger, last=_RECENT):
        ease = _ease(row["decision"])
        for verdict in json.loads(row["verdicts"] or "[]"):
            if verdict["outcome"] != "abstain":
                found.setdefault(verdict["check"], []).append(
                    Observation(
                        verdict["outcome"] == "pass",
                        float(row["reward"]),
                        1.0 if ease is None else ease,
                        float(row["weight"] or 1.0),
                    )
                )
    return found


def learned_spread(ledger: Ledger) -> float:
    """Return how much hidden difficulty moves all arms alike, from prompts on which several answers were labelled."""
    by_request: dict[str, dict[str, tuple[float, float]]] = {}
    for row in truths_of_several(ledger, last=_RECENT):
        try:
            arms = json.loads(row["decision"] or "")["arms"]
            quality = next(float(arm["quality"]) for arm in arms if arm["name"] == row["arm"])
        except (ValueError, KeyError, TypeError, StopIteration):
            continue
        by_request.setdefault(row["request_id"], {})[row["arm"]] = (quality, float(row["reward"]))
    known = [arms for arms in by_request.values() if len(arms) > 1]
    return fit_spread(known) if len(known) >= 10 else SPREAD


def learned_skills(ledger: Ledger, *, spread: float = SPREAD) -> dict[tuple[str, str], Skill]:
    """Return what the log says of arms that merge, lead or judge, by role and arm; of bids by ("bid", "")."""
    tried: dict[tuple[str, str], list[Tried]] = {}
    for row in truths_of_made(ledger, last=_RECENT):
        try:
            decision = json.loads(row["decision"] or "")
            stage = Plan.from_dict(decision["plan"]).stages[row["stage"] - 1]
            quality = {arm["name"]: float(arm["quality"]) for arm in decision["arms"]}
            asked = (*stage.arms, *stage.by) if stage.how == "lead" else stage.arms
            known = [quality[arm] for arm in asked]
        except (ValueError, KeyError, TypeError, IndexError):
            continue
        # Where a merge or a planner gave no answer, one of the others stands, which says nothing of it.
        if stage.how not in ROLES or (stage.how in ("merge", "lead") and row["kind"] != stage.how):
            continue
        shown = {"bid": "", "merge": row["arm"], "split": stage.arms[0]}
        arm = bare_of(shown[stage.how] if stage.how in shown else stage.by[0])
        at_nodes = over_difficulty(clipped(known), spread)
        some = float(some_right(at_nodes[None], tuple(asked.index(each) for each in asked))[0] @ WEIGHTS)
        tried.setdefault((stage.how, arm), []).append(Tried(some, float(row["reward"]), float(row["weight"] or 1.0)))
    return {key: learn_skill(key[0], seen) for key, seen in tried.items()}
