"""What the log says of quality: success and its price, validity, escalation, checks against labels, latency, tokens."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from scrimp.profiles.money import usd_from_nano
from scrimp.routing.checks.base import FORM_ONLY
from scrimp.routing.ledger.digests import sums_of
from scrimp.routing.ledger.labels import TRUTH, labels_of_answered
from scrimp.routing.ledger.requests import answered
from scrimp.routing.ledger.steps import steps_of_answered
from scrimp.routing.ledger.store import instant

from .tally import RIGHT, Tally, quantile_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from scrimp.routing.ledger.digests import Span
    from scrimp.routing.ledger.store import Ledger

    _Answer = tuple[str, str]  # request and arm
    _Rewards = dict[_Answer, dict[str, float]]  # by source, those only that say how good the answer was

__all__ = [
    "RIGHT",
    "ArmReport",
    "CheckReport",
    "QualityReport",
    "quality_report",
    "quantile",
    "tally_requests",
    "tep",
    "wilson",
    "worth_of",
    "worths",
]


def wilson(k: int, n: int, z: float = 1.96) -> tuple[float, float] | None:
    """Return Wilson's 95% interval of a share k / n; None where n is 0.

    Examples
    --------
    >>> [round(each, 3) for each in wilson(8, 10)]
    [0.49, 0.943]
    """
    if n == 0:
        return None
    p, zz = k / n, z * z
    middle = (p + zz / (2 * n)) / (1 + zz / n)
    half = z * math.sqrt(p * (1 - p) / n + zz / (4 * n * n)) / (1 + zz / n)
    return max(0.0, middle - half), min(1.0, middle + half)


def quantile(values: Sequence[float], q: float) -> float | None:
    """Return a quantile of some values, between the two nearest; None where there are none.

    Examples
    --------
    >>> quantile([1.0, 2.0, 3.0], 0.5), quantile([], 0.5)
    (2.0, None)
    """
    if not values:
        return None
    ordered = sorted(values)
    at = q * (len(ordered) - 1)
    low = int(at)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (at - low) * (ordered[high] - ordered[low])


def tep(
    success: float | None, tokens: float | None, base_success: float | None, base_tokens: float | None
) -> float | None:
    """Return the Token Elasticity of Performance (EllieSQL): relative gain in success over relative gain in tokens.

    (success / base_success - 1) / (tokens / base_tokens - 1); None where either is not known or does not change.

    Examples
    --------
    >>> tep(0.9, 300.0, 0.6, 100.0)
    0.25
    """
    if success is None or tokens is None or not base_success or not base_tokens or tokens == base_tokens:
        return None
    return round((success / base_success - 1.0) / (tokens / base_tokens - 1.0), 9)


@dataclass(frozen=True, slots=True)
class ArmReport:
    """One arm's answers.

    Attributes
    ----------
    n_known, n_right
        Answers of which somebody or something has said how good they were, and those that were right.
    tokens
        Mean tokens, input and output, of a request that it answered, all calls of its plan included; None where none
        were reported.
    tep
        Token Elasticity of Performance against the arm of fewest tokens; None for that arm, and where either is not
        known.
    """

    arm: str
    n: int
    n_known: int
    n_right: int
    tokens: float | None
    tep: float | None = None

    @property
    def success(self) -> float | None:
        """The share of right answers among those of known worth, in [0, 1]; None without evidence, never 0."""
        return self.n_right / self.n_known if self.n_known else None


@dataclass(frozen=True, slots=True)
class CheckReport:
    """One check, held against what ratings, imports, probes and audits say of the answers it judged.

    Attributes
    ----------
    n_pass, n_fail, n_abstain
        Its verdicts.
    n_labelled
        Verdicts, abstentions left out, on answers that were also rated, imported, probed or audited.
    precision, recall
        P(right | pass) and P(pass | right), in [0, 1]; None where nothing is labelled.
    precision_interval, recall_interval
        Wilson's 95% interval of each.
    """

    check: str
    n_pass: int
    n_fail: int
    n_abstain: int
    n_labelled: int
    precision: float | None
    precision_interval: tuple[float, float] | None
    recall: float | None
    recall_interval: tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class QualityReport:
    """What the log says of quality; None is not known, never 0.

    Attributes
    ----------
    n, n_known, n_right
        Answered requests; those whose answer's worth is known, from ratings, imports, probes, audits, or checks that
        can tell right from wrong; and those that were right. Checks of form alone, and that somebody asked again, say
        nothing of it.
    charged_nano, known_nano
        What was charged for all of them, and for those of known worth, wrong ones included, nano-USD.
    n_schema, n_valid
        Requests whose answer was checked against a schema, and those whose answer satisfied it.
    n_plans, n_escalated
        Requests whose plan had more than one stage, and those that went beyond the first.
    latency_p50_s, latency_p95_s
        Median and 95th percentile of how long the calls of a request took together, seconds.
    arms, checks
        The same by arm that answered, and how each check did.
    """

    n: int
    n_known: int
    n_right: int
    charged_nano: int
    known_nano: int
    n_schema: int
    n_valid: int
    n_plans: int
    n_escalated: int
    latency_p50_s: float | None
    latency_p95_s: float | None
    arms: tuple[ArmReport, ...]
    checks: tuple[CheckReport, ...]

    @property
    def cost_per_success_nano(self) -> int | None:
        """What a right answer cost, wrong ones paid for as well, nano-USD."""
        return round(self.known_nano / self.n_right) if self.n_right else None

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        price = self.cost_per_success_nano
        return {
            "schema_version": 1,
            "requests": self.n,
            "known": self.n_known,
            "right": self.n_right,
            "success": self.n_right / self.n_known if self.n_known else None,
            "success_interval": wilson(self.n_right, self.n_known),
            "charged_usd": usd_from_nano(self.charged_nano),
            "cost_per_success_usd": None if price is None else usd_from_nano(price),
            "schema_requests": self.n_schema,
            "schema_validity": self.n_valid / self.n_schema if self.n_schema else None,
            "plans": self.n_plans,
            "escalation": self.n_escalated / self.n_plans if self.n_plans else None,
            "latency_p50_s": self.latency_p50_s,
            "latency_p95_s": self.latency_p95_s,
            "arms": [{**asdict(arm), "success": arm.success} for arm in self.arms],
            "checks": [asdict(check) for check in self.checks],
        }


def quality_report(
    ledger: Ledger | None,
    *,
    since: float | None = None,
    profile: str | None = None,
    tell: Callable[[int, int], None] | None = None,
) -> QualityReport:
    """Return what the log says of the quality of answered requests.

    Latencies of one per cent are one step: their quantiles are that exact.

    Parameters
    ----------
    ledger
        None where there is none yet.
    since
        Only requests made at this POSIX time or later.
    profile
        Only this profile's.
    """
    whole = Tally()
    if ledger is not None:
        at = None if since is None else instant(since)
        for part in sums_of(ledger, "requests", tally_requests, since=at, profile=profile, tell=tell):
            whole.add(part)
    return _report(whole)


def tally_requests(ledger: Ledger, span: Span, since: str | None) -> dict[str, dict[str, Any]]:
    """Return by profile what `Tally` counts of the answered requests of a span (`ledger.digests`)."""
    rows = answered(ledger, span, since=since)
    if not rows:
        return {}
    rewards, valid = _rewards(labels_of_answered(ledger, span=span, since=since))
    steps = steps_of_answered(ledger, span, since=since)
    found: dict[str, Tally] = {}
    for row in rows:
        found.setdefault(row["profile"], Tally()).take(
            row,
            worth=_worth(rewards.get((row["id"], row["arm"]), {})),
            valid=valid.get((row["id"], row["arm"])),
            judged=_judged(rewards, row["id"], steps.get(row["id"], ())),
            escalated=any(step["stage"] > 1 for step in steps.get(row["id"], ())),
        )
    return {whose: tally.to_dict() for whose, tally in found.items()}


def worths(ledger: Ledger, *, since: float | None = None, profile: str | None = None) -> dict[tuple[str, str], float]:
    """Return how good answers were, in [0, 1], by request and arm: those alone of which something is known.

    Parameters
    ----------
    since, profile
        As for `quality_report`, which counts the same.
    """
    at = None if since is None else instant(since)
    rewards, _ = _rewards(labels_of_answered(ledger, since=at, profile=profile))
    return {answer: worth for answer, found in rewards.items() if (worth := _worth(found)) is not None}


def _rewards(labels: Iterable[Mapping[str, Any]]) -> tuple[_Rewards, dict[_Answer, bool]]:
    """Return the rewards that say how good each answer was, and whether it satisfied its schema."""
    rewards: _Rewards = {}
    valid: dict[_Answer, bool] = {}
    for row in labels:
        answer, kind = (row["request_id"], row["arm"]), row["check_kind"]
        if _tells(row):
            rewards.setdefault(answer, {})[row["source"]] = float(row["reward"])
        if kind == "schema":
            valid[answer] = row["reward"] >= RIGHT
    return rewards, valid


def worth_of(labels: Iterable[Mapping[str, Any]], arm: str | None) -> float | None:
    """Return how good an arm's answer to a request was, in [0, 1], from the request's labels; None where none says."""
    return _worth({row["source"]: float(row["reward"]) for row in labels if row["arm"] == arm and _tells(row)})


def _tells(label: Mapping[str, Any]) -> bool:
    """Tell whether a label says how good an answer was."""
    kind = label["check_kind"]
    return label["source"] in TRUTH or (label["source"] == "check" and kind is not None and kind not in FORM_ONLY)


def _worth(rewards: dict[str, float]) -> float | None:
    """Return the reward that counts: what a person or an import says before what a check says; None where none do."""
    return next((rewards[source] for source in (*TRUTH, "check") if source in rewards), None)


def _judged(
    rewards: _Rewards, request: str, steps: Sequence[Mapping[str, Any]]
) -> Iterator[tuple[str, str, bool | None]]:
    """Yield each verdict on a request's answers: check, outcome, and whether the answer was right (None: not known)."""
    for step in steps:
        sources = rewards.get((request, step["arm"]), {})
        truth = next((sources[source] for source in TRUTH if source in sources), None)
        # A label is about the answer that was given: of two answers of one arm, the one that was taken.
        about = step["taken"] or sum(each["arm"] == step["arm"] for each in steps) == 1
        for verdict in step["verdicts"]:
            known = truth is not None and about and verdict["outcome"] != "abstain"
            yield verdict["check"], verdict["outcome"], truth >= RIGHT if known and truth is not None else None


def _report(whole: Tally) -> QualityReport:
    return QualityReport(
        n=whole.n,
        n_known=whole.n_known,
        n_right=whole.n_right,
        charged_nano=whole.charged_nano,
        known_nano=whole.known_nano,
        n_schema=whole.n_schema,
        n_valid=whole.n_valid,
        n_plans=whole.n_plans,
        n_escalated=whole.n_escalated,
        latency_p50_s=quantile_of(whole.latencies, 0.5),
        latency_p95_s=quantile_of(whole.latencies, 0.95),
        arms=_arms(whole.arms),
        checks=tuple(_check(name, *whole.checks[name]) for name in sorted(whole.checks)),
    )


def _arms(counts: Mapping[str, Sequence[int]]) -> tuple[ArmReport, ...]:
    arms = [
        ArmReport(name, n, n_known, n_right, tokens / n_told if n_told else None)
        for name, (n, n_known, n_right, n_told, tokens) in sorted(counts.items())
    ]
    counted = [arm for arm in arms if arm.tokens is not None and arm.n_known]
    base = min(counted, key=lambda arm: arm.tokens or 0.0, default=None)
    if base is None:
        return tuple(arms)
    return tuple(
        replace(arm, tep=None if arm is base else tep(arm.success, arm.tokens, base.success, base.tokens))
        for arm in arms
    )


def _check(
    name: str, n_pass: int, n_fail: int, n_abstain: int, n_labelled: int, passed: int, right: int, both: int
) -> CheckReport:
    return CheckReport(
        name,
        n_pass,
        n_fail,
        n_abstain,
        n_labelled,
        both / passed if passed else None,
        wilson(both, passed),
        both / right if right else None,
        wilson(both, right),
    )
