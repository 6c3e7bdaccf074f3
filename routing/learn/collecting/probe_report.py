"""What a probe found: of each prompt tried, of each level, and how able the arm is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from scrimp.profiles.money import usd_from_nano
from scrimp.routing.reports.likeness import alike
from scrimp.routing.router.abilities import shipped_table

from .probe_log import LogItem
from .probe_suite import knot

if TYPE_CHECKING:
    from scrimp.routing.learn.fitting.prior import Ability
    from scrimp.routing.router.learned import LearnedRouter

    from .probe_suite import ProbeItem

__all__ = ["MIN_OUTCOMES", "OfLevel", "ProbeReport", "Probed", "ability_data"]

MIN_OUTCOMES: Final = 10
"""Scored outcomes below which a placement is shown and not put in force: two of each level."""


@dataclass(frozen=True, slots=True)
class Probed:
    """One prompt that was tried.

    Attributes
    ----------
    item
        Of the built-in suite, or of the user's log.
    score
        1 right, 0 wrong, None where nothing can be said.
    asked
        False where the log knew the outcome already: nothing was paid for it now.
    """

    item: ProbeItem | LogItem
    score: float | None
    evidence: str
    charged_nano: int
    asked: bool = True

    @property
    def kind(self) -> str:
        """The suite's kind of prompt, or `log`."""
        return "log" if isinstance(self.item, LogItem) else self.item.kind


@dataclass(frozen=True, slots=True)
class OfLevel:
    """What an arm got on prompts of a level.

    Attributes
    ----------
    level
        1 to 5, halves counted upwards; None for the prompts of the user's log, of all levels.
    expected
        Mean chance to be right, by the ability found, on those that were scored; None where none was.
    """

    level: int | None
    n_right: int
    n_scored: int
    expected: float | None


@dataclass(frozen=True, slots=True)
class ProbeReport:
    """What a probe found.

    Attributes
    ----------
    key
        What the ability is stored under in a router.
    levels
        Of each prompt tried, in [1, 5]: the suite's, or the router's where it is of the log.
    expected
        Chance to be right on each, by the ability found; empty when there is none.
    ability
        In logits, with an 80% credible interval; None when nothing could be scored.
    charged_nano
        What the ledger holds of it, failed calls and retries included.
    served
        Models that answered, where that was not the one asked for.
    ended_early
        Why not all was tried, or None.
    left_out
        Prompts of the log that were not asked: reason and count.
    """

    arm: str
    model: str
    key: str
    router: LearnedRouter
    tried: tuple[Probed, ...]
    levels: tuple[float, ...]
    expected: tuple[float, ...]
    ability: Ability | None
    charged_nano: int
    served: tuple[str, ...]
    ended_early: str | None
    left_out: dict[str, int]

    @property
    def n_right(self) -> int:
        """Answers that were right."""
        return sum(each.score == 1.0 for each in self.tried)

    @property
    def n_scored(self) -> int:
        """Answers of which something can be said."""
        return sum(each.score is not None for each in self.tried)

    @property
    def n_known(self) -> int:
        """Outcomes that the log knew already."""
        return sum(not each.asked for each in self.tried)

    @property
    def too_little(self) -> str | None:
        """Why a router version should not be made of this; None where it may."""
        n = self.n_scored
        if n >= MIN_OUTCOMES:
            return None
        found = "no outcome was" if n == 0 else f"{n} outcome was" if n == 1 else f"{n} outcomes were"
        return f"{found} scored, and {MIN_OUTCOMES} are the least"

    def by_level(self) -> list[OfLevel]:
        """Return what was right of what was tried, level by level, and last on the log's prompts."""
        of: dict[int | None, list[int]] = {level: [] for level in (1, 2, 3, 4, 5, None)}
        for k, each in enumerate(self.tried):
            of[None if isinstance(each.item, LogItem) else knot(self.levels[k])].append(k)
        rows = []
        for level, at in of.items():
            scored = [k for k in at if self.tried[k].score is not None]
            if at:
                n_right = sum(self.tried[k].score == 1.0 for k in scored)
                mean = sum(self.expected[k] for k in scored) / len(scored) if scored else None
                rows.append(OfLevel(level, n_right, len(scored), mean))
        return rows

    def to_dict(self, *, version: str | None, why: str | None) -> dict[str, Any]:
        """Return what `probe --json` prints.

        Parameters
        ----------
        version
            The router that uses it.
        why
            Why none does.
        """
        return {
            "schema_version": 1,
            "arm": self.arm,
            "model": self.model,
            "n": len(self.tried),
            "n_right": self.n_right,
            "n_scored": self.n_scored,
            "n_log": sum(each.kind == "log" for each in self.tried),
            "n_known": self.n_known,
            "left_out": self.left_out,
            "charged_usd": usd_from_nano(self.charged_nano),
            "ability": ability_data(self.ability),
            "levels": [
                {"level": each.level, "n_right": each.n_right, "n_scored": each.n_scored, "expected": each.expected}
                for each in self.by_level()
            ],
            "served": list(self.served),
            "ended_early": self.ended_early,
            "in_force": version is not None,
            "why": why,
            "router_version": version,
            "items": [
                {
                    "id": each.item.id,
                    "kind": each.kind,
                    "level": self.levels[k],
                    "score": each.score,
                    "evidence": each.evidence,
                    "charged_usd": usd_from_nano(each.charged_nano),
                }
                for k, each in enumerate(self.tried)
            ],
        }


def ability_data(ability: Ability | None) -> dict[str, Any] | None:
    """Return an ability as plain data, in logits, with its prior and the models that are as able; None without one."""
    if ability is None:
        return None
    return {
        "median": ability.median,
        "sd": ability.sd,
        "low": ability.low,
        "high": ability.high,
        "like": list(alike(shipped_table(), ability.median)),
        "prior": ability.prior_mean,
        "prior_sd": ability.prior_sd,
        "prior_basis": ability.prior_basis,
        "shift": ability.shift,
        "shift_sd": ability.shift_sd,
    }
