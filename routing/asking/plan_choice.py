"""From a decision on arms to a plan: one call, the plan of greatest utility, or the one that was asked for."""

from __future__ import annotations

import re
from copy import copy
from dataclasses import replace
from typing import TYPE_CHECKING

from scrimp.profiles.errors import BudgetRefusedError, UsageError
from scrimp.profiles.rungs import bare_of
from scrimp.profiles.schema import NAME_PATTERN
from scrimp.routing.checks.judge import JudgeCheck
from scrimp.routing.deciding.policy import NoDraw, utility
from scrimp.routing.plans.grammar import names_in, read_plan
from scrimp.routing.plans.plan import Plan, Stage, plan_table
from scrimp.routing.plans.power import SPREAD
from scrimp.routing.plans.record import learned_skills, learned_spread
from scrimp.routing.plans.silence import SILENCE, reading_on, shown_to_pay
from scrimp.routing.plans.skills import ENOUGH

from .named_plans import named_plan, spelled_checks, with_own
from .plan_gates import Gates
from .plan_readings import best_read, settle_readings
from .plan_spelled import Spelled, check_able, for_prompt
from .plan_worth import beats, held_back, knowing, over_calls, refused, those_guarded, with_plan, worth_of
from .prompt_tariff import PromptTariff, able_options

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from scrimp.routing.checks.base import Check
    from scrimp.routing.deciding.decide import Decider
    from scrimp.routing.deciding.policy import Option
    from scrimp.routing.deciding.trace import Decision
    from scrimp.routing.ledger.caps import Room
    from scrimp.routing.ledger.store import Ledger
    from scrimp.routing.plans.skills import Skill
    from scrimp.routing.plans.value import Chosen, Gate, Valued
    from scrimp.routing.prompts.prompt import Prompt

    from .request import Ask, Way

__all__ = ["PlanChooser", "arms_in", "comparable"]

_UNDRAWN: frozenset[NoDraw] = frozenset({NoDraw.ASKED_FOR, NoDraw.GUARD, NoDraw.SENT, NoDraw.STAYS, NoDraw.FILE_PLAN})
"""Where something else than its worth has settled the arm, no plan is weighed against it."""


def arms_in(way: Way | None) -> set[str]:
    """Return the names in a spelled plan and in checks that may be those of arms."""
    names: set[str] = set()
    if way is not None:
        for check in way.checks:
            names |= {check.arm} if isinstance(check, JudgeCheck) else set(getattr(check, "arms", ()))
        names |= {*NAME_PATTERN.findall(way.plan or ""), *names_in(way.plan or "")}
    return names


def comparable(prompt: Prompt) -> bool:
    """Tell whether answers to a prompt can be compared: a number, a choice, JSON, code, a word or two; not prose."""
    if prompt.schema is not None:
        return True
    short = (
        r"\bhow (?:many|much|old|far|long|tall)\b"
        r"|\bwhat (?:is|are) the (?:value|sum|number|result|capital|name|answer)\b"
        r"|\b(?:calculate|compute|evaluate|solve|simplify)\b|\byes or no\b|\btrue or false\b|\bone word\b|\bonly\b"
        r"|\b(?:which|who|when|where)\b.{0,80}\?|^\s*\(?[A-D][).:]\s|\\frac|\\boxed|\d\s*[-+*/=^]\s*\d|\bJSON\b"
    )
    return re.search(short, prompt.text[:20_000], re.IGNORECASE | re.MULTILINE) is not None


class PlanChooser:
    """Chooses plans for one profile's arms and one way of asking.

    Parameters
    ----------
    decider
        The profile's arms and their prices.
    way
        The checks, and whether a plan may be chosen or was spelled.
    ledger
        The ledger whose log says how far checks can be trusted; None where there is none yet.

    Raises
    ------
    UsageError
        If a check names an arm that is not there.
    """

    def __init__(self, decider: Decider, way: Way, ledger: Ledger | None) -> None:
        self.decider = decider
        self.way = way
        self.gates = Gates(decider, ledger if way.several else None)
        for check in way.checks:
            self.gates.check_arms(check)
        if way.plan is not None:  # one that cannot be read is refused before anything is begun
            self._reader(way.checks)(way.plan, "--plan")
        self._spread = SPREAD
        self._skills: Mapping[tuple[str, str], Skill] = {}
        if way.several and ledger is not None:
            self._spread = learned_spread(ledger)
            self._skills = learned_skills(ledger, spread=self._spread)

    def away(self) -> PlanChooser:
        """Return the same for a process without the ledger: with all that its log says."""
        made = copy(self)
        made.gates = self.gates.away()
        return made

    def by(self, way: Way) -> PlanChooser:
        """Return what chooses plans by another way of the same plan, with all that is known already.

        Raises
        ------
        UsageError
            If a check of it names an arm that is not there.
        """
        for check in way.checks:
            self.gates.check_arms(check)
        made = copy(self)
        made.way = way
        return made

    def _reader(self, checks: Sequence[Check]) -> Callable[[str, str], Plan]:
        """Return what reads plans that may stop at some checks."""
        plans, gates = list(self.decider.profile.plans), [check.name for check in checks]
        names = [arm.name for arm in self.decider.profile.arms]

        def read(text: str, where: str) -> Plan:
            return read_plan(text, names, gates, repair=self.way.repair, where=where, plans=plans)

        return read

    def choose(
        self, ask: Ask, decision: Decision, rooms: Sequence[Room], *, spelled: str | None = None
    ) -> tuple[Decision, Plan]:
        """Return a decision with its plan.

        Parameters
        ----------
        rooms
            What each cap leaves.
        spelled
            A plan that this one prompt brings, spelled or by its name in the profile: it goes before that of the way.

        Raises
        ------
        BudgetRefusedError
            If no plan (or not the one asked for) can be paid to its end.
        UsageError
            If the plan asked for cannot be read, or an arm of it cannot take the prompt.
        """
        way = self.way
        one = Plan((Stage((decision.arm or "",)),))
        # An arm that called tools reads what they gave; and a call of tools is no answer that a check could judge.
        if decision.arm is None or decision.choice.no_draw in (NoDraw.STAYS, NoDraw.SENT):
            return decision, one
        if spelled or way.plan:
            return self._by_name(ask.prompt, spelled, decision, rooms)
        if ask.prompt.chat is not None and ask.prompt.chat.with_tools:
            return decision, one
        if way.cascade:
            return self._best(ask.prompt, decision, rooms)
        if way.named and decision.choice.no_draw not in _UNDRAWN:
            return self._against_arm(ask.prompt, decision, rooms)
        return decision, one

    # -- three ways to a plan ---------------------------------------------------------------------------------------

    def _by_name(
        self, prompt: Prompt, text: str | None, decision: Decision, rooms: Sequence[Room]
    ) -> tuple[Decision, Plan]:
        """Follow a plan that was asked for."""
        way, checks = self.way, self.way.checks
        name = way.name if text is None else None
        text = text or way.plan or ""
        if text in self.decider.profile.plans:
            name, own = text, named_plan(self.decider.profile, text)
            text, checks = own.text, with_own(checks, own.checks)
        else:
            checks = with_own(checks, spelled_checks(self.decider.profile, text))
        spelled, decision = self._spelled(prompt, text, name, checks, decision, rooms)
        gates = self.gates.of(decision, checks, prompt)
        chosen = self._weigh((spelled.plan,), (), decision, gates, rooms, asked_for=True)
        if chosen.taken is None:
            raise refused(chosen, rooms, f"the plan {spelled.plan}")
        return self._take(decision, chosen.taken, chosen, gates, spelled, asked_for=True)

    def _spelled(
        self,
        prompt: Prompt,
        text: str,
        name: str | None,
        checks: Sequence[Check],
        decision: Decision,
        rooms: Sequence[Room],
    ) -> tuple[Spelled, Decision]:
        """Return a plan as it is for a prompt, and the decision with an option for all that it names."""
        spelled = for_prompt(text, name, self._reader(checks), decision, rooms)
        settled = settle_readings(spelled.plan, prompt, decision, self.decider, rooms)
        check_able(settled.plan, settled.decision, rooms)
        return replace(spelled, plan=settled.plan, settled=settled), settled.decision

    def _best(self, prompt: Prompt, decision: Decision, rooms: Sequence[Room]) -> tuple[Decision, Plan]:
        """Take the plan of greatest utility of all that are worth weighing, the profile's own among them."""
        options = best_read(able_options(decision), lambda option: utility(option, decision.wtp_usd) or 0.0)
        gates = self.gates.of(decision, self.way.checks, prompt)
        names = [bare_of(name) for name in options]
        costs = [
            min(each.cost_nano or 0 for each in able_options(decision).values() if bare_of(each.arm) == name)
            for name in names
        ]
        able = comparable(prompt)
        stops = [gate.name for gate in gates if gate.kind not in SILENCE or gate.power.n >= ENOUGH]
        plans: Sequence[Plan] = plan_table(names, costs, stops, comparable=able, repair=self.way.repair)
        if decision.choice.guard is not None:
            chosen = self._weigh(
                those_guarded(plans, decision, self.decider.profile.default_arm),
                (),
                decision,
                gates,
                rooms,
                read=options,
            )
            found: list[tuple[Chosen, Spelled | None, tuple[Gate, ...]]] = [(chosen, None, gates)]
        else:
            more = [each.plan for each in self._offers(prompt, decision)]
            more += reading_on(
                {name: option.cost_nano or 0 for name, option in able_options(decision).items()},
                gates,
                repair=self.way.repair,
            )
            found = [
                (self._weigh(plans, more, decision, gates, rooms, read=options), None, gates),
                *self._named(prompt, decision, rooms),
            ]
        chosen, spelled, gates = max(found, key=lambda each: worth_of(each[0].taken, decision))
        if chosen.taken is None:
            raise refused(chosen, rooms, "the cheapest plan, {plan},")
        return self._take(knowing(spelled, decision), chosen.taken, found[0][0], gates, spelled)

    def _against_arm(self, prompt: Prompt, decision: Decision, rooms: Sequence[Room]) -> tuple[Decision, Plan]:
        """Weigh the profile's plans against the arm that is best by itself.

        Against that one also where another was drawn to learn from: whether a plan takes a prompt then depends on the
        prompt alone, and the arms' propensities on all others are what they were.
        """
        one = Plan((Stage((decision.arm or "",)),))
        greedy = Plan((Stage((decision.choice.greedy or "",)),))
        arm = self._weigh((greedy,), (), decision, (), rooms).one
        found = list(self._named(prompt, decision, rooms))
        better = [each for each in found if beats(each[0].taken, arm, decision)]
        weighed = []
        for each in found:
            for valued in (each[0].taken, *each[0].others[:1]):
                if valued is not None and each[1] is not None:
                    unpaid = each not in better and worth_of(valued, decision) > worth_of(arm, decision)
                    why = valued.infeasible or (
                        "better, which nobody has measured, is not paid for" if unpaid else None
                    )
                    open_to = valued.infeasible is None
                    weighed.append({**each[1].to_dict(), **valued.to_dict(), "why": why, "feasible": open_to})
        decision = replace(decision, plans=tuple(weighed))
        if not better:
            return decision, one
        chosen, spelled, gates = max(better, key=lambda each: worth_of(each[0].taken, decision))
        assert chosen.taken is not None  # noqa: S101 - it beats the arm
        every = replace(chosen, one=arm, n_plans=1 + len(found))
        return self._take(knowing(spelled, decision), chosen.taken, every, gates, spelled)

    # -- plans for one prompt ---------------------------------------------------------------------------------------

    def _named(
        self, prompt: Prompt, decision: Decision, rooms: Sequence[Room]
    ) -> Iterator[tuple[Chosen, Spelled | None, tuple[Gate, ...]]]:
        """Weigh the profile's plans that can be begun for a prompt, each with the checks that it brings.

        Answers in prose cannot be compared, and are not.
        """
        able = comparable(prompt)
        for own in self.way.named:
            checks = with_own(self.way.checks, own.checks)
            try:
                for check in own.checks:
                    self.gates.check_arms(check)
                spelled, known = self._spelled(prompt, own.text, own.name, checks, decision, rooms)
                gates = self.gates.of(known, checks, prompt)
            except (UsageError, BudgetRefusedError):
                continue  # of several ways to answer this one is not open
            if able or not any(stage.quorum or stage.how == "vote" for stage in spelled.plan.stages):
                chosen = self._weigh((spelled.plan,), (), known, gates, rooms)
                yield (chosen if shown_to_pay(spelled.plan, gates) else held_back(chosen)), spelled, gates

    def _offers(self, prompt: Prompt, decision: Decision) -> Iterator[Spelled]:
        """Return the plans of the kinds that labels speak for: by whom they were shown, with the best of the others."""
        for (role, arm), skill in self._skills.items():
            able = {bare_of(name): name for name in best_read(able_options(decision), lambda _option: 0.0)}
            if role == "split" or skill.n < ENOUGH or (arm and arm not in able):
                continue
            texts = {
                "merge": (f"@2 => {arm}", f"@3 => {arm}", f"{arm} => {arm}"),
                "lead": (f"{arm} leads @3",),
                "bid": ("@3 bid",),
                "knockout": (f"@4 knockout {arm}",),
            }[role]
            for text in texts:
                try:
                    yield self._spelled(prompt, text, None, (), decision, ())[0]
                except (UsageError, BudgetRefusedError):
                    continue  # there are too few arms for it

    # -- worth ------------------------------------------------------------------------------------------------------

    def _weigh(
        self,
        plans: Sequence[Plan],
        more: Sequence[Plan],
        decision: Decision,
        gates: Sequence[Gate],
        rooms: Sequence[Room],
        *,
        asked_for: bool = False,
        read: Mapping[str, Option] | None = None,
    ) -> Chosen:
        """Choose among plans.

        Parameters
        ----------
        plans
            Kept as a table from prompt to prompt: with `read` they name arms without readings, which change.
        more
            Plans for this prompt.
        read
            The option by which each arm of such a plan is weighed, under its name with the reading.
        """
        from scrimp.routing.plans.value import Planner

        options = able_options(decision)
        names = {bare_of(name): name for name in read or ()}
        options |= {bare: options[name] for bare, name in names.items()}
        planner = Planner(tuple(gates), spread=self._spread, skills=self._skills)
        chosen = planner.choose(
            plans,
            list(options),
            [option.quality for option in options.values()],
            PromptTariff(self.decider, options, decision.minute_usd),
            wtp_usd=decision.wtp_usd,
            min_quality=decision.min_quality,
            left=[(room.cap.arm, room.left_nano) for room in over_calls(rooms)],
            more=more,
            asked_for=asked_for,
            max_seconds=decision.max_seconds,
        )
        return chosen if all(bare == name for bare, name in names.items()) else chosen.named(names)

    def _take(
        self,
        decision: Decision,
        taken: Valued,
        chosen: Chosen,
        gates: Sequence[Gate],
        spelled: Spelled | None,
        *,
        asked_for: bool = False,
    ) -> tuple[Decision, Plan]:
        """Return the decision with a plan in place of its draw, and what the plan was weighed against."""
        plan = taken.plan
        trace = {
            **plan.to_dict(),
            **(Spelled(str(plan), None, plan, {}) if spelled is None else spelled).to_dict(),
            "expected": taken.to_dict(),
            "one_arm": None if chosen.one is None else chosen.one.to_dict(),
            "others": [each.to_dict() for each in chosen.others],
            "n_plans": chosen.n_plans,
            "n_unpayable": chosen.n_unpayable,
            "checks": {gate.name: gate.power.to_dict() for gate in gates},
            "skills": {
                f"{role} {arm}".strip(): skill.to_dict()
                for (role, arm), skill in self._skills.items()
                if any(stage.how == role and arm in (*stage.by, "") for stage in plan.stages)
            },
            "spread": self._spread,
            "asked_for": asked_for,
        }
        return with_plan(decision, plan, trace), plan
