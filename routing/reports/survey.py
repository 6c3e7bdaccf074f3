"""What the log's requests say together, in one reading: predictions and outcomes, arms, guards, readings, memory."""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from scrimp.profiles.money import usd_from_nano
from scrimp.profiles.rungs import bare_of, reading_of
from scrimp.routing.guard.verdict import Name, Outcome
from scrimp.routing.ledger.overview import told
from scrimp.routing.ledger.store import instant

from .quality import RIGHT, quantile, wilson, worths

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from scrimp.routing.ledger.store import Ledger

__all__ = ["ArmPoint", "GuardEvent", "Kind", "Pair", "Request", "Survey", "front", "survey"]

_EVENTS: Final = 12
"""The latest findings of guards that are told one by one."""


@dataclass(frozen=True, slots=True)
class Pair:
    """What was predicted of an answer and what came: both in [0, 1]; `basis` is what the prediction rested on."""

    predicted: float
    observed: float
    basis: str


@dataclass(frozen=True, slots=True)
class ArmPoint:
    """One arm: what its answers were, and what was predicted of it for every prompt that it was weighed for.

    Attributes
    ----------
    n, n_known, n_right
        Prompts that it answered alone, in no plan; those of which something says how good the answer was, and of these
        the right ones.
    cost_usd, seconds
        Mean of what such an answer was charged, retries included, and the median of how long it took; None where that
        is not known.
    n_weighed, predicted_quality, predicted_cost_usd, predicted_seconds
        Prompts that it was weighed for, and the means of what was predicted; all arms of a profile were weighed for the
        same prompts, so these can be compared where the observed ones cannot.
    """

    arm: str
    n: int = 0
    n_known: int = 0
    n_right: int = 0
    cost_usd: float | None = None
    seconds: float | None = None
    n_weighed: int = 0
    predicted_quality: float | None = None
    predicted_cost_usd: float | None = None
    predicted_seconds: float | None = None

    @property
    def observed(self) -> float | None:
        """The share of right answers, in [0, 1]; None without evidence."""
        return self.n_right / self.n_known if self.n_known else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """Wilson's 95% interval of it."""
        return wilson(self.n_right, self.n_known)


@dataclass(frozen=True, slots=True)
class GuardEvent:
    """What a guard did to one prompt."""

    request_id: str
    at: str
    guard: str
    outcome: str
    why: str


@dataclass(frozen=True, slots=True)
class Kind:
    """Requests of one kind: their number, those of known worth, the right ones, what was charged, tokens.

    Attributes
    ----------
    n_tokens, n_all
        Of memory: tokens of the conversation that were sent, and that there were.
    """

    name: str
    n: int
    n_known: int
    n_right: int
    charged_nano: int
    n_tokens: int = 0
    n_all: int = 0


@dataclass(frozen=True, slots=True)
class Request:
    """One request in short; None is not known."""

    id: str
    at: str
    arm: str | None
    status: str
    charged_nano: int | None
    tokens: int | None
    latency_s: float | None
    worth: float | None
    predicted: float | None


@dataclass(frozen=True, slots=True)
class Survey:
    """What the log says in one reading.

    Attributes
    ----------
    n, n_traced
        Requests, and those whose decision was kept.
    pairs
        Predictions of answers whose worth is known.
    arms
        By name.
    guards
        How often which guard did what.
    events
        The latest findings that changed or refused a prompt, or warned, the newest first.
    readings, memory
        Requests by how much of their files was read, and by how much of their conversation went along.
    biggest, worst
        The dearest, and of those that were wrong the worst ones (then the dearest).
    """

    n: int = 0
    n_traced: int = 0
    pairs: tuple[Pair, ...] = ()
    arms: tuple[ArmPoint, ...] = ()
    guards: Mapping[tuple[str, str], int] = field(default_factory=dict)
    events: tuple[GuardEvent, ...] = ()
    readings: tuple[Kind, ...] = ()
    memory: tuple[Kind, ...] = ()
    biggest: tuple[Request, ...] = ()
    worst: tuple[Request, ...] = ()


@dataclass(slots=True)
class _Arm:
    n_known: int = 0
    n_right: int = 0
    nano: list[int] = field(default_factory=list)
    n: int = 0
    seconds: list[float] = field(default_factory=list)
    predicted: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))


@dataclass(slots=True)
class _Tally:
    n: int = 0
    n_known: int = 0
    n_right: int = 0
    nano: int = 0
    n_tokens: int = 0
    n_all: int = 0

    def add(self, row: Mapping[str, Any], worth: float | None, *, sent: int = 0, whole: int = 0) -> None:
        self.n += 1
        self.n_known += worth is not None
        self.n_right += worth is not None and worth >= RIGHT
        self.nano += row["charged_nano"] or 0
        self.n_tokens += sent
        self.n_all += whole


class _Reading:
    """What is gathered while the log is read."""

    def __init__(self, known: Mapping[tuple[str, str], float], n_requests: int) -> None:
        self.known = known
        self.n_requests = n_requests
        self.n = self.n_traced = 0
        self.pairs: list[Pair] = []
        self.arms: defaultdict[str, _Arm] = defaultdict(_Arm)
        self.guards: Counter[tuple[str, str]] = Counter()
        self.events: list[GuardEvent] = []
        self.readings: defaultdict[str, _Tally] = defaultdict(_Tally)
        self.memory: defaultdict[str, _Tally] = defaultdict(_Tally)
        self.dear: list[Request] = []
        self.wrong: list[Request] = []

    def take(self, row: Mapping[str, Any]) -> None:
        """Take in one request."""
        self.n += 1
        worth = self.known.get((row["id"], row["arm"] or ""))
        predicted: float | None = None
        trace = _trace(row["decision"])
        if trace is not None:
            self.n_traced += 1
            basis, predicted = _predicted(trace, row["arm"])
            if predicted is not None and worth is not None and row["status"] == "ok":
                self.pairs.append(Pair(predicted, worth, basis))
            self._weighed(trace)
            self._guards(row, trace)
        if row["status"] == "ok" and row["arm"]:
            self._answered(row, worth, alone=trace is None or not trace.get("plan"))
        short = Request(
            row["id"], row["created_at"], row["arm"], row["status"], row["charged_nano"], row["tokens"],
            row["latency_s"], worth, predicted,
        )  # fmt: skip
        if row["charged_nano"]:
            self.dear.append(short)
        if worth is not None and worth < RIGHT and row["status"] == "ok":
            self.wrong.append(short)
        for found in (self.dear, self.wrong):
            if len(found) > 50 * self.n_requests:
                self._cut()

    def _cut(self) -> None:
        self.dear = sorted(self.dear, key=lambda each: (-(each.charged_nano or 0), each.id))[: self.n_requests]
        self.wrong = sorted(self.wrong, key=lambda each: (each.worth, -(each.charged_nano or 0), each.id))
        self.wrong = self.wrong[: self.n_requests]

    def _answered(self, row: Mapping[str, Any], worth: float | None, *, alone: bool) -> None:
        if row["n_files"]:
            self.readings[reading_of(row["arm"]) or "whole"].add(row, worth)
        recalled = _trace(row["memory"])
        if recalled is not None and isinstance(recalled.get("tier"), str):
            self.memory[recalled["tier"]].add(
                row, worth, sent=_whole(recalled.get("n_tokens")), whole=_whole(recalled.get("n_all"))
            )
        if not alone:
            return
        arm = self.arms[bare_of(row["arm"])]
        arm.n += 1
        arm.n_known += worth is not None
        arm.n_right += worth is not None and worth >= RIGHT
        if row["charged_nano"] is not None:
            arm.nano.append(row["charged_nano"])
        if row["latency_s"] is not None:
            arm.seconds.append(row["latency_s"])

    def _weighed(self, trace: Mapping[str, Any]) -> None:
        for each in _dicts(trace.get("arms")):
            name = each.get("name")
            if not isinstance(name, str) or reading_of(name) not in (None, "whole"):
                continue
            predicted = self.arms[bare_of(name)].predicted
            for key in ("quality", "cost_usd", "seconds"):
                if isinstance(value := each.get(key), (int, float)):
                    predicted[key].append(float(value))

    def _guards(self, row: Mapping[str, Any], trace: Mapping[str, Any]) -> None:
        for each in _dicts(trace.get("guards")):
            guard, outcome = str(each.get("guard")), str(each.get("outcome"))
            self.guards[guard, outcome] += 1
            if outcome != Outcome.PASSED:
                self.events.append(GuardEvent(row["id"], row["created_at"], guard, outcome, str(each.get("why") or "")))
        if len(self.events) > 50 * _EVENTS:
            self.events = self.events[-_EVENTS:]

    def done(self) -> Survey:
        """Return what was gathered."""
        self._cut()
        order = {str(name): i for i, name in enumerate(Name)}
        outcomes = {str(name): i for i, name in enumerate(Outcome)}
        return Survey(
            n=self.n,
            n_traced=self.n_traced,
            pairs=tuple(self.pairs),
            arms=tuple(_point(name, self.arms[name]) for name in sorted(self.arms)),
            guards={
                key: self.guards[key]
                for key in sorted(
                    self.guards, key=lambda key: (order.get(key[0], 99), key[0], outcomes.get(key[1], 99))
                )
            },
            events=tuple(reversed(self.events[-_EVENTS:])),
            readings=_kinds(self.readings),
            memory=_kinds(self.memory),
            biggest=tuple(self.dear),
            worst=tuple(self.wrong),
        )


def survey(
    ledger: Ledger | None, *, since: float | None = None, profile: str | None = None, n_requests: int = 10
) -> Survey:
    """Return what the log's requests say together, read once from the oldest on.

    Parameters
    ----------
    ledger
        None where there is none yet.
    since, profile
        Only requests made at this POSIX time or later; only this profile's.
    n_requests
        How many of the biggest and of the worst are told.
    """
    if ledger is None:
        return Survey()
    reading = _Reading(worths(ledger, since=since, profile=profile), n_requests)
    for row in told(ledger, since=None if since is None else instant(since), profile=profile):
        reading.take(row)
    return reading.done()


def front(points: Iterable[tuple[str, Sequence[float | None]]]) -> list[str]:
    """Return the names of those that no other beats: the Pareto front of quality, cost and time.

    Parameters
    ----------
    points
        A name and its quality (more is better), then its cost and its seconds (less is better). One whose quality or
        cost is None is not on the front, and beats nobody; seconds count between two that both have them.

    Examples
    --------
    >>> front([("a", (0.9, 2.0, None)), ("b", (0.8, 1.0, 3.0)), ("c", (0.7, 1.5, 1.0)), ("d", (0.7, 1.5, 4.0))])
    ['a', 'b', 'c']
    """
    known = [(name, values) for name, values in points if values[0] is not None and values[1] is not None]

    def beats(one: Sequence[float | None], other: Sequence[float | None]) -> bool:
        gains = [(one[0] or 0.0) - (other[0] or 0.0)]
        gains += [b - a for a, b in zip(one[1:], other[1:], strict=True) if a is not None and b is not None]
        return all(gain >= 0 for gain in gains) and any(gain > 0 for gain in gains)

    return [name for name, values in known if not any(beats(other, values) for _, other in known)]


def _trace(text: str | None) -> dict[str, Any] | None:
    """Return an object of the log's JSON; None where it was not kept, or is none."""
    try:
        found = json.loads(text or "null")
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _dicts(value: object) -> list[dict[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _whole(value: object) -> int:
    return value if isinstance(value, int) else 0


def _predicted(trace: Mapping[str, Any], arm: str | None) -> tuple[str, float | None]:
    """Return what was predicted of the answer that was given: of the plan, or of the arm that answered."""
    plan = trace.get("plan")
    if isinstance(plan, dict):
        expected = plan.get("expected")
        value = expected.get("quality") if isinstance(expected, dict) else None
        return "plan", float(value) if isinstance(value, (int, float)) else None
    for each in _dicts(trace.get("arms")):
        if each.get("name") == arm and isinstance(each.get("quality"), (int, float)):
            return str(each.get("basis") or ""), float(each["quality"])
    return "", None


def _mean(values: Sequence[float]) -> float | None:
    return math.fsum(values) / len(values) if values else None


def _point(name: str, arm: _Arm) -> ArmPoint:
    return ArmPoint(
        arm=name,
        n=arm.n,
        n_known=arm.n_known,
        n_right=arm.n_right,
        cost_usd=usd_from_nano(sum(arm.nano)) / len(arm.nano) if arm.nano else None,
        seconds=quantile(arm.seconds, 0.5),
        n_weighed=len(arm.predicted["quality"]),
        predicted_quality=_mean(arm.predicted["quality"]),
        predicted_cost_usd=_mean(arm.predicted["cost_usd"]),
        predicted_seconds=_mean(arm.predicted["seconds"]),
    )


def _kinds(found: Mapping[str, _Tally]) -> tuple[Kind, ...]:
    kinds = (
        Kind(name, each.n, each.n_known, each.n_right, each.nano, each.n_tokens, each.n_all)
        for name, each in found.items()
    )
    return tuple(sorted(kinds, key=lambda each: (-each.n, each.name)))
