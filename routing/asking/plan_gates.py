"""Checks as a planner sees them: how far each can be trusted, and what using it costs for one prompt."""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING

from scrimp.profiles.errors import UsageError
from scrimp.routing.checks.agree import AgreeCheck
from scrimp.routing.checks.judge import JUDGE_LIMIT, JudgeCheck
from scrimp.routing.deciding.beside import beside
from scrimp.routing.deciding.times import minute_cost
from scrimp.routing.plans.power import learn_power
from scrimp.routing.plans.record import observations
from scrimp.routing.plans.silence import told_of_silence
from scrimp.routing.plans.value import Gate

from .prompt_tariff import PromptTariff, able_options

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scrimp.routing.checks.base import Check
    from scrimp.routing.deciding.decide import Decider
    from scrimp.routing.deciding.trace import Decision
    from scrimp.routing.ledger.store import Ledger
    from scrimp.routing.plans.power import Observation, Power
    from scrimp.routing.prompts.prompt import Prompt

__all__ = ["Gates"]

_JUDGEMENT = 60
"""Output tokens of what a judge says. Chosen, not measured."""


class Gates:
    """Makes gates of checks.

    Parameters
    ----------
    ledger
        The ledger whose log says how far checks can be trusted; None where there is none yet, or nothing to choose.
    """

    def __init__(self, decider: Decider, ledger: Ledger | None) -> None:
        self.decider = decider
        self.ledger = ledger
        self._seen: dict[str, list[Observation]] | None = None
        self._powers: dict[str, Power] = {}

    def away(self) -> Gates:
        """Return the same for a process without the ledger: with all that its log says."""
        self._observed()
        made = copy(self)
        made.ledger = None
        return made

    def check_arms(self, check: Check) -> None:
        """Refuse a check that asks an arm which is not there.

        Raises
        ------
        UsageError
            If it does.
        """
        names = [arm.name for arm in self.decider.profile.arms]
        asked = (check.arm,) if isinstance(check, JudgeCheck) else check.arms if isinstance(check, AgreeCheck) else ()
        for name in asked:
            if name not in names:
                raise UsageError(
                    f"--check {check.name}: no arm {name!r} in this profile", hint=self.decider.profile.known_arms(name)
                )

    def _power(self, check: Check) -> Power:
        """Return how far a check can be trusted."""
        known = self._powers.get(check.name)
        if known is None:
            known = self._powers[check.name] = learn_power(check.kind, self._observed().get(check.name, ()))
        return known

    def _observed(self) -> dict[str, list[Observation]]:
        if self._seen is None:
            self._seen = {} if self.ledger is None else observations(self.ledger)
        return self._seen

    def of(self, decision: Decision, checks: Sequence[Check], prompt: Prompt | None = None) -> tuple[Gate, ...]:
        """Return checks as a planner sees them, with what using each once costs for a decided prompt.

        Parameters
        ----------
        prompt
            The prompt, whose files may be more or less likely to hold what is asked for.

        Raises
        ------
        UsageError
            If the judge cannot take the prompt.
        """
        options = able_options(decision)
        gates = []
        for check in checks:
            cost = bound = 0
            seconds: float | None = 0.0
            held = 0.0
            if isinstance(check, JudgeCheck):
                judge = decision.choice.option(check.arm)
                if prompt is not None and prompt.readings is not None:
                    judge = beside(self.decider, check.arm, prompt.as_read("passages"), judge, told=False)
                price = self.decider.price(check.arm)
                if judge.infeasible is not None or price is None:
                    raise UsageError(
                        f"--check {check.name}: {check.arm} cannot judge: {judge.infeasible or 'no price'}"
                    )
                asked = judge.input_tokens + judge.output_tokens_p50 + 150
                cost = price.expected_nano(asked, _JUDGEMENT)
                tempo = self.decider.tempo(check.arm)
                seconds = None if tempo is None else tempo.seconds(asked, _JUDGEMENT)
                held = sum(minute_cost(decision.minute_usd, seconds).values())
                bound = PromptTariff(self.decider, options | {check.arm: judge}).most_nano(check.arm, 1, JUDGE_LIMIT)
            elif isinstance(check, AgreeCheck) and options:
                names = [decision.choice.option(name).arm for name in check.arms]
                asked_of = [options[name] for name in names if name in options] or [
                    max(options.values(), key=lambda each: each.bound_nano or 0)
                ] * (check.n - 1)
                cost = sum(each.cost_nano or 0 for each in asked_of)
                bound = sum(each.bound_nano or 0 for each in asked_of)
                known = [each.seconds for each in asked_of if each.seconds is not None]
                seconds = sum(known) if len(known) == len(asked_of) else None
                held = sum(sum(each.terms.values()) for each in asked_of)
            power = self._power(check)
            if check.kind == "found" and prompt is not None and prompt.readings is not None:
                power = told_of_silence(power, self.decider.readings.silent(prompt.readings.evidence))
            gates.append(Gate(check.name, power, cost, bound, check.kind, seconds, held))
        return tuple(gates)
