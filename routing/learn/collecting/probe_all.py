"""Probe all arms of a profile in one budget: which are alive, what each gets right of every kind, how able each is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from scrimp.profiles.errors import BudgetRefusedError, ScrimpError, UsageError
from scrimp.profiles.money import usd_from_nano
from scrimp.routing.asking.request import Ask
from scrimp.routing.deciding.decide import Wishes
from scrimp.routing.ledger.caps import balance
from scrimp.routing.ledger.probes import charged_by_arm, probe_outcomes
from scrimp.routing.ledger.store import instant, new_id
from scrimp.routing.prompts.instructions import instructions_id
from scrimp.routing.prompts.prompt import Prompt

from .probe import router_with_a_scale, suite_of
from .probe_place import report_of
from .probe_report import Probed, ability_data
from .probe_run import Run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from scrimp.profiles.schema import Arm
    from scrimp.routing.asking.workspace import Workspace
    from scrimp.routing.prompts.context import Context

    from .probe_report import ProbeReport
    from .probe_suite import ProbeItem, ProbeKind

__all__ = ["ArmProbed", "ProbeTable", "probe_all"]

_ALIVE: Final = Prompt("Reply with the word OK and nothing else.")
_ALIVE_TOKENS: Final = 64
"""An arm that thinks, unless told to, may use them up: that is a sign of life too."""
_ALIVE_S: Final = 60.0
_KNOWN_S: Final = 30 * 86_400.0
"""Outcomes older than this are asked anew: what a provider serves under a name changes."""

_FAILURES: Final = 3
"""Calls that fail, one after another, after which an arm is asked no more."""


@dataclass(slots=True)
class ArmProbed:
    """One arm of the table.

    Attributes
    ----------
    outcomes
        What it got, by the id of the prompt.
    dead
        Why it gave no sign of life, and was asked nothing more; None where it did.
    ended
        Why it was not asked everything, though it lives; None where it was.
    report
        Where it stands; None where nothing could be scored.
    charged_nano
        All that it was charged by this run, failed calls included.
    """

    arm: Arm
    outcomes: dict[str, Probed] = field(default_factory=dict)
    dead: str | None = None
    ended: str | None = None
    report: ProbeReport | None = None
    charged_nano: int = 0
    n_failed: int = 0

    def got(self, items: Iterable[ProbeItem]) -> tuple[int, int]:
        """Return how many of some prompts it got right, and how many of its answers to them were scored."""
        scored = [self.outcomes[item.id].score for item in items if item.id in self.outcomes]
        known = [score for score in scored if score is not None]
        return sum(score == 1.0 for score in known), len(known)


@dataclass(frozen=True, slots=True)
class ProbeTable:
    """What arms got of the same prompts.

    Attributes
    ----------
    items
        What was to be asked, in its order.
    common
        Those that every arm was asked which lives and did not end on its own: only they are compared.
    ended
        Why not all was asked, or None.
    """

    arms: tuple[ArmProbed, ...]
    items: tuple[ProbeItem, ...]
    common: tuple[ProbeItem, ...]
    charged_nano: int
    ended: str | None

    @property
    def kinds(self) -> tuple[ProbeKind, ...]:
        """The kinds of what is compared."""
        return tuple(sorted({item.kind for item in self.common}))

    @property
    def reports(self) -> list[ProbeReport]:
        """Where the arms stand that could be placed."""
        return [each.report for each in self.arms if each.report is not None]

    @property
    def whole(self) -> bool:
        """Whether every arm lives and was asked everything."""
        return self.ended is None and all(each.dead is None and each.ended is None for each in self.arms)

    def of_kind(self, arm: ArmProbed, kind: ProbeKind) -> tuple[int, int]:
        """Return how many prompts of a kind an arm got right, of how many that were compared."""
        return arm.got(item for item in self.common if item.kind == kind)

    def to_dict(self, *, version: str | None, why: str | None) -> dict[str, Any]:
        """Return what `probe --all --json` prints.

        Parameters
        ----------
        version, why
            The router that uses what was found, and why none does.
        """
        arms = []
        for each in self.arms:
            n_right, n_scored = each.got(self.common)
            kinds = {}
            for kind in self.kinds:
                right, scored = self.of_kind(each, kind)
                kinds[kind] = {"n_right": right, "n_scored": scored}
            arms.append(
                {
                    "arm": each.arm.name,
                    "model": each.arm.model,
                    "alive": each.dead is None,
                    "why": each.dead or each.ended,
                    "n_right": n_right,
                    "n_scored": n_scored,
                    "n_known": sum(not probed.asked for probed in each.outcomes.values()),
                    "kinds": kinds,
                    "charged_usd": usd_from_nano(each.charged_nano),
                    "ability": ability_data(None if each.report is None else each.report.ability),
                }
            )
        return {
            "schema_version": 1,
            "arms": arms,
            "n_items": len(self.items),
            "n_compared": len(self.common),
            "items": [item.id for item in self.common],
            "charged_usd": usd_from_nano(self.charged_nano),
            "ended_early": self.ended,
            "in_force": version is not None,
            "why": why,
            "router_version": version,
        }


def probe_all(
    asker: Workspace,
    *,
    max_nano: int,
    limit: int | None = None,
    kinds: Sequence[str] = (),
    fresh: bool = False,
    on_call: Callable[[int, int], None] = lambda _done, _total: None,
) -> ProbeTable:
    """Ask every arm the same prompts of the suite until they are done, or the money is, and place the arms.

    First each arm is asked for a sign of life. Then all are asked one prompt after another, each prompt of all arms
    before the next, so that whatever ends it leaves arms that were asked the same. Outcomes that the log has of the
    last thirty days, of the same arm with the same model and instructions, are taken as they are.

    Parameters
    ----------
    max_nano
        The most to spend on all of it, nano-USD; the profile's own caps hold besides.
    limit, kinds
        At most so many prompts of the suite, of these kinds (of all when empty).
    fresh
        Ask anew what the log knows.
    on_call
        Told after each call of the suite how many are done, of how many.

    Raises
    ------
    ConfigError
        If the router in force has no scale of abilities to place arms on.
    UsageError
        If there is nothing to ask.
    """
    router = router_with_a_scale(asker)
    items = suite_of(limit, kinds)
    if not items:
        raise UsageError("there is nothing to ask", hint="Raise --limit.")
    contexts = asker.decider.contexts([item.prompt for item in items])
    run_id = new_id(asker.clock())
    arms = [ArmProbed(arm) for arm in asker.decider.profile.arms]
    if not fresh:
        for each in arms:
            each.outcomes.update(_known(asker, each.arm, items))
    ended = _see_who_lives(asker, arms, items, run_id, max_nano)
    runs = {each.arm.name: Run(asker, each.arm.name, max_nano, run_id, {}) for each in arms}
    if ended is None:
        ended = _ask_all(arms, items, contexts, runs, on_call)
    spent = charged_by_arm(asker.ledger, run_id)
    for each in arms:
        each.charged_nano = spent.get(each.arm.name, 0)
        asked = [
            (each.outcomes[item.id], context)
            for item, context in zip(items, contexts, strict=True)
            if item.id in each.outcomes
        ]
        if asked:
            tried, of = zip(*asked, strict=True)
            each.report = report_of(
                asker, router, each.arm.name, tried, of, charged_nano=each.charged_nano,
                served=sorted(runs[each.arm.name].served), ended=each.ended or ended,
            )  # fmt: skip
    compared = [each for each in arms if each.dead is None and each.ended is None]
    common = tuple(item for item in items if compared and all(item.id in each.outcomes for each in compared))
    return ProbeTable(tuple(arms), tuple(items), common, sum(balance(asker.ledger, f"run:{run_id}")), ended)


def _known(asker: Workspace, arm: Arm, items: Sequence[ProbeItem]) -> dict[str, Probed]:
    """Return the outcomes of an arm that the log has."""
    found = probe_outcomes(
        asker.ledger, asker.decider.profile.name, arm.name, model=arm.model, instructions=instructions_id(arm),
        since=instant(asker.clock() - _KNOWN_S),
    )  # fmt: skip
    return {
        item.id: Probed(item, found[item.id], "known from the log", 0, asked=False)
        for item in items
        if item.id in found
    }


def _see_who_lives(
    asker: Workspace, arms: Sequence[ArmProbed], items: Sequence[ProbeItem], run_id: str, max_nano: int
) -> str | None:
    """Ask each arm that has something left to answer for a sign of life; return why that ended, if money did."""
    (context,) = asker.decider.contexts([_ALIVE.text])
    keep = asker.decider.profile.log.keep
    for each in arms:
        if all(item.id in each.outcomes for item in items):
            continue
        left = max_nano - sum(balance(asker.ledger, f"run:{run_id}"))
        request = Ask(
            _ALIVE,
            Wishes(arm=each.arm.name, max_cost_nano=left, waits=False),
            command="probe",
            keep=keep if keep == "money" else "features",
            run_id=run_id,
            deadline_s=_ALIVE_S,
            output_limit=_ALIVE_TOKENS if each.arm.reasoning_effort in (None, "none") else None,
        )
        try:
            answer = asker.answer(request, context)
        except BudgetRefusedError as error:
            if each.arm.cap is None:
                return error.message
            each.ended = error.message
        except ScrimpError as error:
            each.dead = error.message
        else:
            if not answer.text.strip() and answer.finish_reason != "length":
                each.dead = "its answer is empty"
    return None


def _ask_all(
    arms: Sequence[ArmProbed],
    items: Sequence[ProbeItem],
    contexts: Sequence[Context],
    runs: dict[str, Run],
    on_call: Callable[[int, int], None],
) -> str | None:
    """Ask every living arm each prompt that it has no outcome of; return why that ended, if money did."""
    living = [each for each in arms if each.dead is None and each.ended is None]
    total = sum(item.id not in each.outcomes for each in living for item in items)
    done = 0
    for item, context in zip(items, contexts, strict=True):
        for each in living:
            if item.id in each.outcomes or each.ended is not None:
                continue
            try:
                probed = runs[each.arm.name].put(item, context)
            except BudgetRefusedError as error:
                if each.arm.cap is None:
                    return error.message
                each.ended = error.message  # a cap of its own stops no other
                continue
            except ScrimpError as error:
                each.n_failed += 1
                if each.n_failed >= _FAILURES:
                    each.ended = error.message
                continue
            each.n_failed = 0
            each.outcomes[item.id] = probed
            done += 1
            on_call(done, total)
    return None
