"""How long an arm takes: seconds to its first word and to its end, learned from calls that were timed. Pure.

A call that reads n tokens anew and writes m, of which h are thoughts that come before the first word, takes

    first = (f + g n + s h) e^v        seconds = (f + g n + s m) e^v

with f the seconds before anything is read, g those for each token read, s those for each token written, and v the noise
of queues and networks. log f, log g and log s of an arm are estimated together (MAP, by Gauss-Newton steps, each call
weighted as under a Student t of 4 degrees: one call that stood in a queue moves little). A call that was streamed tells
of f and g by its first word and of s by the rest; one that came in one piece tells of their sum. One that its deadline
broke off took at least that long (a censored observation).

Arms are shrunk to their kin, arms of the same model at the same place, and these to the other arms of the same place:

    log s_arm ~ N(mean of the place, V(mean) + T^2)

with T how far arms of one place, or of one model, lie apart (stated, not measured), and the mean of a place is itself
shrunk to a stated one. That one never stands by itself: of an arm with nothing behind it nothing is known.

On this machine attention costs work too: with n tokens of context each token takes 1 + n / b times as long, with b told
by the model's size. What is read and written is counted accordingly, n (1 + n / 2 b) and m (1 + (n + m / 2) / b).

The median and the 90th percentile of v are quantiles of the calls' own residuals, together with a few stated ones.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

__all__ = ["ENOUGH", "LAST", "Tempo", "Timed", "TimedArm", "learn_tempos"]

LAST: Final = 100
"""Calls of an arm that are learned from, the newest: places change."""

ENOUGH: Final = 30
"""With so many calls of its own an arm is told by them and what is stated: what others take moves it no more."""

_STATED: Final = (math.log(0.7), math.log(1 / 4_000), math.log(1 / 60))
"""log f, log g, log s of a place that a first call is the first to tell of. Chosen: what hosted models often take."""

_STATED_SD: Final = (1.2, 1.5, 1.0)
_APART: Final = (0.5, 0.7, 0.6)
"""How far arms of one place lie apart, as standard deviations of the logs. Chosen."""

_KIN_APART: Final = (0.2, 0.2, 0.2)
_ROOFLINE_SD: Final = (1.0, 0.5, 0.5)
"""How far a model on this machine lies from what its size and the machine's speed say."""

_NOISE: Final = 0.4
_NORMAL: Final = (-1.534, -0.887, -0.489, -0.157, 0.157, 0.489, 0.887, 1.534)
"""Quantiles of the standard normal distribution at 1/16, 3/16 ... 15/16: the stated residuals, by their noise."""

_PSEUDO: Final = len(_NORMAL)

_Z90: Final = 1.2816
_STEPS: Final = 12
_SETTLED: Final = 0.005
"""Where a step moves no log by more, it was the last."""

_AT_ONCE: Final = 0.05
"""A streamed answer of which less than this share of the time lies after its first word came in one piece."""

_MANY_TOKENS: Final = 8


@dataclass(frozen=True, slots=True)
class Timed:
    """One call that was timed.

    Attributes
    ----------
    read, written
        Tokens read anew (those in the provider's cache are not), and written, thoughts included.
    hidden
        How many of these came before the first word.
    seconds
        To its end; of one that was cut, how long it was waited for.
    first_s
        To its first word; None where it was not streamed.
    cut
        Whether its deadline broke it off.
    """

    read: int
    written: int
    hidden: int
    seconds: float
    first_s: float | None = None
    cut: bool = False


@dataclass(frozen=True, slots=True)
class TimedArm:
    """An arm with its calls.

    Attributes
    ----------
    place
        Where it is asked: its provider, or its address.
    calls
        The newest first.
    supposed
        f, g, s as its size and this machine's speed say, seconds; None where that is not known.
    bend
        b, tokens; None where context costs no time that is known of.
    thinks
        Whether it thinks before it answers.
    """

    name: str
    model: str
    place: str
    calls: Sequence[Timed] = ()
    supposed: tuple[float, float, float] | None = None
    bend: float | None = None
    thinks: bool = False


@dataclass(frozen=True, slots=True)
class Tempo:
    """How long an arm takes.

    Attributes
    ----------
    start_s, read_s, write_s
        f, g, s: seconds before anything is read, for each token read, and for each token written.
    middle, high
        Median and 90th percentile of the noise, as logs of factors.
    hidden
        Share of the output that comes before the first word, in [0, 1]; None where it is not known.
    at_once
        Whether its answers come in one piece even where they are streamed.
    n_calls
        How many calls of its own stand behind it.
    timed_by
        What stands behind it, in words.
    bend
        b, tokens; None where context costs no time that is known of.
    """

    start_s: float
    read_s: float
    write_s: float
    middle: float
    high: float
    hidden: float | None
    at_once: bool
    n_calls: int
    timed_by: str
    bend: float | None = None

    def seconds(self, read: float, written: float) -> float:
        """Return the median of the seconds to the end of a call.

        Parameters
        ----------
        read, written
            Tokens that are read anew, and written.
        """
        read, written = _bent(read, written, self.bend)
        return (self.start_s + self.read_s * read + self.write_s * written) * math.exp(self.middle)

    def seconds_p90(self, read: float, written: float, written_p90: float) -> float:
        """Return the 90th percentile of the seconds to the end of a call whose length is not known either.

        Both are taken as log-normal and independent: their distances from the median, as logs, add up as squares.

        Parameters
        ----------
        written, written_p90
            Median and 90th percentile of the output, tokens.
        """
        whole = self.seconds(read, written)
        longer = math.log(max(1.0, self.seconds(read, written_p90) / whole))
        return whole * math.exp(math.hypot(longer, max(0.0, self.high - self.middle)))

    def first_s(self, read: float, written: float) -> float | None:
        """Return the median of the seconds to the first word; None where it is not known what comes before it."""
        if self.at_once:
            return self.seconds(read, written)
        if self.hidden is None:
            return None
        return self.seconds(read, self.hidden * written)


def _bent(read: float, written: float, bend: float | None) -> tuple[float, float]:
    """Return tokens that are read and written, counted as often as the context before them makes them take longer."""
    if bend is None:
        return read, written
    return read * (1.0 + read / (2.0 * bend)), written * (1.0 + (read + written / 2.0) / bend)


@dataclass(frozen=True, slots=True)
class _Fit:
    """log f, log g, log s with their variances, `(3,) float64` each; and the residuals of the calls, sorted."""

    at: Floats
    variance: Floats
    residuals: Floats
    n: int


def learn_tempos(arms: Sequence[TimedArm]) -> dict[str, Tempo]:
    """Return how long arms take, by name; those of which nothing is known are left out.

    Parameters
    ----------
    arms
        All arms of a profile: those of one place tell of one another.
    """
    timed = [arm for arm in arms if arm.calls]
    if not timed and all(arm.supposed is None for arm in arms):
        return {}
    import numpy as np

    alone = {arm.name: _fit(arm, *_supposed(arm)) for arm in timed}
    tempos: dict[str, Tempo] = {}
    for arm in arms:
        others = [other for other in timed if other.place == arm.place and other.name != arm.name]
        kin = [other for other in others if other.model == arm.model]
        kin_fits = [alone[each.name] for each in kin]
        if not arm.calls and not others and arm.supposed is None:
            continue
        before = alone.get(arm.name)
        if before is not None and (before.n >= ENOUGH or not others):
            known = before
        else:
            known = _beside(arm, before, [alone[each.name] for each in others if each not in kin], kin_fits)
        noise = _noise([alone[each.name] for each in kin or others])
        if not known.n:
            noise = math.hypot(noise, float(np.sqrt(known.variance).mean()))
        middle, high = _quantiles(known.residuals, noise)
        start, read, write = np.exp(known.at).tolist()
        shared = arm.calls or [call for each in kin for call in each.calls]
        hidden = _hidden(shared)
        tempos[arm.name] = Tempo(
            start_s=start,
            read_s=read,
            write_s=write,
            middle=middle,
            high=high,
            hidden=0.0 if hidden is None and not arm.thinks else hidden,
            at_once=_come_at_once(shared),
            n_calls=known.n,
            timed_by=_said(arm, known.n, kin=bool(kin), others=bool(others)),
            bend=arm.bend,
        )
    return tempos


def _beside(arm: TimedArm, before: _Fit | None, others: Sequence[_Fit], kin: Sequence[_Fit]) -> _Fit:
    """Return the fit of an arm that is shrunk to others of its place, and to its kin."""
    import numpy as np

    mean, sd = _supposed(arm)
    variance = np.square(sd)
    if arm.supposed is None or kin:  # how fast a model runs here tells little of another size
        mean, variance = _shrunk(mean, variance, others, _APART)
        mean, variance = _shrunk(mean, variance, kin, _KIN_APART)
    return _fit(arm, mean, np.sqrt(variance), start=None if before is None else before.at)


def _said(arm: TimedArm, n: int, *, kin: bool, others: bool) -> str:
    if n:
        return "its own call" if n == 1 else f"its own {n:,} calls"
    if kin:
        return "the same model's other arms"
    if arm.supposed is not None or not others:
        return "this machine's speed"
    return f"{arm.place}'s other arms"


def _supposed(arm: TimedArm) -> tuple[Floats, Floats]:
    """Return what is supposed of an arm before any call: log f, log g, log s and their standard deviations."""
    import numpy as np

    if arm.supposed is None:
        return np.array(_STATED), np.array(_STATED_SD)
    return np.log(np.array(arm.supposed)), np.array(_ROOFLINE_SD)


def _shrunk(mean: Floats, variance: Floats, fits: Sequence[_Fit], apart: tuple[float, ...]) -> tuple[Floats, Floats]:
    """Return what is supposed of one more arm beside others: their mean, shrunk to what was supposed, and how sure."""
    import numpy as np

    if not fits:
        return mean, variance
    between = np.square(np.array(apart))
    weight = 1.0 / variance
    total = weight * mean
    for fit in fits:
        mine = 1.0 / (fit.variance + between)
        weight, total = weight + mine, total + mine * fit.at
    return total / weight, 1.0 / weight + between


def _fit(arm: TimedArm, mean: Floats, sd: Floats, *, start: Floats | None = None) -> _Fit:
    """Return the log f, log g and log s of greatest posterior density, given calls and a normal prior."""
    import numpy as np

    used = [call for call in arm.calls[:LAST] if call.seconds > 0.0 and call.written >= 0 and call.read >= 0]
    prior = 1.0 / np.square(sd)
    if not used:
        return _Fit(mean, 1.0 / prior, np.zeros(0), 0)
    parts, seen, cut = _observed(used, arm.bend)
    at = mean if start is None else start
    noise = _NOISE
    hessian = np.diag(prior)
    for _ in range(_STEPS):
        each = parts * np.exp(at)
        whole = each.sum(axis=1)
        residual = np.log(seen / whole)
        late = cut & (residual > -noise)
        residual = np.where(cut, np.where(late, residual + noise, 0.0), residual)
        there = ~cut | late
        # About the middle of those that ended: what they have in common is the arm's pace, and no noise.
        shared = 0.0 if cut.all() else float(np.median(residual[~cut]))
        sizes = np.sort(np.abs(residual[there] - shared))
        n = len(sizes)
        middle = float(sizes[n // 2]) if n else 0.0
        noise = max(0.05, (n * 1.4826 * middle + 3 * _NOISE) / (n + 3))
        weight = np.where(there, 5.0 / (4.0 + np.square(residual / noise)), 0.0) / noise**2
        slope = each / whole[:, None]
        hessian = (slope * weight[:, None]).T @ slope + np.diag(prior)
        step = np.linalg.solve(hessian, slope.T @ (weight * residual) - prior * (at - mean))
        at = at + np.clip(step, -1.5, 1.5)
        if float(np.abs(step).max()) < _SETTLED:
            break
    whole = np.array([(1.0, *_bent(call.read, call.written, arm.bend)) for call in used]) @ np.exp(at)
    residuals = np.log(np.array([call.seconds for call in used]) / whole)
    broken = np.array([call.cut for call in used])
    residuals = np.sort(np.where(broken, np.maximum(residuals, _NOISE), residuals))  # it would have taken longer
    variance: Floats = np.diag(np.linalg.inv(hessian)).astype(np.float64)
    return _Fit(at, variance, residuals, len(used))


def _observed(calls: Sequence[Timed], bend: float | None) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """Return what was timed: `(n, 3)` how often f, g and s count in it, `(n,)` seconds, `(n,)` whether it took more."""
    import numpy as np

    rows: list[tuple[float, float, float]] = []
    seen: list[float] = []
    cut: list[bool] = []

    def add(start: float, read: float, written: float, seconds: float, *, longer: bool = False) -> None:
        rows.append((start, read, written))
        seen.append(max(seconds, 1e-4))
        cut.append(longer)

    for call in calls:
        rest = 0.0 if call.first_s is None else call.seconds - call.first_s
        told = call.written - call.hidden
        if call.first_s is None or call.cut or (told >= _MANY_TOKENS and rest < _AT_ONCE * call.seconds):
            add(1.0, *_bent(call.read, call.written, bend), call.seconds, longer=call.cut)
            continue
        read, before = _bent(call.read, call.hidden + min(1, told), bend)
        add(1.0, read, before, call.first_s)
        if told >= _MANY_TOKENS:
            add(0.0, 0.0, _bent(call.read, call.written, bend)[1] - before, rest)
    return np.array(rows, dtype=np.float64), np.array(seen), np.array(cut, dtype=bool)


def _noise(fits: Sequence[_Fit]) -> float:
    """Return the noise of other arms' calls, shrunk to the stated one; a standard deviation of logs."""
    import numpy as np

    residuals = np.concatenate([fit.residuals - np.median(fit.residuals) for fit in fits if fit.n] or [np.zeros(0)])
    if not len(residuals):
        return _NOISE
    n = len(residuals)
    own = 1.4826 * float(np.median(np.abs(residuals)))
    return (n * own + _PSEUDO * _NOISE) / (n + _PSEUDO)


def _quantiles(residuals: Floats, noise: float) -> tuple[float, float]:
    """Return the median and the 90th percentile of residuals, with stated ones beside them.

    The stated ones lie about the median of the calls (with one of no residual beside them), and count less the more
    calls there are: together as half a call where there are a hundred.
    """
    import numpy as np

    n = len(residuals)
    own = float(np.median(residuals)) * n / (n + 1.0) if n else 0.0
    stated = own + noise * np.array(_NORMAL)
    share = 1.0 / (1.0 + n / (2.0 * _PSEUDO))
    values = np.concatenate([residuals, stated])
    weights = np.concatenate([np.ones(n), np.full(_PSEUDO, share)])
    order = np.argsort(values)
    values, weights = values[order], weights[order]
    reached = (np.cumsum(weights) - 0.5 * weights) / weights.sum()
    middle, high = np.interp((0.5, 0.9), reached, values).tolist()
    if not n:
        high = _Z90 * noise
    return middle, max(high, middle)


def _hidden(calls: Sequence[Timed]) -> float | None:
    """Return the median share of the output that is thoughts; None where no call tells."""
    shares = [min(1.0, call.hidden / call.written) for call in calls[:LAST] if call.written > 0 and not call.cut]
    return sorted(shares)[len(shares) // 2] if shares else None


def _come_at_once(calls: Sequence[Timed]) -> bool:
    told = defaultdict[bool, int](int)
    for call in calls[:LAST]:
        if call.first_s is not None and not call.cut and call.written - call.hidden >= _MANY_TOKENS:
            told[call.seconds - call.first_s < _AT_ONCE * call.seconds] += 1
    return told[True] > told[False]
