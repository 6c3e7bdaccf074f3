"""What a profile's `[policy.weights]` hold against an arm beside its cost, and what `--need` may ask of its size. Pure.

The weights are the flags of Tryage (arXiv:2308.11601: predicted loss plus the sum of weight x flag), in the unit of the
policy, USD:

    terms = size x billions of parameters + recency x years behind the newest arm
            + verbosity x predicted output tokens / 1,000 + security x (1 off this machine, else 0)

Years are counted from the newest arm of the profile, and not from today: that is the same among arms, and a decision
stays what it was when it is looked at again.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from scrimp.profiles.schema import Arm, Weights

__all__ = ["Weighing", "billions", "compares", "month", "shortfalls", "unmet"]

SHORTFALLS: Final[Mapping[str, str]] = {
    "time": "slower",
    "size": "larger",
    "recency": "older",
    "verbosity": "wordier",
    "security": "off this machine",
}
"""What an arm is that has more of a term held against it than another, in words."""

_COMPARISON: Final = re.compile(r"(size|release)\s*(<=|>=)\s*(.*)")
_SIZE: Final = re.compile(r"(\d{1,5}(?:\.\d{1,3})?)([MB])")
_MONTH: Final = re.compile(r"(20\d\d)-(0[1-9]|1[0-2])")


def billions(size: str | None) -> float | None:
    """Return an arm's `size` in billions of parameters; None where it is not said.

    Examples
    --------
    >>> billions("8B"), billions("135M"), billions(None)
    (8.0, 0.135, None)
    """
    found = _SIZE.fullmatch(size or "")
    return None if found is None else float(found[1]) / (1.0 if found[2] == "B" else 1_000.0)


def month(release: str | None) -> int | None:
    """Return an arm's `release` as a number of months; None where it is not said."""
    found = _MONTH.fullmatch(release or "")
    return None if found is None else 12 * int(found[1]) + int(found[2]) - 1


def unmet(need: str, arm: Arm) -> str | None:
    """Return why an arm does not meet a need such as `size<=8B` or `release>=2025-01`; None where it does.

    What an arm does not say of itself it does not meet. A need of another form is a tag, and not looked at here: it
    returns None.

    Examples
    --------
    >>> from scrimp.profiles.schema import Arm
    >>> unmet("size<=8B", Arm(name="a", model="m", size="70B"))
    'its size is 70B, and size<=8B is needed'
    >>> unmet("size<=8B", Arm(name="a", model="m"))
    'it does not say its size, and size<=8B is needed (state it in the profile)'
    """
    found = _COMPARISON.fullmatch(need)
    if found is None:
        return None
    key, sign, limit = found.groups()
    read = billions if key == "size" else month
    said, most = getattr(arm, key), read(limit)
    if most is None:
        return f"{need} is not understood: write it as {'size<=8B' if key == 'size' else 'release>=2025-01'}"
    mine = read(said)
    if mine is None:
        return f"it does not say its {key}, and {need} is needed (state it in the profile)"
    return None if (mine <= most if sign == "<=" else mine >= most) else f"its {key} is {said}, and {need} is needed"


def compares(need: str) -> bool:
    """Tell whether a need compares an arm's size or release; any other is a tag."""
    return _COMPARISON.fullmatch(need) is not None


def shortfalls(mine: Mapping[str, float], theirs: Mapping[str, float]) -> str:
    """Return in words by what one arm has more held against it than another, the most telling first; "" by nothing.

    Examples
    --------
    >>> shortfalls({"time": 0.02, "size": 0.001}, {"time": 0.001})
    'slower and larger'
    """
    more = {name: usd - theirs.get(name, 0.0) for name, usd in mine.items()}
    worse = sorted((name for name, usd in more.items() if usd > 0.0), key=lambda name: -more[name])
    return " and ".join(SHORTFALLS.get(name, f"worse by {name}") for name in worse)


@dataclass(frozen=True, slots=True)
class Weighing:
    """What is held against each arm of a profile whatever the prompt, and how more is worked out of the prompt.

    An arm that does not say its size or release is taken to be as large, or as old, as the worst that does: silence is
    no advantage. Where no arm says it there is nothing to compare, and no term.

    Attributes
    ----------
    by_arm
        USD by name of the term, by name of the arm.
    verbosity
        USD of 1,000 output tokens.
    assumed
        What an arm does not say of itself, by name of the arm.
    """

    by_arm: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    verbosity: float = 0.0
    assumed: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @classmethod
    def of(cls, weights: Weights, arms: Sequence[Arm], here: Sequence[bool]) -> Weighing:
        """Work out what does not depend on the prompt.

        Parameters
        ----------
        here
            Whether each arm runs on this machine.
        """
        terms: dict[str, dict[str, float]] = {arm.name: {} for arm in arms}
        assumed: dict[str, tuple[str, ...]] = {}
        months = [month(arm.release) for arm in arms]
        newest = max((each for each in months if each is not None), default=0)
        ages = [None if each is None else (newest - each) / 12.0 for each in months]
        for name, usd, figures in (
            ("size", float(weights.size), [billions(arm.size) for arm in arms]),
            ("recency", float(weights.recency), ages),
            ("security", float(weights.security), [0.0 if each else 1.0 for each in here]),
        ):
            worst = max((each for each in figures if each is not None), default=None)
            if not usd or worst is None:
                continue
            for arm, figure in zip(arms, figures, strict=True):
                terms[arm.name][name] = usd * (worst if figure is None else figure)
                if figure is None:
                    assumed[arm.name] = (*assumed.get(arm.name, ()), name)
        return cls(terms, float(weights.verbosity), assumed)

    def terms(self, arm: str, output_tokens: int) -> dict[str, float]:
        """Return what is held against an arm for one prompt, USD by name; without weights nothing."""
        found = dict(self.by_arm.get(arm, {}))
        if self.verbosity:
            found["verbosity"] = self.verbosity * output_tokens / 1_000.0
        return found
