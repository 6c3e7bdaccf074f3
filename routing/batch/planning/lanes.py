"""The two ways to ask an arm: at once (`sync`), or through its provider's Batch API at a lower price (`batch`)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

from scrimp.routing.calls.provider_batches.opened import batch_api_of
from scrimp.routing.calls.provider_batches.protocol import WINDOW_S
from scrimp.routing.ledger.provider_batches import batch_times, n_held

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from scrimp.routing.batch.files.rows import Row
    from scrimp.routing.calls.provider_batches.opened import Api
    from scrimp.routing.deciding.decide import Decider
    from scrimp.routing.ledger.store import Ledger
    from scrimp.routing.prices.price import ArmPrice

__all__ = ["LANES", "BatchArm", "Lane", "Lanes"]

Lane = Literal["sync", "batch", "auto"]
LANES: Final[tuple[Lane, ...]] = ("sync", "batch", "auto")

_NOTHING: Final[Mapping[int, float]] = {}

_ENOUGH: Final = 5
"""Batches of a provider's by which it is judged how long they take."""


@dataclass(frozen=True, slots=True)
class BatchArm:
    """An arm whose provider has a Batch API.

    Attributes
    ----------
    sync, batch
        What it costs in either lane.
    window_s
        Within how many seconds its batches are over: what the provider promises, or the 90th percentile of the last
        ones where that is less.
    """

    api: Api
    sync: ArmPrice
    batch: ArmPrice
    window_s: float


@dataclass(frozen=True)
class Lanes:
    """Which calls of a run go through Batch APIs.

    Attributes
    ----------
    lane
        sync: none; batch: all, and other arms are not asked; auto: those of rows that can wait for it.
    began
        When the run began, POSIX time: deadlines count from there.
    deadline_s
        The run's own; None: its answers may come whenever they do.
    soon
        Deadlines of rows that have one, or that such rows wait for, by their places: seconds from the run's beginning.
    arms
        The arms that have a Batch API, and a price there.
    barred
        Why other arms are not asked.
    """

    lane: Lane = "sync"
    began: float = 0.0
    deadline_s: float | None = None
    soon: Mapping[int, float] = field(default_factory=dict)
    arms: Mapping[str, BatchArm] = field(default_factory=dict)
    barred: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        lane: Lane,
        decider: Decider,
        ledger: Ledger | None,
        *,
        run_id: str,
        began: float,
        deadline_s: float | None,
        soon: Mapping[int, float] = _NOTHING,
    ) -> Lanes:
        """Return the lanes of a run over a decider's arms; what it has with providers is charged at their prices."""
        if lane == "sync" and (ledger is None or not n_held(ledger, run_id)):
            return cls(began=began, deadline_s=deadline_s, soon=soon)
        found: dict[str, BatchArm] = {}
        for arm in decider.profile.arms:
            api, sync, batch = batch_api_of(arm), decider.price(arm.name), decider.table.batch_price(arm)
            if api is not None and sync is not None and batch is not None:
                found[arm.name] = BatchArm(api, sync, batch, _window_s(batch_times(ledger, api)))
        barred = {}
        if lane == "batch":
            why = "its provider has no Batch API that is known (--lane auto asks it at once)"
            barred = {arm.name: why for arm in decider.profile.arms if arm.name not in found}
        return cls(lane, began, deadline_s, soon, found, barred)

    def due(self, row: Row) -> float | None:
        """Return when a row's answer is wanted, POSIX time; None: whenever it comes."""
        wanted = [each for each in (row.deadline_s, self.soon.get(row.n), self.deadline_s) if each is not None]
        return self.began + min(wanted) if wanted else None

    def takes(self, arm: str, row: Row, now: float) -> bool:
        """Tell whether a call for a row goes through an arm's Batch API, were it made now."""
        known = self.arms.get(arm)
        if known is None or self.lane == "sync":
            return False
        due = self.due(row)
        return self.lane == "batch" or due is None or now + known.window_s <= due

    def prices(self, row: Row, now: float) -> dict[str, ArmPrice]:
        """Return what arms cost for a row, where that is not their ordinary price."""
        return {name: known.batch for name, known in self.arms.items() if self.takes(name, row, now)}

    def price_in(self, arm: str, lane: str) -> ArmPrice:
        """Return what an arm costs in a lane."""
        known = self.arms[arm]
        return known.batch if lane == "batch" else known.sync

    def saved(self, arms: Iterable[tuple[str, int, float]], share: float) -> tuple[tuple[str, int, float, float], ...]:
        """Return rows by lane: lane, rows, their likely cost, and what the lane saves of it, in USD.

        Parameters
        ----------
        arms
            Arm, rows and likely cost in USD, as an estimate has them.
        share
            Of the rows, those that can wait.
        """
        if self.lane == "sync":
            return ()
        rows = {"batch": 0, "sync": 0}
        usd = {"batch": 0.0, "sync": 0.0}
        saved = 0.0
        for name, n, cost in arms:
            known = self.arms.get(name.partition("/")[0])
            waiting = round(n * share) if known is not None else 0
            rows["batch"] += waiting
            rows["sync"] += n - waiting
            if known is None or n == 0:
                usd["sync"] += cost
                continue
            times = _times(known)
            # A row that waits costs 1, one that does not costs `times`: the whole is what was planned.
            one = cost / (waiting + (n - waiting) * times)
            usd["batch"] += one * waiting
            usd["sync"] += one * times * (n - waiting)
            saved += one * (times - 1.0) * waiting
        return tuple(
            (lane, rows[lane], usd[lane], saved if lane == "batch" else 0.0) for lane in ("batch", "sync") if rows[lane]
        )


def _times(known: BatchArm) -> float:
    """Return how often the price in a batch the ordinary one is, by input and output alike."""
    batch = float(known.batch.input + known.batch.output)
    return float(known.sync.input + known.sync.output) / batch if batch else 1.0


def _window_s(times: list[float]) -> float:
    """Return the 90th percentile of how long batches took, where that is known and less than what is promised."""
    if len(times) < _ENOUGH:
        return WINDOW_S
    ranked = sorted(times)
    return min(WINDOW_S, ranked[min(len(ranked) - 1, int(0.9 * len(ranked)))])
