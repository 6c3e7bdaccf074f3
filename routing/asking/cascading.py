"""A cascade at work: choose a plan for a prompt, make its calls one by one, check, escalate, and log every step.

Each call is reserved and settled like any other (`Asker.try_arm`), in one run, so that every cap holds at each step;
before the first, the plan as a whole must be payable to its end.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from scrimp.profiles.errors import BudgetRefusedError, ScrimpError, UsageError
from scrimp.profiles.money import format_usd, usd_from_nano
from scrimp.routing.checks.agree import AgreeCheck, compare
from scrimp.routing.checks.base import Given, Verdict, run_checks, worst
from scrimp.routing.checks.judge import JUDGE_LIMIT, JudgeCheck, judge_prompt
from scrimp.routing.ledger.caps import applicable_caps, left_nano
from scrimp.routing.ledger.reservations import SuspendedError
from scrimp.routing.ledger.store import instant
from scrimp.routing.plans.plan import ALL, Plan, plan_table, read_plan
from scrimp.routing.plans.record import learned_powers, learned_spread, write_labels
from scrimp.routing.plans.value import Gate, Planner
from scrimp.routing.text.compare import QUORUMS, groups, vote

from .request import Progress

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from scrimp.routing.checks.base import Check
    from scrimp.routing.deciding.policy import Option
    from scrimp.routing.deciding.trace import Decision
    from scrimp.routing.plans.plan import Stage
    from scrimp.routing.prompts.context import Context
    from scrimp.routing.prompts.prompt import Prompt
    from scrimp.routing.text.compare import Embed

    from .asker import Asker
    from .request import Answer, Ask

__all__ = ["Cascader", "Checked", "Step", "comparable"]

_QUOTED_CHARS: Final = 8_000
"""How much of an answer is handed to a judge or to the arm that repairs it."""

_QUOTED_BYTES: Final = 4 * _QUOTED_CHARS + 4_000
"""More bytes than such a quotation and what stands around it have: what a reservation allows for."""

_REPAIR: Final = """\
{prompt}

---
An earlier answer to this was checked and found wanting.

{mark} EARLIER ANSWER
{answer}
{mark} WHAT IS WRONG WITH IT
{evidence}
{mark} END

Answer the prompt anew, and set right what is wrong. Reply with the answer alone."""


@dataclass(frozen=True, slots=True)
class Step:
    """One call of a plan and what came of it.

    Attributes
    ----------
    stage
        Of the plan, from 1.
    kind
        `ask`, `sample` (for agreement alone), or `judge`.
    outcome
        `answered`, `failed` (no answer), or `refused` (by a cap).
    """

    seq: int
    stage: int
    kind: str
    arm: str
    outcome: str
    charged_nano: int
    text: str | None = None
    latency_s: float | None = None
    finish_reason: str | None = None
    verdicts: tuple[Verdict, ...] = ()
    taken: bool = False
    note: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data, without the answer's text."""
        return {
            "seq": self.seq,
            "stage": self.stage,
            "kind": self.kind,
            "arm": self.arm,
            "outcome": self.outcome,
            "charged_usd": usd_from_nano(self.charged_nano),
            "latency_s": None if self.latency_s is None else round(self.latency_s, 6),
            "verdicts": [verdict_dict(verdict) for verdict in self.verdicts],
            "taken": self.taken,
            "note": self.note,
        }


def verdict_dict(verdict: Verdict) -> dict[str, Any]:
    """Return a verdict as plain data."""
    return {
        "check": verdict.check,
        "outcome": verdict.outcome,
        "score": verdict.score,
        "evidence": verdict.evidence,
        "cost_usd": usd_from_nano(verdict.cost_nano),
    }


@dataclass(frozen=True, slots=True)
class Checked:
    """An answer with its verdicts, and every step that led to it."""

    answer: Answer
    verdicts: tuple[Verdict, ...]
    steps: tuple[Step, ...]
    plan: Plan

    @property
    def failed(self) -> tuple[Verdict, ...]:
        """The checks that the answer failed."""
        return tuple(verdict for verdict in self.verdicts if verdict.failed)

    def to_dict(self) -> dict[str, Any]:
        """Return what `ask --json` prints."""
        return self.answer.to_dict() | {
            "passed": None if not self.verdicts else worst(self.verdicts) != "fail",
            "checks": [verdict_dict(verdict) for verdict in self.verdicts],
            "plan": self.plan.to_dict(),
            "steps": [step.to_dict() for step in self.steps],
        }


def comparable(prompt: Prompt) -> bool:
    """Tell whether answers to a prompt can be compared: a number, a choice, JSON, code, a word or two; not prose."""
    import re

    if prompt.schema is not None:
        return True
    short = (
        r"\bhow (?:many|much|old|far|long|tall)\b"
        r"|\bwhat (?:is|are) the (?:value|sum|number|result|capital|name|answer)\b"
        r"|\b(?:calculate|compute|evaluate|solve|simplify)\b|\byes or no\b|\btrue or false\b|\bone word\b|\bonly\b"
        r"|\b(?:which|who|when|where)\b.{0,80}\?|^\s*\(?[A-D][).:]\s|\\frac|\\boxed|\d\s*[-+*/=^]\s*\d|\bJSON\b"
    )
    return re.search(short, prompt.text[:20_000], re.IGNORECASE | re.MULTILINE) is not None


@dataclass(slots=True)
class _Held:
    """An answer in hand while a plan runs."""

    answer: Answer
    stage: int
    verdicts: tuple[Verdict, ...]
    step: int


@dataclass(slots=True)
class _Run:
    """A plan under way."""

    ask: Ask
    decision: Decision
    context: Context
    plan: Plan
    started: float
    progress: Progress = field(default_factory=Progress)
    steps: list[Step] = field(default_factory=list)
    held: list[_Held] = field(default_factory=list)
    refusal: ScrimpError | None = None
    stage: int = 0


class Cascader:
    """Asks prompts by plans.

    Parameters
    ----------
    asker
        Decides on arms, makes calls, keeps the money.
    checks
        What every answer has to pass.
    embed
        Embeds prose, to compare answers; None leaves prose uncompared.
    """

    def __init__(self, asker: Asker, checks: Sequence[Check], *, embed: Embed | None = None) -> None:
        self.asker = asker
        self.checks = tuple(checks)
        self.embed = embed
        names = [arm.name for arm in asker.decider.profile.arms]
        for check in self.checks:
            for name in (check.arm,) if isinstance(check, JudgeCheck) else getattr(check, "arms", ()):
                if name not in names:
                    raise UsageError(
                        f"--check {check.name}: no arm {name!r} in this profile", hint=f"It has: {', '.join(names)}."
                    )

    # -- deciding ---------------------------------------------------------------------------------------------------

    def decide(
        self, ask: Ask, context: Context, *, cascade: bool, spelled: str | None = None, repair: bool = False
    ) -> tuple[Decision, Plan]:
        """Decide on a plan: that of one arm as the policy draws it, or with `cascade` the plan of greatest utility.

        Parameters
        ----------
        spelled
            A plan asked for by name, as `read_plan` reads it.

        Raises
        ------
        BudgetRefusedError
            If no plan (or not the one asked for) can be paid to its end.
        ScrimpError
            If no arm can take the prompt.
        """
        if (cascade or spelled) and ask.wishes.arm is not None:
            raise UsageError("-m takes one arm and --cascade chooses among plans: give one of the two")
        decision = self.asker.decide(ask, context)
        if decision.arm is None or not (cascade or spelled):
            return decision, _one(decision)
        options = {
            weighed.option.arm: weighed.option
            for weighed in decision.choice.weighed
            if weighed.option.infeasible is None and weighed.option.cost_nano is not None
        }
        # A call that repairs carries the failed answer: its bound allows for that.
        extra = _QUOTED_BYTES if repair else 0
        spread = learned_spread(self.asker.ledger)
        gates = self._gates(decision, options)
        planner = Planner(gates, spread=spread)
        names = list(options)
        quality = [options[name].quality for name in names]
        costs = [options[name].cost_nano or 0 for name in names]
        if spelled is not None:
            plans: Sequence[Plan] = (self._spelled(spelled, decision, gates, repair=repair),)
        else:
            plans = plan_table(
                names, costs, [gate.name for gate in gates], comparable=comparable(ask.prompt), repair=repair
            )
            if decision.choice.guard is not None:
                plans = self._guarded(plans, decision)
        chosen = planner.choose(
            plans,
            names,
            quality,
            costs,
            [options[name].bound_nano or 0 for name in names],
            later_nano=[self._bound(options[name], extra) for name in names],
            wtp_usd=decision.wtp_usd,
            min_quality=decision.min_quality,
            left=self._left(ask, decision),
        )
        if chosen.taken is None:
            raise BudgetRefusedError(
                f"the plan {plans[0]} could cost more than the caps leave: it is not begun"
                if spelled is not None
                else "no plan can be paid to its end by what the caps leave",
                hint="Lower max_output_tokens, choose cheaper arms, or raise the cap (`scrimp spend` shows all caps).",
            )
        trace = {
            **chosen.taken.plan.to_dict(),
            "expected": chosen.taken.to_dict(),
            "one_arm": None if chosen.one is None else chosen.one.to_dict(),
            "others": [each.to_dict() for each in chosen.others],
            "n_plans": chosen.n_plans,
            "n_unpayable": chosen.n_unpayable,
            "checks": {gate.name: gate.power.to_dict() for gate in gates},
            "spread": spread,
            "asked_for": spelled is not None,
        }
        return _planned(decision, chosen.taken.plan, trace), chosen.taken.plan

    def _spelled(self, text: str, decision: Decision, gates: Sequence[Gate], *, repair: bool) -> Plan:
        """Return the plan that a user spelled, every arm of which can take the prompt."""
        every = [weighed.option for weighed in decision.choice.weighed]
        plan = read_plan(text, [option.arm for option in every], [gate.name for gate in gates], repair=repair)
        for option in every:
            if option.arm in plan.arms and (option.infeasible is not None or option.cost_nano is None):
                why = f"the plan {plan} is not begun: {option.arm}: {option.infeasible or 'no price is known for it'}"
                raise BudgetRefusedError(why) if option.by_cap else UsageError(why)
        return plan

    def _guarded(self, plans: Sequence[Plan], decision: Decision) -> Sequence[Plan]:
        """Return the plans for a prompt that the router does not know: those that can end with the default arm."""
        default = self.asker.decider.profile.default_arm
        kept = tuple(plan for plan in plans if plan.stages[-1].arms[-1] == default and plan.kind in ("one", "check"))
        return kept or tuple(plan for plan in plans if plan.single and plan.arms[0] == decision.arm) or plans

    def _bound(self, option: Option, extra_tokens: int) -> int:
        price = self.asker.decider.price(option.arm)
        if price is None or extra_tokens == 0:
            return option.bound_nano or 0
        return price.bound_nano(option.input_bound + extra_tokens, option.output_limit)

    def _gates(self, decision: Decision, options: dict[str, Option]) -> tuple[Gate, ...]:
        powers = learned_powers(self.asker.ledger, self.checks)
        gates = []
        for check in self.checks:
            cost = bound = 0
            if isinstance(check, JudgeCheck):
                judge = decision.choice.option(check.arm)
                price = self.asker.decider.price(check.arm)
                if judge.infeasible is not None or price is None:
                    raise UsageError(
                        f"--check {check.name}: {check.arm} cannot judge: {judge.infeasible or 'no price'}"
                    )
                asked = judge.input_tokens + judge.output_tokens_p50 + 150
                cost = price.expected_nano(asked, 60)
                bound = price.bound_nano(judge.input_bound + _QUOTED_BYTES, self._judge_limit(judge))
            elif isinstance(check, AgreeCheck) and options:
                asked_of = [options[name] for name in check.arms if name in options] or [
                    max(options.values(), key=lambda each: each.bound_nano or 0)
                ] * (check.n - 1)
                cost = sum(each.cost_nano or 0 for each in asked_of)
                bound = sum(each.bound_nano or 0 for each in asked_of)
            gates.append(Gate(check.name, powers[check.name], cost, bound))
        return tuple(gates)

    def _judge_limit(self, option: Option) -> int:
        reasoning = self.asker.decider.profile.arm(option.arm).reasoning_effort not in (None, "none")
        return option.output_limit if reasoning else min(option.output_limit, JUDGE_LIMIT)

    def _left(self, ask: Ask, decision: Decision) -> list[tuple[str | None, int]]:
        """Return what each cap over several calls leaves, and which arm it is about (None: all)."""
        asker = self.asker
        left: list[tuple[str | None, int]] = []
        if ask.wishes.max_cost_nano is not None:
            left.append((None, ask.wishes.max_cost_nano))
        if ask.cap_override_nano is not None:
            return [*left, (None, ask.cap_override_nano)]
        caps = applicable_caps(
            asker.ledger, asker.decider.profile, None, now=asker.clock(), run_id=ask.run_id or decision.id
        )
        for cap in caps:
            if cap.key is None:
                continue  # a cap on the single call: the arms' options have met it
            nano = left_nano(asker.ledger, [cap])
            arm = cap.scope.split(":")[1] if cap.scope.startswith("arm:") else None
            left.append((arm, nano or 0))
        return left

    # -- asking -----------------------------------------------------------------------------------------------------

    def run(
        self,
        ask: Ask,
        decision: Decision,
        context: Context,
        plan: Plan,
        *,
        on_text: Callable[[str], None] | None = None,
    ) -> Checked:
        """Make a plan's calls and return the answer it comes to, passed or not; every step is on record.

        Raises
        ------
        ScrimpError
            If no call gave an answer.
        KeyboardInterrupt
            If interrupted: what was paid is said and on record.
        """
        run = _Run(ask, decision, context, plan, self.asker.clock())
        try:
            if plan.single:
                self._single(run, on_text)
            else:
                for number, stage in enumerate(plan.stages, start=1):
                    run.stage = number
                    if number > 1:
                        self._say_escalation(run, stage)
                    if self._stage(run, stage):
                        break
            return self._end(run)
        except BaseException:
            if run.progress.charged_nano and len(run.steps) > 0:
                self.asker.say(f"{format_usd(run.progress.charged_nano)} was charged for this prompt")
            raise

    def _single(self, run: _Run, on_text: Callable[[str], None] | None) -> None:
        """Ask as without any plan: with retries, fallbacks, and a stream."""
        run.stage = 1
        answer = self.asker.run(run.ask, run.decision, run.context, on_text=on_text)
        run.progress.charged_nano = answer.total_charged_nano
        run.progress.n_attempts = answer.n_attempts
        run.progress.logged = True
        self._hold(run, answer, "ask", answer.total_charged_nano)
        self._check(run, run.held[-1], None, final=True)

    def _say_escalation(self, run: _Run, stage: Stage) -> None:
        last = run.held[-1] if run.held else None
        if last is None:
            why = "there is no answer yet"
        else:
            failed = [verdict for verdict in last.verdicts if verdict.failed]
            why = f"{last.answer.arm}'s answer failed: {failed[0].evidence}" if failed else "no two answers agree"
        self.asker.say(f"escalating to {' and '.join(stage.arms)}; {why}")

    def _stage(self, run: _Run, stage: Stage) -> bool:
        """Run one stage; return True when the plan stops there."""
        held: list[_Held] = []
        prompt = self._repaired(run) if run.plan.repair and run.stage > 1 else None
        for arm in stage.arms:
            try:
                answer = self._call(
                    run, arm, kind="ask", prompt=prompt, vary=any(step.arm == arm for step in run.steps)
                )
            except (BudgetRefusedError, SuspendedError) as error:
                self._refused(run, arm, error)
                if isinstance(error, BudgetRefusedError):
                    break
                continue
            if answer is not None:
                held.append(run.held[-1])
                if stage.how == "best":
                    self._check(run, held[-1], ALL, final=False)
                    if worst(held[-1].verdicts) != "fail" and not any(_graded(each) for each in held[-1].verdicts):
                        break  # the best there can be
        last = run.stage == len(run.plan.stages)
        if not held:
            return run.refusal is not None and isinstance(run.refusal, BudgetRefusedError)
        best, stops = self._weigh(run, stage, held)
        for each in held:
            if each is not best:
                run.held.remove(each)
        run.held.remove(best)
        run.held.append(best)
        self._check(run, best, stage.gate, final=last or stops)
        if stage.gate is not None and stage.quorum is None and not last:
            verdicts = best.verdicts
            stops = (
                worst(verdicts) != "fail"
                if stage.gate == ALL
                else not any(verdict.failed and verdict.check == stage.gate for verdict in verdicts)
            )
            if stops:
                self._check(run, best, ALL, final=True)
        elif stage.quorum is not None and stops and not last:
            stops = worst(best.verdicts) != "fail"
        return stops or isinstance(run.refusal, BudgetRefusedError)

    def _weigh(self, run: _Run, stage: Stage, held: list[_Held]) -> tuple[_Held, bool]:
        """Return which of a stage's answers is its own, and whether a stage of several arms stops the plan."""
        if stage.how == "best":
            ranked = sorted(held, key=lambda each: (_rank(each.verdicts), -held.index(each)), reverse=True)
            return ranked[0], True
        if stage.quorum is None and stage.how == "one":
            return held[0], stage.gate is None
        quality = [run.decision.choice.option(each.answer.arm).quality for each in held]
        if stage.how == "vote":
            numbers = groups([each.answer.text for each in held], embed=self.embed)
            won = vote(numbers, quality)
            note = "a vote of " + ", ".join(
                f"{each.answer.arm}: {number}" for each, number in zip(held, numbers, strict=True)
            )
            run.progress.notes.append(note)
            return held[won if won is not None else 0], True
        assert stage.quorum is not None  # noqa: S101 - nothing else is left
        texts: list[str | None] = [each.answer.text for each in held] + [None] * (len(stage.arms) - len(held))
        if len(stage.arms) == 1:
            texts += [step.text for step in run.steps if step.kind == "ask" and step.seq <= held[0].step]
        quality += [0.0] * (len(texts) - len(held))
        found = compare(texts, stage.quorum, quality=quality, embed=self.embed)
        for each, verdict in zip(held, found.verdicts, strict=False):
            each.verdicts = (*each.verdicts, verdict)
            run.steps[each.step] = replace(run.steps[each.step], verdicts=each.verdicts)
            self._record(run, each, [verdict])
        best = held[found.best if found.best < len(held) else 0]
        return best, not best.verdicts[-1].failed

    def _call(
        self,
        run: _Run,
        arm: str,
        *,
        kind: str,
        prompt: Prompt | None = None,
        vary: bool = False,
        limit: int | None = None,
    ) -> Answer | None:
        """Make one call of the plan; its answer is held, unless it is a judge's. None where the arm failed."""
        option = run.decision.choice.option(arm)
        ask = run.ask
        if prompt is not None:
            changed = self._option(run, prompt, arm, limit)
            if changed is None:
                if kind == "judge":
                    return None
            else:
                option, ask = changed, replace(ask, prompt=prompt)
        before = run.progress.charged_nano
        answer = self.asker.try_arm(
            ask,
            run.decision,
            run.context,
            option,
            run.progress,
            None,
            run.started,
            kind="first" if not run.steps else "step" if kind == "ask" else kind,
            record=kind == "ask",
            vary=vary or kind == "sample",
        )
        charged = run.progress.charged_nano - before
        if answer is None:
            message = run.progress.errors[-1][1].message if run.progress.errors else "no answer"
            run.steps.append(Step(len(run.steps) + 1, run.stage, kind, arm, "failed", charged, note=message))
            self._write(run, run.steps[-1])
        elif kind == "ask":
            self._hold(run, answer, kind, charged)
        else:
            run.steps.append(
                Step(
                    len(run.steps) + 1, run.stage, kind, arm, "answered", charged, answer.text, answer.latency_s,
                    answer.finish_reason,
                )
            )  # fmt: skip
            self._write(run, run.steps[-1])
        return answer

    def _hold(self, run: _Run, answer: Answer, kind: str, charged: int) -> None:
        run.steps.append(
            Step(
                len(run.steps) + 1, run.stage, kind, answer.arm, "answered", charged, answer.text, answer.latency_s,
                answer.finish_reason,
            )
        )  # fmt: skip
        run.held.append(_Held(answer, run.stage, (), len(run.steps) - 1))
        self._write(run, run.steps[-1])

    def _option(self, run: _Run, prompt: Prompt, arm: str, limit: int | None) -> Option | None:
        """Return an arm's option for another prompt of the same plan; None where it cannot take it."""
        asker = self.asker
        decision = asker.decider.decide(
            prompt,
            asker.decider.predict([run.context]),
            replace(run.ask.wishes, arm=arm, max_cost_nano=None),
            decision_id=run.decision.id,
            rng=asker.rng,
        )
        option = decision.choice.option(arm)
        price = asker.decider.price(arm)
        if option.infeasible is not None or price is None:
            return None
        now = run.decision.choice.option(arm).output_limit
        most = min(option.output_limit, now, limit if limit is not None else now)
        return replace(option, output_limit=most, bound_nano=price.bound_nano(option.input_bound, most))

    def _repaired(self, run: _Run) -> Prompt | None:
        """Return the prompt with the failed answer and what is wrong with it; None where there is none."""
        if not run.held:
            return None
        last = run.held[-1]
        wrong = "\n".join(f"- {verdict.evidence}" for verdict in last.verdicts if verdict.failed) or "- others disagree"
        answer, mark = last.answer.text[:_QUOTED_CHARS], "====="
        while mark in answer:
            mark += "="
        text = _REPAIR.format(prompt=run.ask.prompt.text, answer=answer, evidence=wrong[:2_000], mark=mark)
        return replace(run.ask.prompt, text=text)

    def _refused(self, run: _Run, arm: str, error: ScrimpError) -> None:
        run.refusal = error
        run.steps.append(Step(len(run.steps) + 1, run.stage, "ask", arm, "refused", 0, note=error.message))
        if run.progress.logged:
            self._write(run, run.steps[-1])

    # -- checking ---------------------------------------------------------------------------------------------------

    def _check(self, run: _Run, held: _Held, gate: str | None, *, final: bool) -> None:
        """Put an answer to the checks: those that cost nothing always, those that call models where they decide."""
        text = held.answer.text
        given = Given(run.ask.prompt.text, held.answer.finish_reason)
        done = {verdict.check for verdict in held.verdicts}
        free = [c for c in self.checks if not isinstance(c, (AgreeCheck, JudgeCheck)) and c.name not in done]
        verdicts = [*held.verdicts, *run_checks(free, text, given)]
        for check in self.checks:
            if not isinstance(check, (AgreeCheck, JudgeCheck)) or check.name in done:
                continue
            if not text.strip():
                verdicts.append(Verdict(check.name, "fail", "the answer is empty"))
            elif final or gate in (ALL, check.name):
                if worst(verdicts) == "fail" and gate != check.name:
                    continue  # it has failed already: nothing more is paid to know it better
                verdicts.append(self._paid(run, check, held))
        if held.answer.text != text:  # most others say otherwise, and theirs is the answer now
            paid = [each for each in verdicts if each.check not in {check.name for check in free}]
            verdicts = [*paid, *run_checks(free, held.answer.text, given)]
        fresh = [verdict for verdict in verdicts if verdict not in held.verdicts]
        held.verdicts = tuple(verdicts)
        run.steps[held.step] = replace(run.steps[held.step], verdicts=held.verdicts)
        self._record(run, held, fresh)

    def _record(self, run: _Run, held: _Held, fresh: Sequence[Verdict]) -> None:
        """Put an answer's verdicts on record, and the fresh ones among the labels."""
        if not run.progress.logged or run.ask.keep == "money":
            return
        write_labels(
            self.asker.ledger,
            run.decision.id,
            held.answer.arm,
            fresh,
            {check.name: check.kind for check in self.checks} | {each: each for each in QUORUMS},
            at=instant(self.asker.clock()),
            keep_evidence=run.ask.keep == "all",
        )
        self._write(run, run.steps[held.step], again=True)

    def _paid(self, run: _Run, check: AgreeCheck | JudgeCheck, held: _Held) -> Verdict:
        """Return the verdict of a check that calls models."""
        before = run.progress.charged_nano
        try:
            if isinstance(check, JudgeCheck):
                option = run.decision.choice.option(check.arm)
                prompt = judge_prompt(run.ask.prompt.text, held.answer.text[:_QUOTED_CHARS], check.rubric)
                reply = self._call(run, check.arm, kind="judge", prompt=prompt, limit=self._judge_limit(option))
                verdict = check.abstained("the judge gave no answer") if reply is None else check.read(reply.text)
            else:
                answers: list[Answer | None] = [held.answer]
                at = [held.step]
                for arm in check.arms or (held.answer.arm,) * (check.n - 1):
                    answers.append(self._call(run, arm, kind="sample"))
                    at.append(len(run.steps) - 1)
                found = check.compare([None if each is None else each.text for each in answers], embed=self.embed)
                verdict, taken = found.verdict, None if found.taken is None else answers[found.taken]
                if taken is not None and taken is not held.answer:
                    held.answer, held.step = taken, at[found.best]
        except (BudgetRefusedError, SuspendedError) as error:
            verdict = check.abstained(f"not asked: {error.message}")
        return replace(verdict, cost_nano=run.progress.charged_nano - before)

    # -- ending -----------------------------------------------------------------------------------------------------

    def _end(self, run: _Run) -> Checked:
        if not run.held:
            failure = (
                self.asker.failure(run.progress)
                if run.progress.errors
                else run.refusal or UsageError("no arm could be tried")
            )
            self.asker.close(run.ask, run.decision, status="failed", error=failure.message, progress=run.progress)
            raise failure
        # The plan's own last answer stands, unless it failed its checks where an earlier one did better.
        best = max(run.held, key=lambda each: (*_rank(each.verdicts), each.stage))
        run.steps[best.step] = replace(run.steps[best.step], taken=True)
        if run.progress.logged and run.ask.keep != "money":
            with self.asker.ledger.transaction() as conn:
                conn.execute(
                    "UPDATE steps SET taken = (seq = ?) WHERE request_id = ?", (best.step + 1, run.decision.id)
                )
                if best is not run.held[-1] or len(run.held) > 1 or not run.plan.single or best.step > 0:
                    values: dict[str, object] = {"status": "ok", "arm": best.answer.arm}
                    if run.ask.keep == "all":
                        values["answer"] = best.answer.text
                    self.asker.ledger.update("requests", ("id", run.decision.id), values)
        notes = [*best.answer.notes, *run.progress.notes]
        if run.refusal is not None:
            notes.append(f"the plan ended early: {run.refusal.message}")
        answer = replace(
            best.answer,
            decision=run.decision,
            total_charged_nano=run.progress.charged_nano,
            n_attempts=run.progress.n_attempts,
            latency_s=sum(step.latency_s or 0.0 for step in run.steps),
            saved_nano=best.answer.saved_nano if run.plan.single else None,
            saved_against=best.answer.saved_against if run.plan.single else None,
            notes=tuple(dict.fromkeys(notes)),
        )
        return Checked(answer, best.verdicts, tuple(run.steps), run.plan)

    def _write(self, run: _Run, step: Step, *, again: bool = False) -> None:
        """Put a step on record, with as much of it as the profile keeps."""
        if run.ask.keep == "money":
            return
        all_ = run.ask.keep == "all"
        verdicts = [verdict_dict(each if all_ else replace(each, evidence="")) for each in step.verdicts]
        with self.asker.ledger.transaction() as conn:
            if again:
                conn.execute(
                    "UPDATE steps SET verdicts = ? WHERE request_id = ? AND seq = ?",
                    (json.dumps(verdicts), run.decision.id, step.seq),
                )
                return
            self.asker.ledger.insert(
                "steps",
                {
                    "request_id": run.decision.id,
                    "seq": step.seq,
                    "stage": step.stage,
                    "kind": step.kind,
                    "arm": step.arm,
                    "outcome": step.outcome,
                    "verdicts": json.dumps(verdicts),
                    "answer": step.text if all_ else None,
                    "charged_nano": step.charged_nano,
                    "latency_s": step.latency_s,
                    "note": step.note if all_ else None,
                    "at": instant(self.asker.clock()),
                },
            )


def _graded(verdict: Verdict) -> bool:
    return verdict.score is not None and verdict.score < 1.0


def _rank(verdicts: Sequence[Verdict]) -> tuple[int, float]:
    """Return how good verdicts are, to compare answers by: fewest fails, then the highest mean score."""
    fails = sum(verdict.failed for verdict in verdicts)
    scores = [verdict.score for verdict in verdicts if verdict.score is not None]
    return -fails, math.fsum(scores) / len(scores) if scores else 0.5


def _one(decision: Decision) -> Plan:
    from scrimp.routing.plans.plan import Stage

    return Plan((Stage((decision.arm or "",)),))


def _planned(decision: Decision, plan: Plan, trace: dict[str, Any]) -> Decision:
    """Return the decision with a plan in place of a draw."""
    choice = decision.choice
    calls = plan.arms
    weighed = tuple(
        each
        if each.option.infeasible is not None
        else replace(
            each,
            probability=0.0,
            flip_cost_usd=None,
            flip_wtp_usd=None,
            why=f"call {calls.index(each.option.arm) + 1} of the plan"
            if each.option.arm in calls
            else "not in the plan",
        )
        for each in choice.weighed
    )
    note = "a plan was asked for" if trace["asked_for"] else "a plan was chosen, not drawn"
    planned = replace(choice, arm=calls[0], explored=False, propensity=None, propensity_note=note, weighed=weighed)
    return replace(decision, choice=planned, plan=trace)
