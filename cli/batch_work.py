"""A run of `batch` from the command line: its flags, and what it works with."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

from scrimp.profiles.money import nano_from_usd

from . import session

if TYPE_CHECKING:
    from pathlib import Path

    from scrimp.profiles.schema import Profile
    from scrimp.routing.batch.files.output import Journal
    from scrimp.routing.batch.running.engine import Engine
    from scrimp.routing.batch.running.jobs import Stats
    from scrimp.routing.ledger.batches import Run
    from scrimp.routing.ledger.store import Ledger

__all__ = ["BatchFlags", "Work"]


@dataclass(frozen=True, slots=True)
class BatchFlags:
    """The flags of a run, as given; `--resume` goes on with those it was started with, where no others are given."""

    input: str | None = None
    output: Path | None = None
    profile: str | None = None
    arm: str | None = None
    max_cost: str | None = None
    min_quality: float | None = None
    wtp: float | None = None
    prefer: str | None = None
    system: str | None = None
    format: str | None = None
    column: str | None = None
    template: str | None = None
    schema: str | None = None
    check: tuple[str, ...] = ()
    cascade: bool = False
    plan: str | None = None
    repair: bool = False
    jobs: int | None = None
    max_errors: int | None = None
    cache: str | None = None
    skip_bad: bool = False
    unordered: bool = False
    on_this_machine: bool = False
    need: tuple[str, ...] = ()
    tag: str | None = None
    no_log: bool = False
    seed: int | None = None

    def to_saved(self) -> dict[str, Any]:
        """Return what the run remembers of them."""
        return {key: value for key, value in asdict(self).items() if key not in ("input", "output")}

    def over(self, saved: dict[str, Any]) -> BatchFlags:
        """Return the flags of a resumed run: these, where they were given, over what it remembers."""
        given = {each.name: getattr(self, each.name) for each in fields(self)}
        names = {each.name for each in fields(self)}
        merged = {key: value for key, value in saved.items() if key in names}
        merged |= {key: value for key, value in given.items() if value not in (None, False, ())}
        merged["check"], merged["need"] = tuple(merged.get("check", ())), tuple(merged.get("need", ()))
        return BatchFlags(**merged)


@dataclass(frozen=True, slots=True)
class Work:
    """A run that is ready to go."""

    flags: BatchFlags
    profile: Profile
    ledger: Ledger
    run: Run
    journal: Journal
    engine: Engine
    stats: Stats

    @property
    def keeps_answers(self) -> bool:
        """Whether text is kept: rows of a run without can be asked again only until it is finished."""
        return self.profile.log.keep == "all" and not self.flags.no_log

    @property
    def cap_nano(self) -> int | None:
        """The cap on the run, nano-USD."""
        own = self.profile.caps.per_run_usd
        caps = [None if own is None else nano_from_usd(own), session.parse_usd(self.flags.max_cost, "--max-cost")]
        return min((cap for cap in caps if cap is not None), default=None)
