"""Place a model that was never seen: ask it short prompts whose answers a machine can check, under their own cap."""

from __future__ import annotations

import math
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
from scrimp.routing.learn.fitting.fit import layer_key
from scrimp.routing.learn.fitting.prior import Beside, place, with_ability
from scrimp.routing.ledger.caps import balance
from scrimp.routing.ledger.labels import add_label
from scrimp.routing.ledger.store import instant, new_id
from scrimp.routing.plans.record import label_weight
from scrimp.routing.prompts.context import stack
from scrimp.routing.prompts.prompt import Prompt
from scrimp.routing.reports.likeness import alike
from scrimp.routing.router import versions
from scrimp.routing.router.abilities import shipped_table
from scrimp.routing.router.learned import LearnedRouter

from .probe_log import LogItem, LogItems
from .probe_suite import in_order, knot

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from scrimp.routing.asking.request import Answer
    from scrimp.routing.asking.workspace import Workspace
    from scrimp.routing.learn.fitting.prior import Ability
    from scrimp.routing.prompts.context import Context

    from .probe_suite import ProbeItem

    Floats = NDArray[np.float64]

__all__ = ["MIN_OUTCOMES", "OfLevel", "ProbeReport", "Probed", "probe", "put_in_force"]

MIN_OUTCOMES: Final = 10
"""Scored outcomes below which a placement is shown and not put in force: two of each level."""

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
            },
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
    embeddings, surface = stack(placed)
    judged = np.array([math.nan if isinstance(each.item, LogItem) else each.item.level for each in tried])
    own = np.isnan(judged)
    ability = _place(asker, router, arm_name, tried, (embeddings, surface), judged, beside)
    levels = np.where(own, router.levels(router.features(embeddings, surface)), judged)
    return ProbeReport(
        arm=arm_name,
        model=asker.decider.profile.arm(arm_name).model,
        key=layer_key(asker.decider.info(arm_name), asker.decider.infos),
        router=router,
        tried=tuple(tried),
        levels=tuple(levels.tolist()),
        expected=() if ability is None else tuple(ability.p_right(router, levels, own).tolist()),
        ability=ability,
        charged_nano=run.charged_nano(),
        served=tuple(sorted(run.served)),
        ended_early=run.ended,
        left_out=run.left_out,
    )


def put_in_force(report: ProbeReport, routers: Path, *, now: float) -> str | None:
    """Write a router version that knows the ability found, and make it the current one; return its name.

    None where what was found is too little (`ProbeReport.too_little`). It is made from the router that the arm was
    placed by.

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
    if ability is None or report.too_little is not None:
        return None
    with versions.lock(routers):
        name = versions.next_name(routers)
        why = f"{report.arm} ({report.model}) was placed by {ability.n} probe outcomes"
        placed = with_ability(report.router, report.key, ability, version=name, of_arm=report.arm)
        versions.write_version(routers, placed, {"verdict": "probed", "reasons": [why]})
        versions.promote(routers, name, at=instant(now), action="probed")
    return name


def _in_turn(limit: int | None, logged: Sequence[LogItem]) -> list[ProbeItem | LogItem]:
    """Return the suite in its order, and the log's prompts spread evenly among it: both are begun early."""
    suite = in_order()[:limit]
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
    embedded: tuple[NDArray[np.float32], Floats],
    judged: Floats,
    logged: Sequence[LogItem],
) -> Ability | None:
    """Return the arm's ability, from embeddings and surface features, and judged levels (NaN on the log's prompts)."""
    score = np.array([math.nan if each.score is None else each.score for each in tried])
    if np.isnan(score).all():
        return None
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
        *embedded,
        score,
        asker.decider.info(arm_name),
        level=judged,
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
