"""What a decision says of a prompt before it is sent: which arms cannot take it, and how likely a right answer is."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from scrimp.profiles.rungs import bare_of
from scrimp.routing.guard.verdict import Finding, Name, Outcome
from scrimp.routing.text.in_words import counted, percent

from .policy import Barrier, NoDraw

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from scrimp.profiles.schema import Guard

    from .policy import Choice, Option
    from .trace import Decision

__all__ = ["feasibility", "held_back", "in_words", "risk_of", "way_out"]

_OF_PROMPT: Final = (Barrier.CAPABILITY, Barrier.WINDOW, Barrier.UNBOUNDED)
"""What keeps an arm from a prompt for what the prompt is; money, keys and rules keep it from others too."""

_NEEDS: Final = {
    "vision": "read an image",
    "pdf": "read a PDF",
    "tools": "call tools",
    "json": "keep to a schema",
}
"""What a prompt needs, in words: an arm cannot `read an image`."""

_SHOWN: Final = 6
"""Arms that a sentence names; of a pool there may be hundreds."""


def feasibility(options: Sequence[Option], lacking: Mapping[str, Sequence[str]]) -> Finding | None:
    """Return which arms cannot take a prompt, and why; None where nothing about the prompt keeps any arm from it.

    Parameters
    ----------
    options
        Every arm, at every reading of the prompt's files.
    lacking
        By arm, what the prompt needs that it is not known to have; an arm that lacks nothing may be left out.
    """
    able = {bare_of(option.arm) for option in options if option.barrier not in _OF_PROMPT}
    out: dict[str, str] = {}
    for option in options:
        if option.barrier in _OF_PROMPT and (name := bare_of(option.arm)) not in able:
            out.setdefault(name, option.infeasible or "")
    if not out:
        return None
    every = [set(lacking.get(name, ())) for name in out]
    needs = sorted(set.intersection(*every)) if not able else sorted(set.union(*every))
    detail = {"arms": out, "n_able": len(able), "needs": needs}
    named = [f"{name}: {why}" for name, why in [*out.items()][:_SHOWN]]
    named += [f"and {len(out) - _SHOWN:,} more"] if len(out) > _SHOWN else []
    if not able:
        can = in_words(needs) or "take this prompt"
        return Finding(Name.FEASIBLE, Outcome.REFUSED, f"no arm can {can} ({'; '.join(named)})", detail)
    of = f"{len(out):,} of {counted(len(out) + len(able), 'arm')} cannot take it"
    return Finding(Name.FEASIBLE, Outcome.CHANGED, f"{of} ({'; '.join(named)})", detail)


def in_words(needs: Sequence[str]) -> str:
    """Return in words what a prompt needs of an arm; "" where nothing is known of that.

    Examples
    --------
    >>> in_words(["pdf", "vision"]), in_words(["private"]), in_words([])
    ('read a PDF and read an image', 'take what needs "private"', '')
    """
    return " and ".join(_NEEDS.get(need, f'take what needs "{need}"') for need in needs)


def risk_of(decision: Decision, guard: Guard) -> Finding | None:
    """Return how likely the best arm that can take a prompt is to answer it right, against `risk_below`.

    The best of those that may answer: all that can take the prompt, or the one that was asked for by name, or sent to.
    Where the profile does not ask (`guard.risky`), or no arm can take the prompt, it is None.

    Parameters
    ----------
    guard
        The profile's.

    Returns
    -------
    Finding
        `PASSED` where it is likely enough. Else what the profile says: `WARNED`; `REFUSED` (where it is to ask, too: a
        person may say yes to it); or `CHANGED`, where another arm is to take it.
    """
    if guard.risky == "off" or decision.arm is None:
        return None
    best = max(_may_answer(decision.choice), key=lambda option: option.quality, default=None)
    if best is None:
        return None
    detail = {
        "arm": best.arm,
        "quality": round(best.quality, 6),
        "low": round(best.quality_low, 6),
        "high": round(best.quality_high, 6),
        "threshold": guard.risk_below,
        "risky": guard.risky,
    }
    said = _said(best)
    if best.quality >= guard.risk_below:
        return Finding(Name.RISK, Outcome.PASSED, f"{said}, not below {percent(guard.risk_below)}", detail)
    why = f"{said}, below {percent(guard.risk_below)} (guard.risk_below)"
    if guard.risky == "warn":
        return Finding(Name.RISK, Outcome.WARNED, f"likely to be answered wrongly: {why}", detail)
    if guard.risky in ("ask", "refuse"):
        return Finding(Name.RISK, Outcome.REFUSED, f"likely to be answered wrongly: {why}", detail)
    to = guard.risky.removeprefix("arm:")
    if decision.choice.no_draw is NoDraw.SENT:  # a guard before this one has sent it where it goes
        return Finding(Name.RISK, Outcome.WARNED, f"likely to be answered wrongly, where it is sent: {why}", detail)
    return Finding(Name.RISK, Outcome.CHANGED, f"sent to {to}, as likely to be answered wrongly: {why}", detail)


def held_back(decision: Decision, why: str) -> Decision:
    """Return a decision with no arm: what could have taken the prompt may not, and why."""
    choice = decision.choice
    weighed = tuple(
        each
        if each.option.infeasible is not None
        else replace(each, option=replace(each.option, infeasible=why, barrier=Barrier.RULE), probability=0.0, why=why)
        for each in choice.weighed
    )
    none = replace(choice, arm=None, greedy=None, explored=False, propensity=None, weighed=weighed)
    return replace(decision, choice=none)


def _said(best: Option) -> str:
    """Return what is predicted of the best arm, in words."""
    low, high = 100 * best.quality_low, 100 * best.quality_high
    return f"{best.arm} is the best for it, of predicted quality {percent(best.quality)} ({low:.0f} to {high:.0f}%)"


def _may_answer(choice: Choice) -> list[Option]:
    """Return the options of the arms that may answer."""
    able = [each.option for each in choice.weighed if each.option.infeasible is None]
    able = [option for option in able if option.cost_nano is not None]
    if choice.no_draw in (NoDraw.ASKED_FOR, NoDraw.SENT, NoDraw.STAYS):
        able = [option for option in able if bare_of(option.arm) == bare_of(choice.arm or "")]
    return able


def way_out(decision: Decision, guard: Guard) -> str:
    """Return what else may be done about a prompt that is likely to be answered wrongly."""
    options = [each.option for each in decision.choice.weighed if each.option.quality >= guard.risk_below]
    better = max((option for option in options if option.infeasible is None), key=lambda o: o.quality, default=None)
    dear = max((option for option in options if option.by_cap), key=lambda option: option.quality, default=None)
    ways = ["have it phrased in other words (--rephrase 3)"]
    if better is not None:
        ways.append(f"ask {better.arm} (-m {better.arm}: {percent(better.quality)})")
    elif dear is not None:
        ways.append(f"raise the cap that keeps it from {dear.arm} ({percent(dear.quality)}; `scrimp spend` shows all)")
    else:
        ways.append("take a profile with an abler arm (-p)")
    return "; or ".join(ways)
