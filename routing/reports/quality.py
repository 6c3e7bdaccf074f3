"""What the log says of quality: success and its price, validity, escalation, checks against labels, latency, tokens."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from scrimp.profiles.money import usd_from_nano
from scrimp.routing.ledger.labels import TRUTH

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from scrimp.routing.ledger.store import Ledger

__all__ = ["ArmReport", "CheckReport", "QualityReport", "quality_report", "quantile", "tep", "wilson"]

_RIGHT: Final = 0.5
"""A label from here on counts as success."""


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
        Answers whose worth is known by a label of any source, and those that were right.
    tokens
        Mean tokens of a request that it answered, all calls of its plan included; None where none were reported.
    tep
        Token Elasticity of Performance against the arm of fewest tokens.
    """

    arm: str
    n: int
    n_known: int
    n_right: int
    tokens: float | None
    tep: float | None = None

    @property
    def success(self) -> float | None:
        """The share of right answers among those of known worth."""
        return self.n_right / self.n_known if self.n_known else None


@dataclass(frozen=True, slots=True)
class CheckReport:
    """One check against labels of other sources (ratings, imports, probes, audits).

    Attributes
    ----------
    precision
        P(right | pass) and recall P(pass | right), each with Wilson's interval; None where nothing is labelled.
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
    known_nano
        What was charged for requests of known worth, wrong ones included, nano-USD.
    n_schema, n_valid
        Requests that asked for a schema and were checked against it, and those whose answer satisfied it.
    n_plans, n_escalated
        Requests whose plan had more than one stage, and those that went beyond the first.
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


def quality_report(ledger: Ledger | None, *, since: str | None = None, profile: str | None = None) -> QualityReport:
    """Return what the log says of the quality of answered requests.

    Parameters
    ----------
    since
        Only requests made at this instant (as the ledger spells it) or later.
    profile
        Only this profile's.
    """
    if ledger is None:
        return _report([], {}, {}, {})
    where, parameters = ["q.status = 'ok'"], []
    for condition, value in (("q.created_at >= ?", since), ("q.profile = ?", profile)):
        if value is not None:
            where.append(condition)
            parameters.append(value)
    some = " AND ".join(where)
    rows = ledger.rows(
        "SELECT q.id, q.arm, "  # noqa: S608 - constants
        # Read from the text only where there is a plan: a long log has many decisions.
        """CASE WHEN q.decision LIKE '%"plan": {%' AND json_valid(q.decision) """
        "THEN json_array_length(q.decision, '$.plan.stages') END AS n_stages, "
        "(SELECT sum(charged_nano) FROM reservations r WHERE r.request_id = q.id) AS charged_nano, "
        "(SELECT sum(latency_s) FROM attempts a WHERE a.request_id = q.id) AS latency_s, "
        "(SELECT sum(input_tokens + output_tokens) FROM attempts a WHERE a.request_id = q.id) AS tokens "
        f"FROM requests q WHERE {some}",
        tuple(parameters),
    )
    labels: dict[tuple[str, str], dict[str, float]] = {}
    for row in ledger.rows(
        "SELECT l.request_id, l.arm, l.source, l.reward FROM labels l "  # noqa: S608 - constants
        f"JOIN requests q ON q.id = l.request_id WHERE {some} ORDER BY l.id",
        tuple(parameters),
    ):
        labels.setdefault((row["request_id"], row["arm"]), {})[row["source"]] = float(row["reward"])
    steps: dict[str, list[dict[str, Any]]] = {}
    for row in ledger.rows(
        "SELECT s.request_id, s.stage, s.arm, s.kind, s.taken, s.outcome, s.verdicts FROM steps s "  # noqa: S608 - constants
        f"JOIN requests q ON q.id = s.request_id WHERE {some} ORDER BY s.id",
        tuple(parameters),
    ):
        steps.setdefault(row["request_id"], []).append({**row, "verdicts": json.loads(row["verdicts"] or "[]")})
    return _report(rows, labels, steps, {row["id"]: row for row in rows})


def _worth(labels: dict[str, float] | None) -> float | None:
    """Return the reward that counts: what a person or an import says before what a check says."""
    if not labels:
        return None
    for source in (*TRUTH, "check", *labels):
        if source in labels:
            return labels[source]
    return None


def _report(
    rows: Sequence[dict[str, Any]],
    labels: dict[tuple[str, str], dict[str, float]],
    steps: dict[str, list[dict[str, Any]]],
    by_id: dict[str, dict[str, Any]],
) -> QualityReport:
    worth = {row["id"]: _worth(labels.get((row["id"], row["arm"]))) for row in rows}
    known = [row for row in rows if worth[row["id"]] is not None]
    right = {key for key, value in worth.items() if value is not None and value >= _RIGHT}
    schema = [
        verdict["outcome"] == "pass"
        for row in rows
        for step in steps.get(row["id"], ())
        if step["taken"]
        for verdict in step["verdicts"]
        if verdict["check"].startswith("schema") and verdict["outcome"] != "abstain"
    ]
    plans = [row["id"] for row in rows if (row["n_stages"] or 1) > 1]
    latencies = [float(row["latency_s"]) for row in rows if row["latency_s"] is not None]
    return QualityReport(
        n=len(rows),
        n_known=len(known),
        n_right=len(right),
        charged_nano=sum(row["charged_nano"] or 0 for row in rows),
        known_nano=sum(row["charged_nano"] or 0 for row in known),
        n_schema=len(schema),
        n_valid=sum(schema),
        n_plans=len(plans),
        n_escalated=sum(any(step["stage"] > 1 for step in steps.get(each, ())) for each in plans),
        latency_p50_s=quantile(latencies, 0.5),
        latency_p95_s=quantile(latencies, 0.95),
        arms=_arms(rows, worth, right),
        checks=tuple(_checks(labels, steps, by_id)),
    )


def _arms(rows: Sequence[dict[str, Any]], worth: dict[str, float | None], right: set[str]) -> tuple[ArmReport, ...]:
    arms = []
    for name in sorted({row["arm"] for row in rows if row["arm"]}):
        mine = [row for row in rows if row["arm"] == name]
        tokens = [row["tokens"] for row in mine if row["tokens"] is not None]
        arms.append(
            ArmReport(
                name,
                len(mine),
                sum(worth[row["id"]] is not None for row in mine),
                sum(row["id"] in right for row in mine),
                math.fsum(tokens) / len(tokens) if tokens else None,
            )
        )
    from dataclasses import replace

    counted = [arm for arm in arms if arm.tokens is not None and arm.n_known]
    base = min(counted, key=lambda arm: arm.tokens or 0.0, default=None)
    if base is None:
        return tuple(arms)
    return tuple(
        replace(arm, tep=None if arm is base else tep(arm.success, arm.tokens, base.success, base.tokens))
        for arm in arms
    )


def _checks(
    labels: dict[tuple[str, str], dict[str, float]],
    steps: dict[str, list[dict[str, Any]]],
    by_id: dict[str, dict[str, Any]],
) -> Iterable[CheckReport]:
    counts: dict[str, dict[str, int]] = {}
    pairs: dict[str, list[tuple[bool, bool]]] = {}
    for request, mine in steps.items():
        for step in mine:
            sources = labels.get((request, step["arm"]), {})
            truth = next((sources[source] for source in TRUTH if source in sources), None)
            # A label is about the answer that was given: of two answers of one arm, the one that was taken.
            about = request in by_id and (step["taken"] or sum(each["arm"] == step["arm"] for each in mine) == 1)
            for verdict in step["verdicts"]:
                tally = counts.setdefault(verdict["check"], {"pass": 0, "fail": 0, "abstain": 0})
                tally[verdict["outcome"]] += 1
                if truth is not None and about and verdict["outcome"] != "abstain":
                    pairs.setdefault(verdict["check"], []).append((verdict["outcome"] == "pass", truth >= _RIGHT))
    for name in sorted(counts):
        seen = pairs.get(name, [])
        both = sum(passed and right for passed, right in seen)
        passed, right = sum(pair[0] for pair in seen), sum(pair[1] for pair in seen)
        yield CheckReport(
            name,
            counts[name]["pass"],
            counts[name]["fail"],
            counts[name]["abstain"],
            len(seen),
            both / passed if passed else None,
            wilson(both, passed),
            both / right if right else None,
            wilson(both, right),
        )
