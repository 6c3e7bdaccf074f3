"""How much is read of the files that rows are asked about: what each reading sends, and the columns of the plan."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from scrimp.profiles.rungs import reading_of, with_reading
from scrimp.routing.asking.plan_choice import arms_in
from scrimp.routing.asking.read import readings_offered, with_readings
from scrimp.routing.asking.request import Way

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from scrimp.routing.deciding.decide import Decider
    from scrimp.routing.prompts.context import Context
    from scrimp.routing.prompts.prompt import Prompt
    from scrimp.routing.prompts.sources import Read

__all__ = ["RowReader"]

_HELD: Final = 8
"""Files whose whole texts are held."""


class RowReader:
    """Says for each row what the readings of its files send.

    Parameters
    ----------
    decider
        Whose embedder the questions are embedded by.
    way
        Whose plan names arms, some perhaps with a reading.
    arm
        The arm that was asked for by name, or None; where it names a reading, that is taken.
    wanted, budget
        As `asking.read.with_readings`.
    cache
        The folder of the cache, or None.
    """

    def __init__(
        self, decider: Decider, way: Way, arm: str | None, *, wanted: str, budget: int, cache: Path | None
    ) -> None:
        self.decider = decider
        self.named = arms_in(way) | ({arm} if arm is not None else set())
        self.wanted = wanted
        self._own = None if arm is None else reading_of(arm)
        self.is_free = self._own is None and wanted == "auto"
        self.budget = budget
        self.cache = cache
        self._wholes: dict[tuple[str, ...], Read] = {}

    def read(self, prompt: Prompt, context: Context, plan: str | None = None) -> Prompt:
        """Return a row's prompt with what may be sent of its files.

        Parameters
        ----------
        plan
            The row's own, as it spells it.
        """
        named = self.named if plan is None else self.named | arms_in(Way(plan=plan))
        read = with_readings(
            prompt,
            context,
            self.decider.embedder,
            wanted=self.wanted,
            budget=self.budget,
            named=named,
            cache=self.cache,
        )
        return read if read.readings is None else self._sharing(read)

    def _sharing(self, prompt: Prompt) -> Prompt:
        """Return a prompt whose whole text is held once for rows that come one after another with the same files."""
        readings = prompt.readings
        assert readings is not None  # noqa: S101 - the caller has looked
        mine = readings.reads["whole"]
        key = tuple(source.sha256 for source in prompt.sources)
        held = self._wholes.get(key)
        if held is None or held.text != mine.text:
            if len(self._wholes) >= _HELD:
                self._wholes.pop(next(iter(self._wholes)))
            self._wholes[key] = mine
            return prompt
        return replace(prompt, readings=replace(readings, reads={**readings.reads, "whole": held}))

    def columns(self, arms: Iterable[str]) -> tuple[str, ...]:
        """Return the names that a plan for the file chooses among: each arm as it is, and at each reading on offer."""
        kinds = (None, *(readings_offered(self.wanted, self.named) if self._own is None else (self._own,)))
        return tuple(with_reading(arm, kind) for arm in arms for kind in kinds)
