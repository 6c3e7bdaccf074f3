"""Agreement as a check: other answers say the same."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from scrimp.profiles.errors import UsageError

from .base import NOTHING, BaseCheck, Given, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    Embed = Callable[[Sequence[str]], NDArray[np.float32]]
from scrimp.routing.text.compare import groups, sigma

__all__ = ["AgreeCheck"]


@dataclass(frozen=True, slots=True)
class AgreeCheck(BaseCheck):
    """Other answers agree: N samples of the same arm in all, or one answer of each of some other arms.

    The calls are made, reserved and paid by whoever runs a plan; without other answers it abstains.
    """

    n: int
    arms: tuple[str, ...]
    name: str = "agree"
    slow: bool = field(default=True, init=False)
    kind: str = field(default="agree", init=False)

    @classmethod
    def parse(cls, argument: str, name: str) -> AgreeCheck:
        """Read `agree` (3 samples), `agree:N` or `agree:ARM,ARM`."""
        if not argument:
            # Not "agree" alone: that is what plans call arms that agree.
            return cls(3, (), "agree:3" if name == "agree" else name)
        if argument.isdecimal():
            if not 2 <= int(argument) <= 9:
                raise UsageError(f"--check {name}: from 2 to 9 samples can be compared")
            return cls(int(argument), (), name)
        arms = tuple(arm.strip() for arm in argument.split(","))
        if not all(arms):
            raise UsageError(f"--check {name}: expected a number of samples, or names of arms")
        return cls(1 + len(arms), arms, name)

    def test(self, answer: str, given: Given = NOTHING) -> Verdict:
        """Return the verdict on an answer."""
        del answer, given
        return self.abstained("there are no other answers to compare it with")

    def compare(self, answers: Sequence[str], *, embed: Embed | None = None) -> Verdict:
        """Return the verdict on the first of some answers: it passes where more than half of the others agree."""
        if len(answers) < 2:
            return self.abstained("there are no other answers to compare it with")
        numbers = groups(answers, embed=embed)
        spread = sigma(numbers)
        agreeing = sum(number is not None and number == numbers[0] for number in numbers[1:])
        said = f"{agreeing} of {len(answers) - 1} other answers agree (sigma {spread:.2f})"
        if numbers[0] is not None and 2 * agreeing > len(answers) - 1:
            return self.passed(said, 1.0 - spread)
        return self.failed(said, 1.0 - spread)
