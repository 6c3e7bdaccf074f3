"""Whether a hint stands in front of a prompt: the nearest one, above a similarity, by a coin whose chance is logged."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from scrimp.routing.ledger.store import Ledger
    from scrimp.routing.prompts.prompt import Prompt

    from .hint_files import Hint, Shelf

__all__ = ["FAIR", "SELDOM", "START", "Drawn", "Hinter", "Odds", "open_hinter"]

START: Final = 0.4
"""The cosine of prompt and hint below which none is put in front, before labels say where hints begin to help.

Of 736 everyday prompts, the nearest of 22 lines about kinds is that of the prompt's own kind for 32%, and for 67% of
the 7% that are above this; of prompts of no such kind 3% are above it (`bench/hints.py near`).
"""

FAIR: Final = 0.5
"""The coin's chance until labels speak."""

SELDOM: Final = 0.1
"""The coin's chance where labels speak against hints: a few go on telling, so that no mistake is for ever."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """What the log keeps of a request's hint: no text of it.

    Attributes
    ----------
    hint
        The id of the nearest one (name and digest), in front or not.
    similarity
        Its cosine with the prompt, in [-1, 1]; None where it was asked for by name.
    hinted
        Whether it stands in front; None where it was too far for a draw.
    propensity
        The chance of what was drawn; None where there was no draw.
    """

    hint: str
    similarity: float | None
    hinted: bool | None
    propensity: float | None

    def columns(self) -> dict[str, object]:
        """Return the columns of `requests` that it fills."""
        return {
            "hint": self.hint,
            "hinted": None if self.hinted is None else int(self.hinted),
            "hint_propensity": self.propensity,
            "hint_similarity": None if self.similarity is None else round(self.similarity, 6),
        }


@dataclass(frozen=True, slots=True)
class Odds:
    """What the last refit found of hints.

    Attributes
    ----------
    threshold
        The similarity below which hints were seen to harm; below both it and `START` there is no draw.
    chance
        By hint id, the chance that it is put in front; of others it is `FAIR`.
    """

    threshold: float = START
    chance: Mapping[str, float] = field(default_factory=dict)

    def of_hint(self, hint: str, similarity: float) -> float | None:
        """Return the chance that a hint is put in front of a prompt; None where it is too far for a draw."""
        if similarity < min(self.threshold, START):
            return None
        return SELDOM if similarity < self.threshold else self.chance.get(hint, FAIR)

    @classmethod
    def of(cls, found: Mapping[str, Any] | None) -> Odds:
        """Return the odds of what `refit --json` says of hints; the first ones where it says nothing."""
        if not found:
            return cls()
        chance = {key: float(kind["chance"]) for key, kind in found["kinds"].items()}
        return cls(float(found["threshold"]["value"]), chance)


class Hinter:
    """Puts hints in front of prompts.

    Parameters
    ----------
    shelf
        The hints there are.
    odds
        By what chances.
    embed
        Returns `(n_texts, dim) float32` unit vectors.
    rng
        Flips the coin.
    name
        The hint to put in front of every prompt; None draws for the nearest.

    Raises
    ------
    UsageError
        If there is no hint of that name.
    """

    def __init__(
        self,
        shelf: Shelf,
        odds: Odds,
        embed: Callable[[Sequence[str]], NDArray[np.float32]],
        rng: random.Random,
        *,
        name: str | None = None,
    ) -> None:
        self.shelf = shelf
        self.odds = odds
        self.embed = embed
        self.rng = rng
        self.always = None if name is None else shelf.find(name)
        self._about: NDArray[np.float32] | None = None

    def put(
        self, prompt: Prompt, embedding: NDArray[np.float32] | None = None, *, rng: random.Random | None = None
    ) -> tuple[Prompt, Drawn | None]:
        """Return the prompt as it is asked, and what is to be logged; None where there is no hint, or tools are called.

        Parameters
        ----------
        embedding
            `(dim,)` of the prompt's text; None embeds it.
        rng
            Flips the coin for this prompt in place of the one for all.
        """
        if not self.shelf.hints or (prompt.chat is not None and prompt.chat.with_tools):
            return prompt, None
        if self.always is not None:
            return replace(prompt, hint=self.always.framed()), Drawn(self.always.id, None, True, None)
        hint, similarity = self._nearest(self.embed([prompt.text])[0] if embedding is None else embedding)
        chance = self.odds.of_hint(hint.id, similarity)
        if chance is None:
            return prompt, Drawn(hint.id, similarity, None, None)
        hinted = (rng or self.rng).random() < chance
        drawn = Drawn(hint.id, similarity, hinted, chance if hinted else 1.0 - chance)
        return (replace(prompt, hint=hint.framed()) if hinted else prompt), drawn

    def again(self, prompt: Prompt, known: Mapping[str, Any]) -> Prompt | None:
        """Return a prompt as it was asked before, by its request's columns; None where that hint is gone or edited."""
        if not known["hinted"]:
            return prompt
        hint = next((each for each in self.shelf.hints if each.id == known["hint"]), None)
        return None if hint is None else replace(prompt, hint=hint.framed())

    def _nearest(self, embedding: NDArray[np.float32]) -> tuple[Hint, float]:
        if self._about is None:
            self._about = self.embed([hint.about for hint in self.shelf.hints])
        cosines = self._about @ embedding
        best = int(cosines.argmax())
        return self.shelf.hints[best], float(cosines[best])


def open_hinter(
    folder: Path,
    ledger: Ledger | None,
    profile: str,
    *,
    embed: Callable[[Sequence[str]], NDArray[np.float32]],
    rng: random.Random,
    name: str | None = None,
    say: Callable[[str], None],
) -> Hinter:
    """Return what puts a user's hints in front of prompts; what is broken among them is said, and left out.

    Raises
    ------
    UsageError
        If there is no hint of that name.
    """
    from scrimp.routing.ledger.hints import last_found

    from .hint_files import read_hints

    shelf = read_hints(folder)
    for problem in shelf.problems:
        say(f"hint left out: {problem}")
    if not shelf.hints and name is None:
        say("there are no hints yet: `scrimp learn templates` makes some, or write one (docs/hints.md)")
    return Hinter(shelf, Odds.of(last_found(ledger, profile)), embed, rng, name=name)
