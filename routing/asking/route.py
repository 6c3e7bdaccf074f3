"""Which arm would take a prompt: decided against what the caps leave now, with nothing sent and nothing logged."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Final

from scrimp.profiles.errors import UsageError
from scrimp.profiles.rungs import READ_TOKENS, reading_of
from scrimp.routing.deciding import against_caps
from scrimp.routing.deciding.decide import Wishes
from scrimp.routing.deciding.front import front, points_of
from scrimp.routing.guard.sentry import Sentry
from scrimp.routing.ledger.store import new_id
from scrimp.routing.prompts.prompt import Prompt
from scrimp.routing.prompts.tokens import exact_tokens

from .experience import Experience
from .guarding import guarded, risked, shielded
from .plan_choice import PlanChooser, arms_in
from .plan_rooms import rooms_of
from .read import check_reading, read_for
from .read_labels import informed
from .request import Ask, Way

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from scrimp.routing.deciding.decide import Decider
    from scrimp.routing.deciding.front import Placed
    from scrimp.routing.deciding.trace import Decision
    from scrimp.routing.ledger.caps import Room
    from scrimp.routing.ledger.store import Ledger
    from scrimp.routing.prompts.context import Context

__all__ = ["Guide"]

CHUNK: Final = 256
"""Prompts that are embedded together."""


class Guide:
    """Decides prompts as `ask` would.

    Parameters
    ----------
    decider
        Of the profile.
    ledger
        For what the caps leave; None where there is none yet.
    arm, max_cost_nano, on_this_machine, fast
        As in `Wishes`.
    needs
        Tags that an arm must have.
    rng
        Draws what is explored.
    way
        The plan that was asked for, or the profile's own that are weighed against the arm; None: neither.
    cache
        The folder of the cache, for what is known of files; None keeps nothing.
    brief
        Whether short answers are asked for.
    on_embedded
        As in `Workspace`.
    """

    def __init__(
        self,
        decider: Decider,
        ledger: Ledger | None,
        *,
        arm: str | None,
        max_cost_nano: int | None,
        on_this_machine: bool,
        needs: frozenset[str],
        rng: random.Random,
        way: Way | None = None,
        cache: Path | None = None,
        brief: bool = False,
        on_embedded: Callable[[int, int], None] = lambda _done, _total: None,
        fast: bool = False,
    ) -> None:
        self.decider = decider = Experience().of(decider, ledger, now=time.time())
        self.ledger = ledger
        self.wishes = Wishes(arm=arm, max_cost_nano=max_cost_nano, on_this_machine=on_this_machine, fast=fast)
        self.needs = needs
        self.rng = rng
        self.way = way or Way()
        self.cache = cache
        self.brief = brief
        self.sentry = Sentry.open(decider.profile, decider.embedder, cache, on_embedded)
        self._plans = PlanChooser(decider.with_arms(arms_in(self.way)), self.way, ledger)

    def one(self, prompt: Prompt, *, reading: str = "auto", read_tokens: int = READ_TOKENS) -> tuple[Prompt, Decision]:
        """Decide one prompt; return it with what each reading of its files sends, and the decision.

        Parameters
        ----------
        reading, read_tokens
            As in `Ask`.

        Raises
        ------
        UsageError
            If it is empty, the arm asked for is not in the profile, there is no such reading, or the plan asked for is
            not for this prompt.
        BudgetRefusedError
            If the caps leave too little for the plan that was asked for.
        """
        if not prompt.text.strip():
            raise UsageError("the prompt is empty")
        check_reading(reading)
        prompt = replace(prompt, needs=prompt.needs | self.needs, brief=prompt.brief or self.brief)
        ask = shielded(Ask(prompt, self.wishes, reading=reading, read_tokens=read_tokens), self.decider.profile)
        (context,) = self.decider.contexts([ask.prompt.text])
        ask = guarded(ask, context, self.sentry)
        ask = read_for(ask, context, self.decider.embedder, way=self.way, cache=self.cache)
        if ask.prompt.readings is not None:
            self.decider = informed(self.decider, self.ledger)
        now = time.time()
        decide = partial(
            against_caps.decide,
            self._for(ask.prompt.text, context),
            self.ledger,
            ask.prompt,
            now=now,
            rng=self.rng,
            decision_id=new_id(),
            context=context,
        )
        decision = risked(ask, decide(ask.wishes), self.decider.profile, decide, holds=False)
        return ask.prompt, self._with_plan(ask, decision, self._rooms(now))

    def _rooms(self, now: float) -> list[Room]:
        if not self.way.several:
            return []
        ask = Ask(Prompt(" "), self.wishes)
        return rooms_of(self.ledger, self.decider.profile, ask, run_id=new_id(), now=now)

    def _with_plan(self, ask: Ask, decision: Decision, rooms: Sequence[Room]) -> Decision:
        # Of a pool each prompt has arms of its own.
        plans = self._plans if decision.by is None else PlanChooser(decision.by, self.way, self.ledger)
        return plans.choose(ask, decision, rooms)[0]

    def many(self, rows: Iterator[tuple[str, str]]) -> Iterator[list[tuple[str, Decision]]]:
        """Decide row after row (name, text), embedding them in chunks: memory stays bounded."""
        now = time.time()
        left, blocked = against_caps.caps_left(self.ledger, self.decider.profile, now=now)
        rooms = self._rooms(now)
        while chunk := list(islice(rows, CHUNK)):
            asks = [
                shielded(Ask(Prompt(text, needs=self.needs, brief=self.brief), self.wishes), self.decider.profile)
                for _, text in chunk
            ]
            contexts = self.decider.contexts([ask.prompt.text for ask in asks])
            asks = [guarded(ask, each, self.sentry) for ask, each in zip(asks, contexts, strict=True)]
            deciders = [self._for(ask.prompt.text, each) for ask, each in zip(asks, contexts, strict=True)]
            # Without a pool one decider takes all rows: it predicts them together.
            together = self.decider.predict(contexts) if self.decider.pool is None else None
            decisions = []
            for row, (ask, decider) in enumerate(zip(asks, deciders, strict=True)):
                if together is None:
                    left, blocked = against_caps.caps_left(self.ledger, decider.profile, now=time.time())
                decide = partial(
                    decider.decide,
                    ask.prompt,
                    decider.predict([contexts[row]]) if together is None else together,
                    decision_id=new_id(),
                    rng=self.rng,
                    row=0 if together is None else row,
                    left_nano=left,
                    blocked=blocked,
                )
                decisions.append(risked(ask, decide(ask.wishes), self.decider.profile, decide, holds=False))
            yield [
                (name, self._with_plan(ask, decision, rooms))
                for (name, _), ask, decision in zip(chunk, asks, decisions, strict=True)
            ]

    def _for(self, text: str, context: Context) -> Decider:
        if self.wishes.arm is not None:
            return self.decider.with_arms((self.wishes.arm, *arms_in(self.way)))
        return self.decider.narrowed(text, context, arms_in(self.way))

    def reasons(self, decision: Decision) -> dict[str, str]:
        """Return what each arm's predicted quality rests on, in words."""
        return (decision.by or self.decider).reasons()

    @staticmethod
    def front(decision: Decision) -> tuple[Placed, ...]:
        """Return the ways that were open to a decision: those on the front first, each kind from the cheapest on."""
        placed = front(points_of(decision))
        return tuple(sorted(placed, key=lambda each: (not each.on_front, each.point.cost_nano, -each.point.quality)))

    def exact_tokens(self, prompt: Prompt, decision: Decision) -> dict[str, int | None]:
        """Count a prompt as each arm is sent it with its own tokeniser; None where that is not public."""
        options = [weighed.option for weighed in decision.choice.weighed]
        sent = {
            kind: "\n\n".join(prompt.as_read(kind).parts()) for kind in {reading_of(option.arm) for option in options}
        }
        return {option.arm: exact_tokens(sent[reading_of(option.arm)], option.model) for option in options}
