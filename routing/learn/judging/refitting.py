"""A refit from end to end: read the log, fit, judge, keep the version, and put it in force if the gate says so."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from scrimp.profiles.errors import DataError
from scrimp.routing.deciding.pool import ALL_OF
from scrimp.routing.ledger.attempts import most_asked
from scrimp.routing.ledger.learning import add_refit, refits_of
from scrimp.routing.ledger.store import instant
from scrimp.routing.router import versions
from scrimp.routing.router.in_force import SHIPPED

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from scrimp.routing.deciding.decide import Decider
    from scrimp.routing.learn.data.decisions import Pool
    from scrimp.routing.learn.data.labelled import Labelled
    from scrimp.routing.ledger.store import Ledger
    from scrimp.routing.prompts.context import TextEmbedder
    from scrimp.routing.router.arms import ArmInfo
    from scrimp.routing.router.learned import LearnedRouter

__all__ = ["Bench", "past_refits", "refit_profile", "set_up"]


@dataclass(frozen=True, slots=True, eq=False)
class Bench:
    """What learning works with: the shipped router, the one in force, the arms and their prices.

    Attributes
    ----------
    problem
        Why nothing can be learnt here; None when all is well.
    """

    base: LearnedRouter
    current: LearnedRouter
    current_name: str
    pool: Pool
    problem: str | None = None

    def read(
        self,
        ledger: Ledger | None,
        profile: str,
        embedder: TextEmbedder,
        *,
        arms: Sequence[ArmInfo] | None = None,
        **options: Any,
    ) -> Labelled:
        """Return a profile's log, embedded as these routers want it.

        Parameters
        ----------
        arms
            Whose answers are read; None takes the pool's.

        Raises
        ------
        LedgerError
            If the ledger is damaged.
        """
        from scrimp.routing.learn.data.read import read_log
        from scrimp.routing.ledger.upkeep import make_sure

        if ledger is not None:
            make_sure(ledger)
        return read_log(
            ledger,
            profile,
            self.pool.arms if arms is None else arms,
            embedder_id=self.base.embedder_id,
            dim=len(self.base.weights.centre),
            embed=embedder.embed if embedder.id == self.base.embedder_id else None,
            **options,
        )


def set_up(decider: Decider, routers: Path, ledger: Ledger | None, profile: str | None = None) -> Bench:
    """Return what learning works with: the profile's arms, and those of its pool that the log has.

    Parameters
    ----------
    ledger, profile
        The log, and whose part of it is learnt from; None: of the profile that decides.

    Raises
    ------
    DataError
        If the shipped router cannot be read, or was learnt with another embedder than the profile's.
    """
    from scrimp.routing.learn.data.read import make_pool

    base = versions.open_version(routers, SHIPPED)
    if decider.embedder.id != base.embedder_id:
        raise DataError(
            f"the profile embeds by {decider.embedder.id}, the shipped router by {base.embedder_id}: nothing can be "
            "learnt by a router that sees other vectors",
            hint='Set [embedding] model = "builtin" in the profile, or train a router for this embedder.',
        )
    if decider.pool is not None and ledger is not None:
        room = max(0, ALL_OF - len(decider.profile.arms))
        decider = decider.with_arms(most_asked(ledger, profile or decider.profile.name, room))
    arms = decider.profile.arms
    pool = make_pool(decider.profile, decider.infos, [decider.price(arm.name) for arm in arms])
    name = versions.current_name(routers)
    if name == SHIPPED:
        return Bench(base, base, name, pool)
    from scrimp.routing.router.folder import OlderSchemaError, read_router

    try:
        return Bench(base, read_router(routers / name, embedder_id=base.embedder_id), name, pool)
    except OlderSchemaError:
        # The shipped router decides in its place (`load_router`): what is learnt has to beat that one.
        return Bench(base, base, SHIPPED, pool)
    except DataError as error:
        problem = f"the router in force cannot be read: {error.message}"
        return Bench(base, base, name, pool, problem)


def past_refits(ledger: Ledger | None, profile: str) -> list[dict[str, Any]]:
    """Return a profile's past refits, oldest first."""
    return [] if ledger is None else refits_of(ledger, profile)


def refit_profile(
    ledger: Ledger | None,
    decider: Decider,
    routers: Path,
    *,
    now: float,
    force: bool = False,
    seed: int = 0,
    on_fitted: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Refit a profile's router and return what `refit --json` prints; what is in force changes in the last step only.

    Raises
    ------
    TryAgainError
        If another refit is under way.
    """
    from .gate import Certificate, Verdict
    from .hints import judge_hints, labels_in, past_of
    from .refit import Refit, history_of, made_by, refit

    profile = decider.profile.name
    with versions.lock(routers):
        bench = set_up(decider, routers, ledger)
        refits = past_refits(ledger, profile)
        past, watermark = history_of(refits, made_by(bench.current, bench.pool))
        at = instant(now)
        if bench.problem is not None:
            why = (bench.problem, "`scrimp router promote shipped`, or another version, first")
            verdict = Verdict("refused", why, False, 0.0)
            unknown = Certificate("not-enough-data", None, 0, 0, None)
            result = Refit(verdict, False, 0, 0, 0, None, None, unknown, None, watermark, ())
            return result.to_dict(version=bench.current_name, candidate=None) | {"hints": None}
        log = bench.read(ledger, profile, decider.embedder, labelled_only=True)
        name = versions.next_name(routers)
        result = refit(
            log, bench.base, bench.current, bench.pool,
            version=name, past=past, watermark=watermark, force=force, seed=seed,
            on_fitted=on_fitted,
        )  # fmt: skip
        kept = result.fitted is not None and result.verdict.word != "no-change"
        data = result.to_dict(version=name if result.promoted else bench.current_name, candidate=name if kept else None)
        data["profile"] = profile
        data["at"] = at
        data["hints"] = judge_hints(labels_in(ledger, profile), past_of(refits))
        if kept and result.fitted is not None:
            versions.write_version(routers, result.fitted.router, data)
        if ledger is not None:
            # On record before the change: the error is spent even if this process ends here.
            add_refit(
                ledger, at=at, profile=profile, verdict=result.verdict.word, version=data["candidate"],
                tested=result.verdict.tested, alpha=result.verdict.alpha, last_label=result.last_label,
                forced=result.forced, data=json.dumps(data),
            )  # fmt: skip
        if result.promoted:
            versions.promote(routers, name, at=at, forced=result.forced)
    return data
