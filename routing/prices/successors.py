"""Which model most likely takes the place of one that is going, gone or misspelt."""

from __future__ import annotations

import difflib
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Candidate", "successor"]

_DATE: Final = re.compile(r"[-@]?(20\d{2}-?\d{2}-?\d{2}|\d{2}-20\d{2})")
_STAGE: Final = frozenset({"latest", "preview", "exp", "experimental"})


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model that is for sale: its id, whether it is on its way out, and what a token in and a token out cost."""

    model: str
    leaving: bool
    cost: float


def successor(model: str, cost: float | None, candidates: Iterable[Candidate]) -> str | None:
    """Return the id that most likely takes a model's place, or None.

    First the newest of the same family (the same words, such as "gpt" and "mini", at the same version or a later
    one), then an id spelt almost alike, then the model whose price is nearest.

    Parameters
    ----------
    model
        The id as the profile has it.
    cost
        What one token in and one token out cost together, in any unit; None when unknown.
    candidates
        The same provider's models.
    """
    staying = [candidate for candidate in candidates if not candidate.leaving and candidate.model != model]
    words, version = _family(model)
    kin = [candidate for candidate in staying if _family(candidate.model)[0] == words]
    newer = [candidate for candidate in kin if _family(candidate.model)[1] >= version]
    if newer and version:
        return max(newer, key=lambda kin: (_family(kin.model)[1], not _DATE.search(kin.model), -len(kin.model))).model
    alike = difflib.get_close_matches(model, [candidate.model for candidate in staying], n=1, cutoff=0.9)
    if alike:
        return alike[0]
    if cost is None or cost <= 0 or not staying:
        return None
    return min(
        staying, key=lambda other: (abs(math.log(other.cost / cost)), _DATE.search(other.model) is not None)
    ).model


def _family(model: str) -> tuple[frozenset[str], tuple[int, ...]]:
    """Return the words of an id, and its version.

    Examples
    --------
    >>> words, version = _family("openai/gpt-5.4-mini-2026-03-17")
    >>> sorted(words), version
    (['gpt', 'mini'], (5, 4))
    """
    plain = _DATE.sub("", model.partition("/")[2] or model)
    parts = re.findall(r"[a-z]+|\d+", plain.lower())
    words = frozenset(part for part in parts if not part.isdigit()) - _STAGE
    return words, tuple(int(part) for part in parts if part.isdigit())
