"""Refit as an experiment: fit on the past, judge on what came later, and say what the gate says. Pure."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from scrimp.routing.learn.data.decisions import predict_in_parts
from scrimp.routing.learn.data.labelled import contradictions
from scrimp.routing.learn.fitting.fit import Drift, Fitted, drift, fit, layer_key
from scrimp.routing.learn.maths.sequential import Look, spent_so_far
from scrimp.routing.prompts.kinds import kinds_of
from scrimp.routing.router.in_force import SHIPPED
from scrimp.routing.text.in_words import counted

from .gate import MIN_ESS, Certificate, Verdict, certify, judge_gain
from .judge import Judgement, compare, views
from .timeline import disorder, timeline

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from scrimp.routing.learn.data.decisions import Pool
    from scrimp.routing.learn.data.labelled import Labelled
    from scrimp.routing.router.learned import LearnedRouter

    from .gate import Word
    from .timeline import Block

__all__ = ["MAX_DISORDER", "MIN_LABELS", "Refit", "certificate_of", "history_of", "made_by", "refit"]

MIN_LABELS: Final = 20
"""Labelled prompts below which nothing is fitted."""

MAX_DISORDER: Final = 0.1
"""Share of the prompts judged on that may, by their dates, belong to those fitted on."""

_CERTIFIED_ON: Final = 5000  # the latest prompts: what was true of a log years ago certifies nothing


@dataclass(frozen=True, slots=True, eq=False)
class Refit:
    """What came of a refit.

    Attributes
    ----------
    fitted, judgement
        None where there was nothing to fit, or to judge on.
    n_fit, n_judged
        Prompts that the new router was fitted on; later ones that judged it, or the refits before it.
    blocks
        Prompts fitted on and judged on, of each refit in the series.
    last_label
        The labels up to this id were there when the new router was made.
    against, terms
        The refit that the router in force is due to; a mark of what was compared with what.
    """

    verdict: Verdict
    forced: bool
    n_labels: int
    n_fit: int
    n_judged: int
    fitted: Fitted | None
    judgement: Judgement | None
    certificate: Certificate
    drift: Drift | None
    last_label: int
    notes: tuple[str, ...]
    blocks: tuple[tuple[int, int], ...] = ()
    against: str = SHIPPED
    terms: str | None = None

    @property
    def promoted(self) -> bool:
        """Whether the new router is to take over."""
        return self.verdict.word == "promoted"

    def to_dict(self, *, version: str, candidate: str | None) -> dict[str, Any]:
        """Return what `refit --json` prints.

        Parameters
        ----------
        version, candidate
            The version in force after this, and the one that was fitted.
        """
        v, j, f = self.verdict, self.judgement, self.fitted
        return {
            "schema_version": 1,
            "verdict": v.word,
            "reasons": list(v.reasons),
            "n_labels": self.n_labels,
            "version": version,
            "candidate": candidate,
            "gain_utility": {
                "estimate": None if j is None else _number(j.gain_utility.value),
                "low": _number(v.low),
                "high": _number(v.high),
                "unit": "USD a prompt",
                "confidence": 1.0 - v.alpha if v.alpha > 0.0 else None,
            },
            "certificate": self.certificate.to_dict(),
            "forced": self.forced,
            "tested": v.tested,
            "alpha": v.alpha,
            "n_fit": self.n_fit,
            "n_judged": self.n_judged,
            "blocks": [{"n_fit": n_fit, "n_judged": n_judged} for n_fit, n_judged in self.blocks],
            "information": v.information,
            "spent": v.spent,
            "against": self.against,
            "terms": self.terms,
            "judgement": None if j is None else j.to_dict(),
            "fit": None
            if f is None
            else {
                "strength": f.strength,
                "slope": f.slope,
                "intercept": dict(f.intercept),
                "n_outcomes": dict(f.n_outcomes),
                "log_loss": f.log_loss,
                "log_loss_shipped": f.log_loss_shipped,
            },
            "drift": None
            if self.drift is None
            else {"share_far": self.drift.share_far, "n": self.drift.n, "drifted": self.drift.drifted},
            "notes": list(self.notes),
        }


def _number(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else value


def refit(
    log: Labelled,
    base: LearnedRouter,
    current: LearnedRouter,
    pool: Pool,
    *,
    version: str,
    past: Sequence[Look] = (),
    watermark: int = 0,
    force: bool = False,
    seed: int = 0,
    on_fitted: Callable[[int, int], None] | None = None,
) -> Refit:
    """Fit a new router and put it to the test.

    It is the last of a series: the refits that would have been made as the log grew, each judged on what came between
    it and the next (`timeline`). What is tested is the gain of that series over the router in force, so that every
    outcome since the last promotion but the first few speaks, and each speaks of a router that had not seen it.

    Parameters
    ----------
    base, current
        The shipped router, which the fit starts from, and the one in force, which is to be beaten.
    version
        The new router's name.
    past
        Tests made against the router in force: they have spent error.
    watermark
        Labels up to this id were there when the router in force was made.
    force
        Promote whatever the test says.
    on_fitted
        Called with how many refits of the series are made, and how many there are.
    """
    rng = np.random.default_rng(seed)
    known = ~np.isnan(log.reward)
    n_labels = int(known.sum())
    notes = list(log.notes)
    opposed, repeated = contradictions(log)
    if opposed:
        notes.append(
            f"labels contradict one another: {opposed:,} of {counted(repeated, 'prompt')} that were asked more "
            "than once got "
            "opposite outcomes from one arm"
        )
    blocks = timeline(log, watermark)
    nothing = np.zeros(0, np.intp)
    to_fit, late = (blocks[-1].to_fit, blocks[-1].judged) if blocks else (np.flatnonzero(known.any(axis=1)), nothing)
    judged = np.concatenate([block.judged for block in blocks]) if blocks else nothing
    against = made_by(current, pool)
    terms = _terms(pool, against)

    def end(verdict: Verdict, fitted: Fitted | None = None, judgement: Judgement | None = None) -> Refit:
        forced = force and fitted is not None and verdict.word != "promoted"
        if forced:
            why = ("promoted by --force; the test says otherwise:", *verdict.reasons)
            verdict = replace(verdict, word="promoted", reasons=why)
        promoted = verdict.word == "promoted"
        router = fitted.router if promoted and fitted is not None else current
        # A router may be certified on what it was not fitted on: the new one on the last block, the one in force on
        # what is fresh, the shipped one on all.
        rows = late if promoted else judged if current.layers else np.flatnonzero(log.may_judge)[-_CERTIFIED_ON:]
        return Refit(
            verdict=verdict,
            forced=forced,
            n_labels=n_labels,
            n_fit=len(to_fit),
            n_judged=len(judged),
            fitted=fitted,
            judgement=judgement,
            certificate=_certificate(router, log, rows, pool),
            drift=drift(log.embeddings[to_fit], log.embeddings[late], seed=seed),
            last_label=int(log.last_label[judged].max()) if len(judged) else watermark,
            notes=tuple(notes),
            blocks=tuple((len(block.to_fit), len(block.judged)) for block in blocks),
            against=against,
            terms=terms,
        )

    def untested(word: Word, *reasons: str) -> Verdict:
        return Verdict(word, reasons, False, 0.0, spent=spent_so_far(past))

    if len(pool.arms) < 2:
        return end(untested("no-change", "the profile has one arm: there is nothing to choose between"))
    why_not = _unfit(log, known, to_fit, late, n_labels)
    if why_not:
        return end(untested("refused", *why_not))
    own = {layer_key(arm, pool.arms) for arm in pool.arms}
    keep = {key: layer for key, layer in current.layers.items() if key not in own}

    def fit_on(rows: NDArray[np.intp]) -> Fitted:
        return fit(base, pool.arms, log.take(rows), version=version, seed=seed, keep=keep)

    if not blocks:
        fitted = fit_on(to_fit)
        every = views(current, [(fitted.router, len(log))], log, pool)
        if (every.current == every.new).all():
            return end(untested("no-change", "both routers decide alike on every prompt of the log"), fitted)
        return end(untested("refused", _nothing_fresh(log, watermark)), fitted)
    unclear = disorder(log, blocks)
    if unclear > MAX_DISORDER:
        return end(untested("refused", *_clock(log, unclear, len(judged))), fit_on(to_fit))
    skipped = next((i for i, block in enumerate(blocks[:-1]) if _teaches(log, block)), len(blocks) - 1)
    series: list[Fitted] = []
    for block in blocks[skipped:]:
        series.append(fit_on(block.to_fit))
        if on_fitted is not None:
            on_fitted(len(series), len(blocks) - skipped)
    lengths = [len(block.judged) for block in blocks]
    part = log.take(judged)
    routers = [*[current] * skipped, *(fitted.router for fitted in series)]
    seen = views(current, list(zip(routers, lengths, strict=True)), part, pool)
    judgement = compare(part, seen, pool, rng=rng)
    verdict = judge_gain(judgement, past=past, terms=terms)
    result = end(verdict, series[-1], judgement)
    if result.drift is not None and result.drift.drifted:
        line = (
            f"newer prompts differ from those fitted on: {result.drift.share_far:.0%} lie farther from them than 5% "
            "of those do from one another"
        )
        result = replace(result, notes=(*result.notes, line))
    return result


def _teaches(log: Labelled, block: Block) -> bool:
    """Return whether a refit could have been made then; a block before that changes nothing, and says nothing."""
    known = ~np.isnan(log.reward[block.to_fit])
    return int(known.any(axis=1).sum()) >= MIN_LABELS // 2 and int(known.any(axis=0).sum()) > 1


def made_by(router: LearnedRouter, pool: Pool) -> str:
    """Return the refit that a router's say on these arms is due to; other profiles' refits carry it over as it is."""
    own = {layer_key(arm, pool.arms) for arm in pool.arms}
    return max((layer.version or router.version for key, layer in router.layers.items() if key in own), default=SHIPPED)


def _terms(pool: Pool, against: str) -> str:
    """Return a mark of what is compared with what: arms with models and instructions, an answer's worth, the router."""
    arms = [[arm.name, arm.model, *([arm.instructions] if arm.instructions else [])] for arm in pool.arms]
    text = json.dumps([arms, pool.wtp_usd, pool.min_quality, against])
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _unfit(
    log: Labelled, known: NDArray[np.bool_], to_fit: NDArray[np.intp], judged: NDArray[np.intp], n_labels: int
) -> tuple[str, ...]:
    """Return why nothing can be fitted, or nothing."""
    how = "`scrimp rate`, checks, `scrimp learn audit` and `scrimp learn import` make labels"
    if n_labels == 0:
        return ("the log holds no labels: nothing says how good any answer was", how)
    prompts = int(known.any(axis=1).sum())
    values = log.reward[known]
    if prompts < MIN_LABELS:
        few = f"{prompts} labelled prompt{'s are' if prompts != 1 else ' is'} too few to learn from"
        return (f"{few}: {MIN_LABELS} are the least to fit, and about {2 * int(MIN_ESS)} to judge", how)
    if float(values.max() - values.min()) < 1e-9:
        word = "good" if values[0] >= 0.5 else "bad"
        return (f"all {n_labels:,} labels are {word} ({values[0]:g}): they do not tell the arms apart",)
    with_labels = known.any(axis=0)
    if with_labels.sum() == 1:
        only = log.arms[int(with_labels.argmax())]
        others = ", ".join(name for name in log.arms if name != only)
        return (
            f"all {n_labels:,} labels are of arm {only}: nothing says how {others} would have done",
            "`scrimp learn audit` asks the best arm too, on a sample",
        )
    if not log.may_judge.any():
        why = (
            f"all {n_labels:,} labels are ratings or redos, given when people feel like it: they promote nothing alone"
        )
        return (
            why,
            "outcomes that may judge come from checks, `scrimp learn audit` and `scrimp learn import`",
        )
    fresh = known[to_fit].any(axis=1).sum() if len(to_fit) else 0
    if fresh < MIN_LABELS // 2:
        return (f"{int(fresh)} labelled prompts would be left to fit on, {len(judged)} being kept to judge", how)
    return ()


def _clock(log: Labelled, unclear: float, n_judged: int) -> tuple[str, str]:
    need = (unclear / MAX_DISORDER - 1.0) * int(log.may_judge.sum())
    what = (
        f"the clock went back: by their dates {unclear:.0%} of the {n_judged:,} prompts to judge on are not newer than "
        "those fitted on, and a router is judged by what came later"
    )
    return what, (
        f"with the clock right, about {math.ceil(need):,} further labels outweigh them; `scrimp router promote NAME` "
        "promotes by hand"
    )


def _nothing_fresh(log: Labelled, watermark: int) -> str:
    used = int((log.first_label[log.may_judge] <= watermark).sum())
    return (
        f"no outcomes are fresh: all {used:,} that may judge were there when the router in force was made; about "
        f"{MIN_ESS:.0f} new ones are needed"
    )


def _certificate(router: LearnedRouter, log: Labelled, rows: NDArray[np.intp], pool: Pool) -> Certificate:
    if len(pool.arms) < 2 or not len(rows):
        return Certificate("not-enough-data", None, 0, 0, None)
    part = log.take(rows)
    predictions = predict_in_parts(router, part.embeddings, part.surface, pool.arms)
    tried = (~np.isnan(part.judged)).sum(axis=0)
    mean = np.where(
        tried >= 30, np.nansum(part.judged, axis=0) / np.maximum(tried, 1), predictions.quality.mean(axis=0)
    )
    best = int(mean.argmax())
    cost = np.nanmean(pool.costs(part.input_tokens, predictions.output_tokens_p50), axis=0)
    cheaper = (cost < cost[best]) | (np.isclose(cost, cost[best]) & (np.arange(len(cost)) != best))
    decided = pool.decide(predictions, part.input_tokens, part.feasible)
    return certify(decided, part.judged, best, pool.names, cheaper=cheaper, kinds=kinds_of(part.surface))


def certificate_of(current: LearnedRouter, log: Labelled, pool: Pool, watermark: int) -> Certificate:
    """Return what may be said of the router in force: on what is fresh since it was made; of the shipped one, on all.

    Parameters
    ----------
    watermark
        Labels up to this id were there when it was made.
    """
    blocks = timeline(log, watermark) if current.layers else []
    fresh = np.concatenate([block.judged for block in blocks]) if blocks else np.zeros(0, np.intp)
    rows = fresh if current.layers else np.flatnonzero(log.may_judge)[-_CERTIFIED_ON:]
    return _certificate(current, log, rows, pool)


def history_of(rows: Sequence[Mapping[str, Any]], against: str) -> tuple[tuple[Look, ...], int]:
    """Return the tests made against a router, and up to which label id labels were there when it was made.

    Parameters
    ----------
    rows
        A profile's past refits, oldest first, as the ledger keeps them.
    against
        The refit that the router in force is due to (`made_by`).
    """
    past: list[Look] = []
    watermark, in_force = 0, SHIPPED
    for row in rows:
        kept = json.loads(row["data"] or "{}")
        if row["tested"] and kept.get("against", in_force) == against:
            before = past[-1].spent if past else 0.0
            past.append(
                Look(
                    information=kept.get("information"),
                    level=row["alpha"] or 0.0,
                    spent=kept.get("spent", before + (row["alpha"] or 0.0)),
                    terms=kept.get("terms"),
                )
            )
        if row["verdict"] == "promoted":
            in_force = row["version"] or in_force
        if row["version"] is not None and row["version"] == against:
            watermark = row["last_label"] or 0
    return tuple(past), watermark
