"""How much of a conversation goes with its next turn: the last turns, those that it is about, all, or a summary.

What is sent is bounded, so that a long conversation costs the same with each of its turns and its whole cost grows with
its length, not with the square of it. The bound goes by worth: see `budget_of`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from scrimp.profiles.errors import UsageError
from scrimp.profiles.money import NANO
from scrimp.routing.prompts.context import approx_tokens
from scrimp.routing.prompts.prompt import Turn

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from scrimp.routing.prices.price import ArmPrice

__all__ = [
    "BUDGETS",
    "KEPT",
    "TIERS",
    "Recalled",
    "budget_of",
    "check_tier",
    "chosen",
    "gap",
    "history_of",
    "last_turns",
    "relevant_turns",
    "size_of",
    "worth_of_all",
]

TIERS: Final = ("auto", "last", "relevant", "all", "summary")

KEPT: Final = 2
"""So many of the last turns always go along, however long: "And the second one?" is about them."""

BUDGETS: Final = (1_000, 2_000, 4_000)
"""Tokens of history that may be sent with a turn."""

RECALL: Final = (0.83, 0.93, 0.95)
"""Of the earlier turns that a question is about, the part that is sent within each of `BUDGETS`: measured by
bench/memory.py in a conversation of 23,500 tokens, on the half that nothing was tuned on."""

_GAP: Final = 10
"""Tokens of the words that say how many turns are left out."""

NEED: Final = 0.2
"""The chance that a question is about more than the last turns: assumed, until labels tell."""

_WINDOW_PART: Final = 4
"""History takes no more than this part of an arm's window."""


@dataclass(frozen=True, slots=True)
class Recalled:
    """What of a conversation goes with its next turn.

    Attributes
    ----------
    tier
        Which way it was chosen: `last`, `relevant`, `all` or `summary`.
    turns
        The ids of the turns that are sent, in order.
    n_turns, n_all
        Of how many turns and tokens.
    n_tokens
        Tokens that are sent of it.
    budget
        The most tokens that were to be sent; None where all are.
    wanted
        The tier that was asked for: `auto`, or the same.
    upto
        The turn that the summary ends with; None where none is sent.
    """

    tier: str
    turns: tuple[str, ...]
    n_turns: int
    n_tokens: int
    n_all: int
    budget: int | None = None
    wanted: str = "auto"
    upto: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return it as the log keeps it: no text."""
        return {
            "tier": self.tier,
            "wanted": self.wanted,
            "turns": list(self.turns),
            "n_turns": self.n_turns,
            "n_tokens": self.n_tokens,
            "n_all": self.n_all,
            "budget": self.budget,
            "summary_upto": self.upto,
        }

    @classmethod
    def of(cls, found: Mapping[str, Any]) -> Recalled:
        """Return it as it was before it went to the log."""
        same = {name: found[name] for name in ("tier", "n_turns", "n_tokens", "n_all", "budget", "wanted")}
        return cls(**same, turns=tuple(found["turns"]), upto=found["summary_upto"])


def check_tier(tier: str) -> str:
    """Return the name of a tier.

    Raises
    ------
    UsageError
        If it is none.
    """
    if tier not in TIERS:
        raise UsageError(f"--memory: expected one of {', '.join(TIERS)}, not {tier!r}")
    return tier


# -- which turns ----------------------------------------------------------------------------------------------------


def size_of(asked: str, answered: str) -> int:
    """Return about how many tokens a turn is when it is sent: of its two messages, their framing included."""
    return approx_tokens(asked) + approx_tokens(answered) + 8


def last_turns(sizes: Sequence[int], budget: int) -> list[int]:
    """Return the places of the last turns that fit a budget of tokens together; the last two whatever they are.

    Examples
    --------
    >>> last_turns([400, 300, 200, 100], 650), last_turns([10, 5000, 10], 100)
    ([1, 2, 3], [1, 2])
    """
    first = max(0, len(sizes) - KEPT)
    left = budget - _GAP - sum(sizes[first:])
    while first > 0 and sizes[first - 1] <= left:
        first -= 1
        left -= sizes[first]
    return list(range(first, len(sizes)))


def relevant_turns(sizes: Sequence[int], scores: Sequence[float], budget: int) -> list[int]:
    """Return the places, in order, of the last two turns and of those nearest to the question, within a budget.

    A turn that does not fit any more is passed over for the next that does. Where room is left, turns that the question
    has nothing to do with are not sent.

    Examples
    --------
    >>> relevant_turns([100] * 6, [0.9, 0.0, 0.2, 0.8, 0.0, 0.0], 450)
    [0, 3, 4, 5]
    """
    kept = set(range(max(0, len(sizes) - KEPT), len(sizes)))
    left = budget - _GAP - sum(sizes[at] for at in kept)
    for at in sorted(range(len(sizes)), key=lambda each: (-scores[each], -each)):
        if at not in kept and scores[at] > 0.0 and sizes[at] + _GAP <= left:
            kept.add(at)
            left -= sizes[at] + _GAP
    return sorted(kept)


def gap(n: int) -> str:
    """Return the words that stand where turns are left out."""
    return f"[{n} earlier turn{' is' if n == 1 else 's are'} left out here]"


def history_of(turns: Sequence[tuple[str, str]], kept: Sequence[int], begins_with: str = "") -> tuple[Turn, ...]:
    """Return turns as they are sent: where some are left out, the next says so.

    Parameters
    ----------
    kept
        The places of those that are sent, in order.
    begins_with
        What stands for all turns before the first of them (a summary), in place of the words of a gap.
    """
    found: list[Turn] = []
    before = -1
    for at in kept:
        asked, answered = turns[at]
        skipped = at - before - 1
        note = begins_with if begins_with and not found else gap(skipped) if skipped else ""
        found.append(Turn(f"{note}\n\n{asked}" if note else asked, answered))
        before = at
    return tuple(found)


def chosen(
    tier: str,
    turns: Sequence[tuple[str, str]],
    sizes: Sequence[int],
    budget: int,
    scores: Callable[[], NDArray[np.float64]],
) -> list[int]:
    """Return the places of the turns that a tier sends of a conversation, in order."""
    if tier == "all" or sum(sizes) <= budget:
        return list(range(len(turns)))
    return relevant_turns(sizes, scores().tolist(), budget) if tier == "relevant" else last_turns(sizes, budget)


# -- how much -------------------------------------------------------------------------------------------------------


def budget_of(price: ArmPrice | None, wtp_usd: float, window: int | None = None) -> int:
    """Return the tokens of history that are worth their price: of `BUDGETS` the one of greatest utility.

    Utility of n tokens = wtp x `NEED` x recall(n) - n x price of input. What is free, and what has no price, is worth
    the most.

    Parameters
    ----------
    wtp_usd
        What a right answer is worth, USD.
    window
        Of the arm, tokens; None where it is not known.

    Examples
    --------
    >>> from decimal import Decimal
    >>> from scrimp.routing.prices.price import ArmPrice
    >>> cheap, dear = (ArmPrice(Decimal(nano), Decimal(0)) for nano in (100, 15_000))
    >>> budget_of(cheap, 0.1), budget_of(dear, 0.1), budget_of(dear, 1.0), budget_of(None, 0.1, window=4_096)
    (4000, 1000, 2000, 1024)
    """
    nano = 0.0 if price is None else float(price.input)
    worth = [wtp_usd * NANO * NEED * recall - nano * n for n, recall in zip(BUDGETS, RECALL, strict=True)]
    best = BUDGETS[worth.index(max(worth))] if nano else BUDGETS[-1]
    return best if window is None else min(best, window // _WINDOW_PART)


def worth_of_all(n_all: int, n_cached: int, budget: int, price: ArmPrice | None) -> bool:
    """Tell whether to send all: it fits the budget, or costs less than that since a cache holds most of it.

    Parameters
    ----------
    n_cached
        Tokens of the history that were seen to be in the provider's cache.
    """
    if n_all <= budget:
        return True
    if not n_cached or price is None or price.cache_read is None:
        return False
    cached = min(n_cached, n_all)
    return (n_all - cached) * price.input + cached * price.cache_read < budget * price.input
