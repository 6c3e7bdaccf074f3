"""What the engine handles: its settings and counts, one row on its way, one arm's queue."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from scrimp.profiles.rungs import READ_TOKENS
from scrimp.routing.asking.asked import Asked
from scrimp.routing.asking.named_plans import checks_of
from scrimp.routing.asking.paid_call import Bill
from scrimp.routing.asking.request import Way
from scrimp.routing.strategies.bid_memory import recalled

from .turns import FIRST_COME, Rank, Turns

if TYPE_CHECKING:
    from scrimp.profiles.errors import ScrimpError
    from scrimp.profiles.schema import Arm, Profile
    from scrimp.routing.asking.books import Called
    from scrimp.routing.asking.request import Ask
    from scrimp.routing.batch.files.rows import Row
    from scrimp.routing.batch.planning.lanes import Lane as LaneName
    from scrimp.routing.batch.state.recovery import TakenUp
    from scrimp.routing.deciding.decide import Wishes
    from scrimp.routing.deciding.policy import Option
    from scrimp.routing.deciding.trace import Decision
    from scrimp.routing.ledger.store import Ledger
    from scrimp.routing.prices.price import ArmPrice
    from scrimp.routing.strategies.bid_memory import PastBids
    from scrimp.routing.strategies.brief import Memory

    from .gates import ProviderGate
    from .shared_limits import SharedLimits

__all__ = ["Job", "Lane", "Limiter", "Settings", "Stats"]

_UNPROVEN: Final = 2
"""Calls in flight on an arm until one was not refused for its key, credit, model or address: with those, none works."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How a run is to be run.

    Attributes
    ----------
    wishes
        What the user wants of the arms (one by name, on this machine alone).
    concurrency
        Calls in flight on each arm, where the arm itself does not allow fewer; None for 8, or what the arm says.
    max_errors
        Stop after this many failed rows; None never stops.
    max_cost_nano
        A cap on the whole run, nano-USD.
    keep
        What the log keeps: `all`, `features` (no text) or `money` (neither).
    tag
        A word of the user's by which log and spending find the calls, or None.
    way
        Checks for every row, and whether a plan of several calls may be chosen.
    reading, read_tokens
        How much of rows' files is to be read, as in `asking.request.Ask`.
    deadline_s
        Seconds from the run's beginning within which all answers are wanted; None: whenever they come.
    lane
        Which calls go through providers' Batch APIs (`planning.lanes.Lanes`).
    detach
        Whether the run is left as soon as all that can be handed over is with providers.
    hint, use_hint
        Whether a coin decides if the nearest hint stands in front of a row; the one to put in front of every row.
    """

    wishes: Wishes
    concurrency: int | None = None
    max_errors: int | None = None
    max_cost_nano: int | None = None
    keep: str = "all"
    tag: str | None = None
    way: Way = field(default_factory=Way)
    hint: bool = False
    use_hint: str | None = None
    reading: str = "auto"
    read_tokens: int = READ_TOKENS
    deadline_s: float | None = None
    lane: LaneName = "sync"
    detach: bool = False


@dataclass(slots=True)
class Stats:
    """How far a run has come; kept up to date while it goes on.

    Attributes
    ----------
    n_rows, n_before
        Rows that can be asked, and those of them that had a result before this process began.
    ok, cut, failed, skipped, unknown
        Results of this process.
    n_same, n_cached
        How many of these took the answer of an equal row, or one from the cache.
    n_prompts_cut
        Answers to prompts of which the provider seems to have read only a part.
    n_attempts
        Calls made, retries included.
    n_breaches
        Calls that cost more than their bound.
    charged_nano
        What the run is charged, nano-USD; that of earlier processes included.
    by_arm
        How many answers each arm gave.
    errors
        How many rows failed, by the kind of their last error.
    started, first_at
        Seconds on the monotonic clock: when this process began, and when its first result came.
    n_handed, n_back
        Calls that providers' batches hold, or held since this process began, and those of them that are over there.
    stopping
        Why it sends nothing more: `interrupted`, `failed`, `errors` (`max_errors` is reached), `detached`, or `unread`
        (who reads the answers has gone); None while it goes on.
    """

    n_rows: int
    n_before: int = 0
    ok: int = 0
    cut: int = 0
    failed: int = 0
    skipped: int = 0
    unknown: int = 0
    n_same: int = 0
    n_cached: int = 0
    n_prompts_cut: int = 0
    n_attempts: int = 0
    n_breaches: int = 0
    charged_nano: int = 0
    by_arm: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    n_handed: int = 0
    n_back: int = 0
    started: float = field(default_factory=time.monotonic)
    first_at: float | None = None
    stopping: str | None = None

    @property
    def done(self) -> int:
        """Rows that have a result, from this process."""
        return self.ok + self.cut + self.failed + self.skipped + self.unknown

    @property
    def seconds(self) -> float:
        """How long this process has been running, seconds."""
        return time.monotonic() - self.started

    def count(self, status: str) -> None:
        """Count a result."""
        if self.first_at is None:
            self.first_at = time.monotonic()
        setattr(self, status, getattr(self, status) + 1)

    @property
    def pace(self) -> float:
        """Rows a second since the first result: how long it took to get ready says nothing about the time left."""
        if self.first_at is None or self.done < 2:
            return 0.0
        return (self.done - 1) / max(time.monotonic() - self.first_at, 1e-3)


@dataclass(slots=True)
class Job:
    """One row that is being answered.

    Attributes
    ----------
    row, decision
        The row, and how it was decided.
    asked
        The row as a request with its plan; None where it is refused.
    bill
        Its calls so far, and their money.
    recorded
        The calls that an earlier process had finished before it was killed.
    refusal
        Why it is not begun; None where it is.
    same
        The key (16 bytes) by which equal rows find it; None where no other row asks the same.
    rank, due
        What lets it go before others; POSIX time after which it is not sent any more, or None.
    committed_usd, variance
        What it is still expected to cost (USD), and the variance of that (USD squared).
    """

    row: Row
    decision: Decision
    asked: Asked | None
    bill: Bill = field(default_factory=Bill)
    recorded: tuple[Called, ...] = ()
    refusal: ScrimpError | None = None
    same: bytes | None = None
    rank: Rank = FIRST_COME
    due: float | None = None
    committed_usd: float = 0.0
    variance: float = 0.0

    @classmethod
    def again(cls, row: Row, taken_up: TakenUp, ask: Ask, way: Way, profile: Profile, memory: Memory) -> Job:
        """Return the job of a row that a killed process had begun: it goes on as the same request."""
        decision = taken_up.decision
        checks, steps = checks_of(way, decision, profile), way.records_steps(decision)
        asked = Asked(ask, decision, None, taken_up.plan, checks, records_steps=steps, memory=memory)
        return cls(row, taken_up.decision, asked, taken_up.bill, taken_up.recorded)

    @property
    def bids(self) -> bool:
        """Whether arms bid for it."""
        return self.asked is not None and any(stage.how == "bid" for stage in self.asked.plan.stages)

    def remembering(self, past: PastBids, ledger: Ledger) -> Job:
        """Return it with what the log knows of bids."""
        asked = self.the_asked
        decision = past.added(asked.decision, asked.plan, asked.context)
        asked = replace(asked, decision=decision, memory=recalled(ledger, decision))
        return replace(self, decision=decision, asked=asked)

    @property
    def the_asked(self) -> Asked:
        """The request of a row that is not refused."""
        assert self.asked is not None  # noqa: S101 - refused rows are not begun
        return self.asked

    @property
    def option(self) -> Option:
        """The arm that is tried first."""
        return self.decision.choice.taken


class Limiter:
    """The limits on an arm's calls, which all rungs of a ladder share: how many at a time, and how many a minute."""

    def __init__(self, most: int, shared: SharedLimits | None) -> None:
        self.shared = shared
        self.turns = Turns(min(most, _UNPROVEN))
        self._held_back = max(0, most - _UNPROVEN)

    def prove(self) -> None:
        """Let all calls have their turns that the arm allows: it takes calls."""
        for _ in range(self._held_back):
            self.turns.release()
        self._held_back = 0

    async def pace(self, option: Option, rank: Rank) -> None:
        """Wait for the arm's own limits, which all processes keep together."""
        if self.shared is not None:
            await self.shared.take(option, rank)

    def over(self) -> None:
        """Let another call have the place, of this process or of others."""
        if self.shared is not None:
            self.shared.give()


class Lane:
    """One arm, and what holds its calls back."""

    def __init__(self, arm: Arm, price: ArmPrice | None, gate: ProviderGate, limiter: Limiter, most: int) -> None:
        self.arm = arm
        self.price = price
        self.gate = gate
        self.limiter = limiter
        self.most = most
        self.blocked: ScrimpError | None = None

    async def enter(self, option: Option, rank: Rank = FIRST_COME) -> None:
        """Wait for a turn, for the provider to take more calls, and for the arm's own limits."""
        await self.limiter.turns.acquire(rank)
        try:
            await self.gate.enter(rank)
        except BaseException:
            self.limiter.turns.release()
            raise
        try:
            await self.limiter.pace(option, rank)
        except BaseException:
            self._next()
            raise

    def leave(self) -> None:
        """Let the next call have its turn."""
        self.limiter.over()
        self._next()

    def _next(self) -> None:
        self.gate.leave()
        self.limiter.turns.release()

    def is_steady(self, row: Row) -> bool:
        """Tell whether the same request would get the same answer: temperature 0."""
        params = {**self.arm.params, **row.params}
        return params.get("temperature", 0 if self.arm.model.startswith("local/") else None) == 0
