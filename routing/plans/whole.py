"""What no plan can do although the grammar has words for it."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NoReturn, Protocol

from scrimp.routing.text.compare import n_needed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .plan import Stage

__all__ = ["MOST_ASKED", "Read", "check_whole"]

MOST_ASKED: Final = 12
"""How many arms a plan may ask, lead and judge, at most."""


@dataclass(frozen=True, slots=True)
class Read:
    """A stage, and where in the text it stands."""

    stage: Stage
    at: int
    end: int
    how_at: int
    """Where it says what becomes of the answers; where it could, if it does not."""

    gate_at: int
    n: int
    """How many answers it asks for: a pick counts as what it asks for."""


class Wrong(Protocol):
    """Raises the error that points at a place."""

    def __call__(self, at: int, length: int, reason: str, expected: str, hint: str | None = None) -> NoReturn:
        """Raise it."""
        ...


def check_whole(text: str, read: Sequence[Read], wrong: Wrong) -> None:
    """Refuse what the grammar allows and no plan can do.

    Parameters
    ----------
    text, read
        The plan as it is spelled, and its stages.
    wrong
        Raises the error, given where it stands, how many characters of it there are, the reason, and what was expected.
    """
    total = 0
    for each in read:
        stage = each.stage
        total += each.n + len(stage.by)
        if total > MOST_ASKED:
            reason = f"more than {MOST_ASKED} arms are asked for one prompt"
            wrong(each.at, each.end - each.at, reason, f"{MOST_ASKED} at most")
        gate_to = _end_of_gate(text, read, each)
        length = gate_to - each.gate_at
        if stage.quorum is not None and stage.how != "one":
            how = "=>" if stage.how == "merge" else "leads" if stage.how == "lead" else stage.how
            reason = f"`{how}` takes an answer whether or not the others agree"
            wrong(each.gate_at, length, reason, f"no ? {stage.gate} here, or no `{how}`")
        if stage.quorum is not None and each.n < 2 and each is read[0]:
            expected = f"two or more answers before ? {stage.gate}, as in a + b"
            wrong(each.gate_at, length, "one answer cannot agree with itself", expected)
        if each.n > 1 and stage.how == "one" and stage.quorum is None:
            expected = "vote, best, bid, knockout ARM, => ARM, ? agree, or ? most"
            reason = f"nothing says what becomes of the {each.n} answers of {text[each.at : each.end][:60]}"
            wrong(each.how_at, 1, reason, expected)
        if stage.gate is None and each is not read[-1]:
            reason = "a stage without `? CHECK` always stops, so nothing can follow it"
            wrong(each.end, 1, reason, "`?` and what stops it before the next `>`")
    _check_quorums(text, read, wrong)


def _end_of_gate(text: str, read: Sequence[Read], each: Read) -> int:
    after = next((other.at for other in read if other.at > each.at), None)
    return len(text.rstrip() if after is None else text[:after].rstrip().removesuffix(">").rstrip())


def _check_quorums(text: str, read: Sequence[Read], wrong: Wrong) -> None:
    """Refuse a single arm that could not bring about agreement: it comes after too many answers that differ."""
    n_before = 0
    for before, each in itertools.pairwise(read):
        n_before += before.n
        stage = each.stage
        of_all = before.n in (1, n_before)  # that it did not stop is about all the answers until then
        if before.stage.quorum is None or stage.quorum is None or each.n > 1 or not of_all:
            continue
        if n_needed(before.stage.quorum, n_before) < n_needed(stage.quorum, 1 + n_before):  # with one more
            wrong(
                each.at,
                _end_of_gate(text, read, each) - each.at,
                f"`{stage}` can never stop the plan: the {n_before} answers before it differ too much",
                "two arms or more here, which are compared among themselves"
                + (", or ? most, for which more than half of all suffice" if stage.quorum == "agree" else ""),
            )
