"""Who meets in duels: an arm as it was asked; and what all duels say of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from scrimp.routing.learn.maths.bradley_terry import LEFT, RIGHT, TIE, BradleyTerry

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = ["Contestant", "Standing", "fit_of", "sides_of"]

_OUTCOME: Final = {"left": LEFT, "right": RIGHT, "tie": TIE, "neither": TIE}
"""Two bad answers tell as little of who is the stronger as two good ones."""


class Contestant(NamedTuple):
    """An arm with its model and its instructions: with another of either it is somebody else."""

    arm: str
    model: str | None
    instructions: str | None


@dataclass(frozen=True, slots=True)
class Standing:
    """What duels say.

    Attributes
    ----------
    places
        Where each contestant stands in `fit`.
    left, right
        Who met, duel by duel, by place.
    """

    fit: BradleyTerry
    places: Mapping[Contestant, int]
    left: tuple[int, ...]
    right: tuple[int, ...]


def sides_of(row: Mapping[str, Any]) -> tuple[Contestant, Contestant]:
    """Return who stood on the left and on the right of a duel of the log."""
    left, right = (
        Contestant(row[f"{side}_arm"], row[f"{side}_model"], row[f"{side}_instructions"]) for side in ("left", "right")
    )
    return left, right


def fit_of(rows: Sequence[Mapping[str, Any]], own: Iterable[Contestant] = ()) -> Standing:
    """Fit strengths to judged duels of the log (`ledger.duels.duels_of`).

    Parameters
    ----------
    own
        Contestants that are to have a place though they may not have met anybody.
    """
    met = [sides_of(row) for row in rows]
    everybody = dict.fromkeys([*own, *(each for pair in met for each in pair)])
    places = {each: number for number, each in enumerate(everybody)}
    left = tuple(places[pair[0]] for pair in met)
    right = tuple(places[pair[1]] for pair in met)
    fit = BradleyTerry().fit(len(places), left, right, [_OUTCOME[row["verdict"]] for row in rows])
    return Standing(fit, places, left, right)
