"""Place a model that was never seen: ask it short prompts whose answers a machine can check, under their own cap."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from scrimp.profiles.errors import ArmUnavailableError, BudgetRefusedError, ConfigError, ScrimpError, UsageError
from scrimp.profiles.money import usd_from_nano
from scrimp.profiles.schema import did_you_mean
from scrimp.routing.asking.request import Ask
from scrimp.routing.calls.call import served_by_another
from scrimp.routing.checks.base import Given, run_checks, worst
from scrimp.routing.checks.names import make_check
from scrimp.routing.deciding.decide import Wishes
from scrimp.routing.learn.fitting.prior import Beside, place, with_ability
from scrimp.routing.ledger.caps import balance
from scrimp.routing.ledger.labels import add_label
from scrimp.routing.ledger.store import instant, new_id
from scrimp.routing.plans.record import label_weight
from scrimp.routing.prompts.context import stack
from scrimp.routing.prompts.prompt import Prompt
from scrimp.routing.router import versions
from scrimp.routing.router.learned import LearnedRouter

from .probe_log import LogItem, LogItems
from .probe_suite import SUITE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from scrimp.routing.asking.request import Answer
    from scrimp.routing.asking.workspace import Workspace
    from scrimp.routing.learn.fitting.prior import Ability
    from scrimp.routing.prompts.context import Context

    from .probe_suite import ProbeItem

__all__ = ["ProbeReport", "Probed", "probe", "put_in_force"]

_ORDER_SEED: Final = 2026
"""Shuffles the suite, always alike: a probe that ends early has tried the same prompts as any other that long."""

_REFUSALS: Final = 3
"""Prompts of the log refused for money, one after another, after which the probe ends."""


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
class ProbeReport:
    """What a probe found.

    Attributes
    ----------
    ability
        On the router's logit scale, with a 90% credible interval; None when nothing could be scored.
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
    router: LearnedRouter
    tried: tuple[Probed, ...]
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

    def to_dict(self, *, version: str | None) -> dict[str, Any]:
        """Return what `probe --json` prints; `version` is the router that uses it."""
        ability = self.ability
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
            "ability": None
            if ability is None
            else {
                "mean": ability.mean,
                "sd": ability.sd,
                "low": ability.low,
                "high": ability.high,
                "prior": ability.prior_mean,
                "shift": ability.shift,
                "shift_sd": ability.shift_sd,
            },
            "served": list(self.served),
            "ended_early": self.ended_early,
            "router_version": version,
            "items": [
                {
                    "id": each.item.id,
                    "kind": each.kind,
                    "score": each.score,
                    "evidence": each.evidence,
                    "charged_usd": usd_from_nano(each.charged_nano),
                }
                for each in self.tried
            ],
        }


def probe(
    asker: Workspace,
    arm_name: str,
    *,
    max_nano: int,
    limit: int | None = None,
    log: LogItems | None = None,
    on_item: Callable[[int, int], None] = lambda _done, _total: None,
) -> ProbeReport:
    """Ask an arm the suite until it is done, or the money is, and place it.

    Parameters
    ----------
    max_nano
        The most to spend, nano-USD; the profile's own caps hold besides.
    limit
        At most so many prompts of the suite; all of them when None.
    log
        Prompts of the user's log to ask as well, in turn with the suite's.
    on_item
        Told after each prompt how many are done, of how many.

    Raises
    ------
    ConfigError
        If the router in force has no scale of abilities to place the arm on.
    UsageError
        If the profile has no such arm.
    ScrimpError
        If the first call fails for a reason that holds for all (a key, no money).
    """
    router = asker.decider.router
    if not isinstance(router, LearnedRouter):
        raise ConfigError("the router in force has no weights, so there is no scale to place an arm on")
    names = [arm.name for arm in asker.decider.profile.arms]
    if arm_name not in names:
        raise UsageError(
            f"profile {asker.decider.profile.name} has no arm {arm_name!r}{did_you_mean(arm_name, names)}",
            hint=f"It has: {', '.join(names)}.",
        )
    log = log or LogItems((), (), {})
    items = _in_turn(limit, log.to_ask)
    contexts = asker.decider.contexts([_prompt(item).text for item in items])
    run = _Run(asker, arm_name, max_nano, new_id(asker.clock()), dict(log.left_out))
    for item, context in zip(items, contexts, strict=True):
        if not run.ask(item, context):
            break
        on_item(len(run.tried), len(items))
    if not run.tried and not log.known:
        raise BudgetRefusedError(run.ended or "nothing could be tried", hint="Raise --max-usd, or the profile's caps.")
    tried = [*run.tried, *(Probed(item, item.reward, "known from the log", 0, asked=False) for item in log.known)]
    placed = [*run.contexts, *(asker.decider.contexts([item.prompt.text for item in log.known]) if log.known else [])]
    beside = [item for item in log.to_ask if item.arm in names]
    return ProbeReport(
        arm=arm_name,
        model=asker.decider.profile.arm(arm_name).model,
        router=router,
        tried=tuple(tried),
        ability=_place(asker, router, arm_name, tried, placed, beside),
        charged_nano=run.charged_nano(),
        served=tuple(sorted(run.served)),
        ended_early=run.ended,
        left_out=run.left_out,
    )


def put_in_force(report: ProbeReport, routers: Path, *, now: float) -> str | None:
    """Write a router version that knows the ability found, and make it the current one; return its name.

    None where nothing was found. It is made from the router that the arm was placed by.

    Parameters
    ----------
    now
        POSIX time.

    Raises
    ------
    TryAgainError
        If the router is being changed just now.
    """
    ability = report.ability
    if ability is None:
        return None
    with versions.lock(routers):
        name = versions.next_name(routers)
        why = f"{report.arm} ({report.model}) was placed by {ability.n} probe outcomes"
        placed = with_ability(report.router, report.model, ability, version=name)
        versions.write_version(routers, placed, {"verdict": "probed", "reasons": [why]})
        versions.promote(routers, name, at=instant(now), action="probed")
    return name


def _in_turn(limit: int | None, logged: Sequence[LogItem]) -> list[ProbeItem | LogItem]:
    """Return the suite in its shuffled order, and the log's prompts spread evenly among it: both are begun early."""
    suite = list(SUITE)
    random.Random(_ORDER_SEED).shuffle(suite)  # noqa: S311 - an order, not a secret
    suite = suite[:limit]
    placed: list[tuple[float, ProbeItem | LogItem]] = [((k + 1) / len(suite), item) for k, item in enumerate(suite)]
    placed += [((k + 1) / len(logged), item) for k, item in enumerate(logged)]
    return [item for _, item in sorted(placed, key=lambda each: each[0])]


def _prompt(item: ProbeItem | LogItem) -> Prompt:
    return item.prompt if isinstance(item, LogItem) else Prompt(item.prompt)


@dataclass(slots=True)
class _Run:
    """A probe under way."""

    asker: Workspace
    arm: str
    max_nano: int
    run_id: str
    left_out: dict[str, int]
    tried: list[Probed] = field(default_factory=list)
    contexts: list[Context] = field(default_factory=list)
    served: set[str] = field(default_factory=set)
    ended: str | None = None
    n_refused: int = 0

    def charged_nano(self) -> int:
        """Return what the ledger charges for this probe so far."""
        return sum(balance(self.asker.ledger, f"run:{self.run_id}"))

    def ask(self, item: ProbeItem | LogItem, context: Context) -> bool:
        """Ask one prompt and score the answer; return whether to go on."""
        logged = isinstance(item, LogItem)
        keep = self.asker.decider.profile.log.keep
        request = Ask(
            _prompt(item),
            Wishes(arm=self.arm, max_cost_nano=self.max_nano - self.charged_nano()),
            command="probe",
            redo_of=item.id if logged else None,
            keep=keep if logged or keep == "money" else "features",
            run_id=self.run_id,
            deadline_s=120.0,
        )
        try:
            answer = self.asker.answer(request, context)
        except BudgetRefusedError as error:
            self.n_refused += 1
            if logged and self.n_refused < _REFUSALS:  # a long prompt: a shorter one may fit yet
                why = "could cost more than was left"
                self.left_out[why] = self.left_out.get(why, 0) + 1
                return True
            self.ended = error.message
            return False
        except ArmUnavailableError as error:
            if not logged:
                raise
            self.left_out[error.message] = self.left_out.get(error.message, 0) + 1
            return True
        except ScrimpError as error:
            if not self.tried:
                raise
            self.ended = error.message
            return False
        self.n_refused = 0
        if answer.served_model and served_by_another(answer.served_model, answer.requested_model):
            self.served.add(answer.served_model)
        self.tried.append(_score(self.asker, item, answer, keep=request.keep))
        self.contexts.append(context)
        return True


def _score(asker: Workspace, item: ProbeItem | LogItem, answer: Answer, *, keep: str) -> Probed:
    """Check an answer, and keep the outcome as a label."""
    if isinstance(item, LogItem):
        checks, text, note = list(item.checks), item.prompt.text, f"log: {item.id}"
    else:
        checks, text, note = [make_check(spec, {}) for spec in item.checks], item.prompt, item.id
    verdicts = run_checks(checks, answer.text, Given(text, answer.finish_reason))
    score = {"pass": 1.0, "fail": 0.0}.get(worst(verdicts))
    evidence = "; ".join(verdict.evidence for verdict in verdicts if verdict.evidence)
    if score is not None and keep != "money":
        add_label(
            asker.ledger,
            request_id=answer.id,
            arm=answer.arm,
            reward=score,
            source="probe",
            at=instant(asker.clock()),
            note=note,
        )
    return Probed(item, score, evidence, answer.total_charged_nano)


def _place(
    asker: Workspace,
    router: LearnedRouter,
    arm_name: str,
    tried: Sequence[Probed],
    contexts: Sequence[Context],
    logged: Sequence[LogItem],
) -> Ability | None:
    score = np.array([math.nan if each.score is None else each.score for each in tried])
    if np.isnan(score).all():
        return None
    embeddings, surface = stack(contexts)
    beside = None
    if logged and any(isinstance(each.item, LogItem) for each in tried):
        others = stack(asker.decider.contexts([item.prompt.text for item in logged]))
        beside = Beside(
            arms=tuple(asker.decider.info(item.arm) for item in logged),
            embeddings=others[0],
            surface=others[1],
            score=np.array([item.reward for item in logged]),
            weight=np.array([item.weight for item in logged]),
        )
    return place(
        router,
        embeddings,
        surface,
        score,
        asker.decider.info(arm_name),
        difficulty=np.array([math.nan if isinstance(each.item, LogItem) else each.item.difficulty for each in tried]),
        weight=np.array([_weight(each) for each in tried]),
        beside=beside,
    )


def _weight(probed: Probed) -> float:
    """Return how much an outcome says: the suite's checks know the answer, those of the log may be fooled."""
    item = probed.item
    if not isinstance(item, LogItem):
        return 1.0
    if not probed.asked:
        return item.weight
    return min(label_weight(check.kind, passed=probed.score == 1.0) for check in item.checks)
