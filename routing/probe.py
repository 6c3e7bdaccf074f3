"""Place a model that was never seen: ask it short prompts whose answers a machine can check, under their own cap."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scrimp.profiles.errors import BudgetRefusedError, ConfigError, ScrimpError

from .ask import Ask
from .check import Given, make_check, run_checks, worst
from .decide import Wishes
from .history import add_label
from .learn.prior import place
from .learn.probe_suite import SUITE
from .learned import LearnedRouter
from .ledger import instant, new_id
from .prompt import Prompt

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .ask import Answer, Asker
    from .learn.prior import Ability
    from .learn.probe_suite import ProbeItem

__all__ = ["ProbeReport", "Probed", "probe"]

_ORDER_SEED = 2026
"""Shuffles the suite, always alike: a probe that ends early has tried the same prompts as any other that long."""


@dataclass(frozen=True, slots=True)
class Probed:
    """One prompt that was tried; `score` is 1 right, 0 wrong, None where nothing can be said."""

    item: ProbeItem
    score: float | None
    evidence: str
    charged_nano: int


@dataclass(frozen=True, slots=True)
class ProbeReport:
    """What a probe found.

    Attributes
    ----------
    ability
        On the router's logit scale, with a 90% credible interval; None when nothing could be scored.
    served
        Models that answered, where that was not the one asked for.
    ended_early
        Why not all of the suite was tried, or None.
    """

    arm: str
    model: str
    router: LearnedRouter
    tried: tuple[Probed, ...]
    ability: Ability | None
    charged_nano: int
    served: tuple[str, ...]
    ended_early: str | None


def probe(
    asker: Asker,
    arm_name: str,
    *,
    max_nano: int,
    limit: int | None = None,
    on_item: Callable[[int, int], None] = lambda _done, _total: None,
) -> ProbeReport:
    """Ask an arm the suite until it is done, or the money is, and place it.

    Parameters
    ----------
    max_nano
        The most to spend, nano-USD; the profile's own caps hold besides.
    limit
        At most so many prompts; all of them when None.
    on_item
        Told after each prompt how many are done, of how many.

    Raises
    ------
    ConfigError
        If the router in force has no scale of abilities to place the arm on.
    ScrimpError
        If the first call fails for a reason that holds for all (a key, an arm that is not there).
    """
    router = asker.decider.router
    if not isinstance(router, LearnedRouter):
        raise ConfigError("the router in force has no weights, so there is no scale to place an arm on")
    items = list(SUITE)
    random.Random(_ORDER_SEED).shuffle(items)  # noqa: S311 - an order, not a secret
    items = items[:limit]
    contexts = asker.decider.contexts([item.prompt for item in items])
    arm = asker.decider.profile.arm(arm_name) if arm_name in _names(asker) else None
    run_id = new_id(asker.clock())
    tried: list[Probed] = []
    served: set[str] = set()
    charged, ended = 0, None
    for item, context in zip(items, contexts, strict=True):
        request = Ask(
            Prompt(item.prompt),
            Wishes(arm=arm_name, max_cost_nano=max_nano - charged),
            command="probe",
            keep="features",
            run_id=run_id,
            deadline_s=120.0,
        )
        try:
            answer = asker.run(request, asker.decide(request, context), context)
        except BudgetRefusedError as error:
            ended = error.message
            break
        except ScrimpError as error:
            if not tried:
                raise
            ended = error.message
            break
        charged += answer.total_charged_nano
        if answer.served_model and not _same(answer.served_model, answer.requested_model):
            served.add(answer.served_model)
        tried.append(_score(asker, item, answer))
        on_item(len(tried), len(items))
    if not tried:
        raise BudgetRefusedError(ended or "nothing could be tried", hint="Raise --max-usd, or the profile's caps.")
    return ProbeReport(
        arm=arm_name,
        model=arm.model if arm is not None else arm_name,
        router=router,
        tried=tuple(tried),
        ability=_place(asker, router, arm_name, tried, contexts[: len(tried)]),
        charged_nano=charged,
        served=tuple(sorted(served)),
        ended_early=ended,
    )


def _names(asker: Asker) -> list[str]:
    return [arm.name for arm in asker.decider.profile.arms]


def _same(served: str, requested: str) -> bool:
    asked = requested.rpartition("/")[2]
    return asked in served or served.rpartition("/")[2] in asked


def _score(asker: Asker, item: ProbeItem, answer: Answer) -> Probed:
    """Check an answer, and keep the outcome as a label."""
    checks = [make_check(spec, {}) for spec in item.checks]
    verdicts = run_checks(checks, answer.text, Given(prompt=item.prompt))
    outcome = worst(verdicts)
    score = {"pass": 1.0, "fail": 0.0}.get(outcome)
    evidence = "; ".join(verdict.evidence for verdict in verdicts if verdict.evidence)
    if score is not None:
        add_label(
            asker.ledger,
            request_id=answer.id,
            arm=answer.arm,
            reward=score,
            source="probe",
            at=instant(asker.clock()),
            note=item.id,
        )
    return Probed(item, score, evidence, answer.total_charged_nano)


def _place(
    asker: Asker, router: LearnedRouter, arm_name: str, tried: Sequence[Probed], contexts: Sequence[object]
) -> Ability | None:
    import numpy as np

    from .context import stack

    score = np.array([math.nan if each.score is None else each.score for each in tried])
    if np.isnan(score).all():
        return None
    embeddings, surface = stack(contexts)  # type: ignore[arg-type]  # Contexts, as `Decider.contexts` made them
    difficulty = np.array([each.item.difficulty for each in tried])
    return place(router, embeddings, surface, score, asker.decider.info(arm_name), difficulty=difficulty)
