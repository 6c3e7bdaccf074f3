"""What the engine handles: its settings and counts, one row on its way, one arm's queue."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .gates import Bucket

if TYPE_CHECKING:
    from scrimp.profiles.errors import ScrimpError
    from scrimp.profiles.schema import Arm
    from scrimp.routing.batch.files.rows import Row
    from scrimp.routing.calls.faults import CallError
    from scrimp.routing.checks.base import Check
    from scrimp.routing.deciding.decide import Wishes
    from scrimp.routing.deciding.policy import Option
    from scrimp.routing.deciding.trace import Decision
    from scrimp.routing.prices.price import ArmPrice
    from scrimp.routing.prompts.context import Context

    from .gates import ProviderGate

__all__ = ["Job", "Lane", "Settings", "Stats"]


@dataclass(frozen=True, slots=True)
class Settings:
    """How a run is to be run.

    Attributes
    ----------
    concurrency
        Calls in flight on each arm, where the arm itself does not allow fewer; None for 8, or what the arm says.
    max_errors
        Stop after this many failed rows; None never stops.
    max_cost_nano
        A cap on the whole run, nano-USD.
    keep
        What the log keeps: all, features or money.
    """

    wishes: Wishes
    concurrency: int | None = None
    max_errors: int | None = None
    max_cost_nano: int | None = None
    keep: str = "all"
    tag: str | None = None
    checks: tuple[Check, ...] = ()


@dataclass(slots=True)
class Stats:
    """How far a run has come; kept up to date while it goes on."""

    n_rows: int
    n_before: int = 0
    ok: int = 0
    failed: int = 0
    skipped: int = 0
    unknown: int = 0
    n_same: int = 0
    n_cached: int = 0
    n_attempts: int = 0
    n_breaches: int = 0
    charged_nano: int = 0
    by_arm: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    started: float = field(default_factory=time.monotonic)
    first_at: float | None = None
    stopping: str | None = None

    @property
    def done(self) -> int:
        """Rows that have a result, from this process."""
        return self.ok + self.failed + self.skipped + self.unknown

    @property
    def seconds(self) -> float:
        """How long this process has been at it."""
        return time.monotonic() - self.started

    def count(self, status: str) -> None:
        """Count a result."""
        if self.first_at is None:
            self.first_at = time.monotonic()
        setattr(self, status, getattr(self, status) + 1)

    @property
    def pace(self) -> float:
        """Rows a second since the first result: getting ready says nothing of the time that is left."""
        if self.first_at is None or self.done < 2:
            return 0.0
        return (self.done - 1) / max(time.monotonic() - self.first_at, 1e-3)


@dataclass(slots=True)
class Job:
    """One row on its way."""

    row: Row
    decision: Decision
    context: Context | None
    queue: list[Option]
    same: bytes | None = None
    attempts: int = 0
    logged: bool = False
    cost_nano: int | None = 0
    started: float | None = None
    errors: list[tuple[str, CallError]] = field(default_factory=list)
    refusal: ScrimpError | None = None
    drawn: str | None = None
    committed_usd: float = 0.0
    variance: float = 0.0

    @property
    def option(self) -> Option:
        """The arm that is tried now."""
        return self.queue[0]


class Lane:
    """One arm's queue."""

    def __init__(self, arm: Arm, price: ArmPrice | None, gate: ProviderGate, most: int) -> None:
        self.arm = arm
        self.price = price
        self.gate = gate
        self.most = most
        self.queue: asyncio.Queue[Job] = asyncio.Queue()
        self.requests = None if arm.limits.rpm is None else Bucket(arm.limits.rpm)
        self.tokens = None if arm.limits.tpm is None else Bucket(arm.limits.tpm)
        self.blocked: ScrimpError | None = None
        self.price_id: int | None = None

    async def pace(self, option: Option) -> None:
        """Wait for the arm's own limits a minute."""
        waits = [
            bucket.take(amount)
            for bucket, amount in (
                (self.requests, 1.0),
                (self.tokens, float(option.input_tokens + option.output_tokens_p50)),
            )
            if bucket is not None
        ]
        if waits and max(waits) > 0.0:
            await asyncio.sleep(max(waits))

    def is_steady(self, job: Job) -> bool:
        """Tell whether the same request would get the same answer: temperature 0."""
        params = {**self.arm.params, **job.row.params}
        return params.get("temperature", 0 if self.arm.model.startswith("local/") else None) == 0
