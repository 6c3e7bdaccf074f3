"""Agreement as a check: of several answers all say the same, or most do."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from scrimp.profiles.errors import UsageError
from scrimp.routing.text.compare import groups, n_needed, sigma

from .base import NOTHING, BaseCheck, Given, Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scrimp.routing.text.compare import Embed, Quorum

__all__ = ["AgreeCheck", "Comparison", "compare"]


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a comparison of several answers says.

    Attributes
    ----------
    verdict
        The verdict on all of them together: a pass where enough say the same.
    verdicts
        The verdict on each, `(n,)`: where enough say the same, those pass and the others fail.
    best
        The position of the answer to go on with: of the largest group that says the same, the one of best predicted
        quality, and of equals the first.
    """

    verdict: Verdict
    verdicts: tuple[Verdict, ...]
    best: int

    @property
    def taken(self) -> int | None:
        """The position of the answer that stands: `best`; None where too few say the same."""
        return self.best if self.verdict.outcome == "pass" else None


def compare(
    answers: Sequence[str | None],
    how: Quorum,
    *,
    quality: Sequence[float] | None = None,
    embed: Embed | None = None,
    name: str | None = None,
) -> Comparison:
    """Compare answers: with `agree` all have to say the same, with `most` more than half.

    Parameters
    ----------
    answers
        `(n,)`, one at least. None is a call that gave no answer; like an empty answer it counts, and says the same as
        nothing.
    quality
        `(n,)` predicted quality of whoever gave each, in [0, 1].
    embed
        Embeds prose; without it two different texts of prose do not say the same.
    name
        What the verdicts are called; `how` by default.

    Examples
    --------
    >>> found = compare(["41", "42", "The answer is 42."], "most", quality=[0.9, 0.5, 0.6])
    >>> found.taken, found.verdict.evidence, [each.outcome for each in found.verdicts]
    (2, '2 of 3 answers say the same (sigma 0.50)', ['fail', 'pass', 'pass'])
    >>> compare(["41", "42", "42"], "agree").taken is None
    True
    """
    name, n = name or how, len(answers)
    if n < 2:
        alone = Verdict(name, "abstain", "there are no other answers to compare it with")
        return Comparison(alone, (alone,) * n, 0)
    numbers = groups([answer or "" for answer in answers], embed=embed)
    sizes = Counter(numbers) | {None: 0}

    def rank(i: int) -> tuple[int, float, int]:
        return sizes[numbers[i]], 0.0 if quality is None else quality[i], -i

    best = max(range(n), key=rank)
    largest, score = rank(best)[0], 1.0 - sigma(numbers)
    said = f"{largest} of {n} answers say the same (sigma {1.0 - score:.2f})"
    if largest < n_needed(how, n):
        failed = Verdict(name, "fail", f"only {said}" if largest > 1 else "no two answers say the same", score)
        return Comparison(failed, (failed,) * n, best)
    passed, other = Verdict(name, "pass", said, score), Verdict(name, "fail", f"{largest} of {n} answers say otherwise")
    return Comparison(passed, tuple(passed if number == numbers[best] else other for number in numbers), best)


@dataclass(frozen=True, slots=True)
class AgreeCheck(BaseCheck):
    """Other answers say the same: samples of the same arm, or one answer of each of some other arms.

    The plan makes, reserves and pays the calls; without other answers the check abstains.

    Attributes
    ----------
    n
        How many answers are compared, the one that is checked included.
    arms
        The arms that give the other answers; empty for n - 1 more samples of the arm that answered.
    how
        Whether all have to say the same, or more than half: then theirs is the answer that stands.
    """

    n: int
    arms: tuple[str, ...] = ()
    name: str = "agree"
    how: Quorum = "agree"
    slow: bool = field(default=True, init=False)

    @property
    def kind(self) -> str:  # type: ignore[override]  # it depends on what is demanded of the answers
        """Return `agree` or `most`."""
        return self.how

    @classmethod
    def parse(cls, how: Quorum, argument: str, name: str) -> AgreeCheck:
        """Read `agree` (3 samples), `agree:N` or `agree:ARM,ARM`, and so `most`."""
        if not argument:
            # Not the word alone: plans mean the arms of a stage by it.
            return cls(3, (), f"{how}:3" if name == how else name, how)
        if argument.isdecimal():
            if not 2 <= int(argument) <= 9:
                raise UsageError(f"--check {name}: from 2 to 9 samples can be compared")
            return cls(int(argument), (), name, how)
        arms = tuple(arm.strip() for arm in argument.split(","))
        if not all(arms):
            raise UsageError(f"--check {name}: expected a number of samples, or names of arms")
        return cls(1 + len(arms), arms, name, how)

    def test(self, answer: str, given: Given = NOTHING) -> Verdict:
        """Return the verdict on an answer."""
        del given
        return compare([answer], self.how, name=self.name).verdict

    def compare(
        self, answers: Sequence[str | None], *, quality: Sequence[float] | None = None, embed: Embed | None = None
    ) -> Comparison:
        """Compare the answer that is checked (the first) with the others, as `compare` does."""
        return compare(answers, self.how, quality=quality, embed=embed, name=self.name)
