"""Refit as an experiment: fit on the past, judge on what came later, and say what the gate says. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from .decisions import predict_in_parts
from .fit import Drift, Fitted, drift, fit, layer_key
from .gate import MIN_ESS, Certificate, Verdict, certify, error_for_test, judge_gain
from .judge import Judgement, compare, views
from .labelled import contradictions

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from scrimp.routing.learned import LearnedRouter

    from .decisions import Pool
    from .labelled import Labelled

__all__ = ["MAX_DISORDER", "MIN_LABELS", "Refit", "disorder", "history_of", "refit", "split"]

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
    last_label
        The labels up to this id are used up when the test was made.
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
                "confidence": 1.0 - v.alpha,
            },
            "certificate": self.certificate.to_dict(),
            "forced": self.forced,
            "tested": v.tested,
            "alpha": v.alpha,
            "n_fit": self.n_fit,
            "n_judged": self.n_judged,
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


def split(log: Labelled, watermark: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the rows to fit on and the rows to judge on: the later quarter of what may judge, as far as it is fresh.

    It is the later two thirds where most outcomes are those of one drawn arm, since each says less, and the later half
    after a first test, since each later one has less error to spend. At least `MIN_ESS` prompts judge
    where there are twice as many. In order of the labels: what was learnt later judges what was learnt before. Fresh
    are prompts none of whose labels has judged before (ids up to `watermark`).
    """
    strong = np.flatnonzero(log.may_judge)
    strong = strong[np.argsort(log.first_label[strong], kind="stable")]
    n = len(strong)
    known = ~np.isnan(log.judged[strong])
    drawn = known.sum(axis=1) < 2
    part = 2 / 3 if n and drawn.mean() > 0.5 else 0.5 if watermark > 0 else 0.25
    n_judge = max(math.ceil(part * n), min(int(MIN_ESS), n // 2))
    later = strong[n - n_judge :]
    judged = later[log.first_label[later] > watermark]
    labelled = np.flatnonzero((~np.isnan(log.reward)).any(axis=1))
    rest = np.setdiff1d(labelled, judged)
    # A rating of a prompt that is judged, under another request, would let the judge's answer slip into the fit.
    weak = ~log.may_judge[rest] & np.isin(log.text_key[rest], log.text_key[judged])
    return rest[~weak], judged


def disorder(log: Labelled, to_fit: NDArray[np.intp], judged: NDArray[np.intp]) -> float:
    """Return the share of the rows judged on that would be fitted on if the dates were the order, not the log.

    Labels may come long after the prompt: so the dates are set against the places in the log, not against the labels.
    """
    rows = np.concatenate([to_fit, judged])
    rows = rows[log.may_judge[rows]]
    if log.asked_at is None or not len(judged) or len(judged) == len(rows):
        return 0.0
    rows = rows[np.argsort(log.position[rows], kind="stable")]
    by_date = rows[np.argsort(log.asked_at[rows], kind="stable")]
    n = len(judged)
    return float(1.0 - np.isin(rows[-n:], by_date[-n:]).mean())


def refit(
    log: Labelled,
    base: LearnedRouter,
    current: LearnedRouter,
    pool: Pool,
    *,
    version: str,
    n_tests: int = 0,
    watermark: int = 0,
    force: bool = False,
    seed: int = 0,
) -> Refit:
    """Fit a new router and put it to the test.

    Parameters
    ----------
    base, current
        The shipped router, which the fit starts from, and the one in force, which is to be beaten.
    version
        The new router's name.
    n_tests
        Tests made since the last promotion: each leaves less error to spend.
    watermark
        Labels up to this id have judged before.
    force
        Promote whatever the test says.
    """
    rng = np.random.default_rng(seed)
    level = error_for_test(n_tests + 1)
    known = ~np.isnan(log.reward)
    n_labels = int(known.sum())
    notes = list(log.notes)
    opposed, repeated = contradictions(log)
    if opposed:
        notes.append(
            f"labels contradict one another: {opposed:,} of {repeated:,} prompts that were asked more than once got "
            "opposite outcomes from one arm"
        )
    to_fit, judged = split(log, watermark)

    def end(verdict: Verdict, fitted: Fitted | None = None, judgement: Judgement | None = None) -> Refit:
        forced = force and fitted is not None and verdict.word != "promoted"
        if forced:
            why = ("promoted by --force; the test says otherwise:", *verdict.reasons)
            verdict = replace(verdict, word="promoted", reasons=why)
        promoted = verdict.word == "promoted"
        router = fitted.router if promoted and fitted is not None else current
        # A router may be certified on what it was not fitted on: the shipped one on all, others on the judged part.
        rows = judged if promoted or current.layers else np.flatnonzero(log.may_judge)[-_CERTIFIED_ON:]
        return Refit(
            verdict=verdict,
            forced=forced,
            n_labels=n_labels,
            n_fit=len(to_fit),
            n_judged=len(judged),
            fitted=fitted,
            judgement=judgement,
            certificate=_certificate(router, log, rows, pool),
            drift=drift(log.embeddings[to_fit], log.embeddings[judged], seed=seed),
            last_label=int(log.last_label[judged].max()) if len(judged) else watermark,
            notes=tuple(notes),
        )

    if len(pool.arms) < 2:
        return end(Verdict("no-change", ("the profile has one arm: there is nothing to choose between",), False, level))
    why_not = _unfit(log, known, to_fit, judged, n_labels)
    if why_not:
        return end(Verdict("refused", why_not, False, level))
    own = {layer_key(arm, pool.arms) for arm in pool.arms}
    keep = {key: layer for key, layer in current.layers.items() if key not in own}
    fitted = fit(base, pool.arms, log.take(to_fit), version=version, seed=seed, keep=keep)
    if not len(judged):
        every = views(current, fitted.router, log, pool)
        if (every.current == every.new).all():
            return end(
                Verdict("no-change", ("both routers decide alike on every prompt of the log",), False, level), fitted
            )
        return end(Verdict("refused", (_nothing_fresh(log, watermark),), False, level), fitted)
    unclear = disorder(log, to_fit, judged)
    if unclear > MAX_DISORDER:
        return end(Verdict("refused", _clock(log, unclear, len(judged)), False, level), fitted)
    part = log.take(judged)
    seen = views(current, fitted.router, part, pool)
    judgement = compare(part, seen, pool, rng=rng)
    verdict = judge_gain(judgement, n_tests=n_tests)
    result = end(verdict, fitted, judgement)
    if result.drift is not None and result.drift.drifted:
        line = (
            f"newer prompts differ from those fitted on: {result.drift.share_far:.0%} lie farther from them than 5% "
            "of those do from one another"
        )
        result = replace(result, notes=(*result.notes, line))
    return result


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
        f"no outcomes are fresh: all {used:,} that may judge are from before the last test, which judged on them or "
        f"fitted on them; about {MIN_ESS:.0f} new ones are needed"
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
    return certify(decided, part.judged, best, pool.names, cheaper=cheaper)


def history_of(rows: Sequence[Mapping[str, Any]]) -> tuple[int, int]:
    """Return the tests made since the last promotion, and up to which label id labels have been used up.

    Parameters
    ----------
    rows
        A profile's past refits, oldest first, as the ledger keeps them.
    """
    n_tests = watermark = 0
    for row in rows:
        if row["tested"] or row["forced"]:
            watermark = max(watermark, row["last_label"] or 0)
        n_tests += bool(row["tested"])
        if row["verdict"] == "promoted":
            n_tests = 0
    return n_tests, watermark
