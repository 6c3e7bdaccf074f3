"""Duels: two arms asked the same, their answers judged without names (after Music Arena's blind pairs)."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from scrimp.profiles.errors import ArmUnavailableError, BudgetRefusedError, LedgerError, ScrimpError, UsageError
from scrimp.profiles.rungs import bare_of
from scrimp.routing.asking.awaiting import AwaitingHands, attend_loop, begin_scribe
from scrimp.routing.asking.plan_rooms import rooms_of
from scrimp.routing.asking.request import Ask, Way
from scrimp.routing.deciding.decide import Wishes
from scrimp.routing.guard.verdict import UNGUARDED
from scrimp.routing.learn.data.contestants import Contestant, fit_of
from scrimp.routing.ledger.caps import Cap, Room, too_small
from scrimp.routing.ledger.duels import add_duel, duels_of, give_verdict, judged_prompts, take_back
from scrimp.routing.ledger.store import instant, new_id
from scrimp.routing.prompts.instructions import instructions_id

from .pairs import Drawn, Pair, draw, weigh

if TYPE_CHECKING:
    import random
    from collections.abc import Coroutine, Mapping, Sequence

    from scrimp.routing.asking.request import Answer, Checked
    from scrimp.routing.asking.workspace import Workspace
    from scrimp.routing.deciding.policy import Option
    from scrimp.routing.deciding.trace import Decision
    from scrimp.routing.guard.private import Vault
    from scrimp.routing.guard.verdict import Guarded
    from scrimp.routing.ledger.duels import Verdict
    from scrimp.routing.ledger.store import Ledger
    from scrimp.routing.plans.plan import Plan
    from scrimp.routing.prompts.context import Context
    from scrimp.routing.prompts.prompt import Prompt

__all__ = ["Arena", "Duel", "Question", "Slate", "judged_before"]


@dataclass(frozen=True, slots=True)
class Question:
    """What two arms are asked.

    Attributes
    ----------
    key
        A digest of it, by which it is known again.
    params, response_format, output_limit, vault
        As in `Ask`.
    guarded
        What the profile's guards say of it.
    """

    key: str
    prompt: Prompt
    params: Mapping[str, Any] = field(default_factory=dict)
    response_format: Mapping[str, Any] | None = None
    output_limit: int | None = None
    guarded: Guarded = UNGUARDED
    vault: Vault | None = None


@dataclass(frozen=True, slots=True)
class Slate:
    """Which pairs could meet on a question.

    Attributes
    ----------
    pairs
        With the chance of each; one alone where the arms were named.
    bounds_nano
        What an answer of each arm may cost at most, nano-USD.
    """

    question: Question
    context: Context
    pairs: tuple[Pair, ...]
    bounds_nano: Mapping[str, int]
    named: tuple[str, str] | None

    @property
    def cost_usd(self) -> float:
        """What the duel is predicted to cost, before it is drawn, USD."""
        return sum(pair.chance * pair.cost_usd for pair in self.pairs)

    @property
    def bound_nano(self) -> int:
        """What it may cost at most, nano-USD."""
        return max(self.bounds_nano[pair.first] + self.bounds_nano[pair.second] for pair in self.pairs)


@dataclass(slots=True)
class Duel:
    """What came of asking two arms.

    Attributes
    ----------
    id
        Of the duel, in the log; None where an answer is missing: then there is none.
    answers, errors
        Of the left and the right: the one or the other of each; both where an answer could not be put on record.
    said
        What was said while they were asked: it may give an arm away, so it is shown after the verdict.
    verdict
        None until there is one, and again once it is taken back.
    """

    id: str | None
    question: Question
    drawn: Drawn
    answers: tuple[Answer | None, Answer | None]
    errors: tuple[ScrimpError | None, ScrimpError | None]
    said: tuple[str, ...]
    verdict: Verdict | None = None
    why: str | None = None

    @property
    def texts(self) -> tuple[str, str]:
        """The answers of the left and the right; an empty text where there is none."""
        first, second = ("" if each is None else each.text for each in self.answers)
        return first, second

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, arms named."""
        sides = {}
        for name, arm, answer, error in zip(
            ("left", "right"), (self.drawn.left, self.drawn.right), self.answers, self.errors, strict=True
        ):
            sides[name] = {"arm": arm, "error": None if error is None else error.message} | (
                {"id": None, "answer": None} if answer is None else answer.to_dict()
            )
            sides[name].pop("decision", None)
            sides[name].pop("schema_version", None)
        return {
            "id": self.id, "verdict": self.verdict, "why": self.why, "propensity": self.drawn.propensity,
            "prompt": self.question.prompt.text, **sides,
        }  # fmt: skip


class Arena:
    """Draws pairs of a profile's arms, asks both, and writes down which answer was preferred.

    All that it asks is one run, under the run's cap.

    Parameters
    ----------
    space
        Asks.
    named
        The arms that are to meet; None draws them.
    max_nano
        What all duels together may cost, nano-USD; None leaves it to the caps.
    on_this_machine
        Only arms that run on this machine.
    rng
        Draws pairs and sides.

    Attributes
    ----------
    charged_nano
        What was charged so far, nano-USD.

    Raises
    ------
    UsageError
        If the profile has no such arm, or fewer than two.
    """

    def __init__(
        self,
        space: Workspace,
        *,
        named: tuple[str, str] | None,
        max_nano: int | None,
        on_this_machine: bool,
        rng: random.Random,
    ) -> None:
        self.space = space
        self.named = named
        self.max_nano = max_nano
        self.on_this_machine = on_this_machine
        self.rng = rng
        self.run_id = new_id(space.clock())
        self.charged_nano = 0
        self._keep = space.profile.log.keep
        names = [arm.name for arm in space.profile.arms]
        for name in named or ():
            if name not in names:
                raise UsageError(
                    f"--arms: profile {space.profile.name} has no arm {name!r}", hint=f"It has: {', '.join(names)}."
                )
        if len(names) < 2:
            raise UsageError(f"a duel takes two arms, and profile {space.profile.name} has {len(names)}")
        self._learn()

    def _learn(self) -> None:
        """Read again what all duels so far say."""
        self._rows = duels_of(self.space.ledger)

    # -- before ---------------------------------------------------------------------------------------------------

    def slate(self, question: Question) -> Slate:
        """Return which pairs could meet, with what each is predicted to cost and to tell.

        Raises
        ------
        ScrimpError
            If fewer than two arms can take the prompt, or no two can be paid.
        """
        ask, context = self.space.prepare(self._ask(question))
        question = replace(
            question, prompt=ask.prompt, params=ask.params, response_format=ask.response_format,
            guarded=ask.wishes.guarded, vault=ask.vault,
        )  # fmt: skip
        able = self._able(question, context)
        rooms = self._rooms(question)
        bounds = {name: option.bound_nano or 0 for name, option in able.items()}
        costs = {name: (option.cost_nano or 0) / 1e9 for name, option in able.items()}

        def allowed(first: str, second: str) -> bool:
            return too_small(rooms, bounds[first] + bounds[second]) is None

        own = {name: self._contestant(name) for name in able}  # of a pool only those that are near
        standing = fit_of(self._rows, own.values())
        places = {name: standing.places[who] for name, who in own.items()}
        pairs = weigh(standing.fit, places, costs, allowed=allowed)
        if not pairs:
            least = sum(sorted(bounds.values())[:2])
            room = too_small(rooms, least)
            assert room is not None  # noqa: S101 - else two arms would be left
            raise BudgetRefusedError(f"no duel is begun: {room.refusal(least, 'two answers').message}")
        return Slate(question, context, tuple(pairs), bounds, self.named)

    def _contestant(self, name: str) -> Contestant:
        arm = self.space.profile.arm(name)
        return Contestant(name, arm.model, instructions_id(arm))

    def _ask(self, question: Question, wishes: Wishes | None = None) -> Ask:
        wishes = replace(wishes or Wishes(on_this_machine=self.on_this_machine), guarded=question.guarded)
        return Ask(
            question.prompt, wishes, command="duel", tag="duel", keep=self._keep, run_id=self.run_id,
            params=question.params, response_format=question.response_format, output_limit=question.output_limit,
            vault=question.vault,
        )  # fmt: skip

    def _able(self, question: Question, context: Context) -> dict[str, Option]:
        """Return the arms that may meet: those named, else those that can take the prompt.

        Of a file each reads what is worth most for it.
        """
        if self.named is not None:
            chosen = {}
            for name in self.named:
                wishes = Wishes(arm=name, on_this_machine=self.on_this_machine)
                chosen[name] = self.space.decide(self._ask(question, wishes), context).choice.option(name)
            return chosen
        decision = self.space.decide(self._ask(question), context)
        weighed = decision.choice.weighed
        names = dict.fromkeys(bare_of(each.option.arm) for each in weighed if each.option.infeasible is None)
        able = {name: decision.choice.option(name) for name in names}
        if len(able) >= 2:
            return able
        missing = [each.option for each in weighed if each.option.infeasible is not None]
        why = "; ".join(f"{option.arm}: {option.infeasible}" for option in missing)
        message = f"a duel takes two arms that can take the prompt. {why}"
        raise BudgetRefusedError(message) if all(each.by_cap for each in missing) else ArmUnavailableError(message)

    def _rooms(self, question: Question) -> list[Room]:
        """Return what is left for both answers: caps on one call have been met by each."""
        space = self.space
        rooms = rooms_of(space.ledger, space.profile, self._ask(question), run_id=self.run_id, now=space.clock())
        rooms = [room for room in rooms if room.cap.key is not None and room.cap.arm is None]
        if self.max_nano is not None:
            left = self.max_nano - self.charged_nano
            rooms.append(Room(Cap("--max-cost:run", self.max_nano, f"run:{self.run_id}"), left))
        return rooms

    # -- asking ---------------------------------------------------------------------------------------------------

    def meet(self, slate: Slate) -> Duel:
        """Draw two arms and sides, ask both at once, and wait for both.

        Raises
        ------
        ScrimpError
            If nothing was asked: no arm can take it after all, or the caps leave too little.
        KeyboardInterrupt
            If interrupted: what was under way is settled first, and stays on record.
        """
        if slate.named is None:
            drawn = draw(slate.pairs, self.rng)
        else:
            first, second = slate.named if self.rng.random() < 0.5 else slate.named[::-1]
            drawn = Drawn(first, second)
        said: list[str] = []
        space = replace(self.space, say=said.append)
        limits = self._limits(drawn, slate)
        runs: list[tuple[Ask, Decision, Plan]] = []
        for arm, limit in zip((drawn.left, drawn.right), limits, strict=True):
            wishes = Wishes(arm=arm, max_cost_nano=limit, on_this_machine=self.on_this_machine)
            ask = self._ask(slate.question, wishes)
            if runs:  # one prompt, asked twice
                ask = replace(ask, redo_of=runs[0][1].id)
            runs.append((ask, *space.choose(ask, slate.context, Way())))
        answers, errors = self._ask_both(space, runs, slate.context)
        duel_id = None
        if answers[0] is not None and answers[1] is not None:
            try:
                duel_id = self._record(drawn, slate.question, (answers[0].id, answers[1].id))
            except LedgerError as error:  # both are paid for: they are shown
                errors = (error, None)
        return Duel(duel_id, slate.question, drawn, answers, errors, tuple(said))

    def _record(self, drawn: Drawn, question: Question, requests: tuple[str, str]) -> str:
        """Put a duel on record that is about to be judged; return its id."""
        now = self.space.clock()
        duel_id = new_id(now)
        left, right = self._contestant(drawn.left), self._contestant(drawn.right)
        add_duel(
            self.space.ledger, duel_id=duel_id, at=instant(now), profile=self.space.profile.name, requests=requests,
            arms=(left.arm, right.arm), models=(left.model, right.model),
            instructions=(left.instructions, right.instructions), propensity=drawn.propensity, chances=drawn.chances,
            prompt_key=None if self._keep == "money" else question.key,
        )  # fmt: skip
        return duel_id

    def _limits(self, drawn: Drawn, slate: Slate) -> tuple[int | None, int | None]:
        """Return what each side may cost, its retries included, so that both together stay below `max_nano`."""
        if self.max_nano is None:
            return None, None
        left, right = slate.bounds_nano[drawn.left], slate.bounds_nano[drawn.right]
        spare = (self.max_nano - self.charged_nano - left - right) // 2
        return left + spare, right + spare

    def _ask_both(
        self, space: Workspace, runs: Sequence[tuple[Ask, Decision, Plan]], context: Context
    ) -> tuple[tuple[Answer | None, Answer | None], tuple[ScrimpError | None, ScrimpError | None]]:
        scribe = begin_scribe(space.ledger)
        hands = [AwaitingHands(space, ask, scribe) for ask, _, _ in runs]

        async def both() -> list[Checked | BaseException]:
            await attend_loop()
            calls: list[Coroutine[Any, Any, Checked]] = [
                space.arun(ask, decision, context, plan, hands=own)
                for (ask, decision, plan), own in zip(runs, hands, strict=True)
            ]
            return await asyncio.gather(*calls, return_exceptions=True)

        try:
            found = asyncio.run(both())
        except KeyboardInterrupt as stop:
            for own, (_, decision, _) in zip(hands, runs, strict=True):
                stop.add_note(own.what_it_cost(decision.id))
            raise
        finally:
            scribe.close()
            self.charged_nano += sum(own.charged_nano for own in hands)
        for each in found:
            if isinstance(each, BaseException) and not isinstance(each, ScrimpError):
                raise each
        first, second = found
        return (
            (_answer(first), _answer(second)),
            (first if isinstance(first, ScrimpError) else None, second if isinstance(second, ScrimpError) else None),
        )

    # -- after ----------------------------------------------------------------------------------------------------

    def judge(self, duel: Duel, verdict: Verdict, why: str | None) -> None:
        """Write down which answer was preferred; the next pair is drawn by it."""
        assert duel.id is not None  # noqa: S101 - one with an answer missing is not judged
        duel.verdict, duel.why = verdict, why
        kept = why if self._keep == "all" else None
        give_verdict(self.space.ledger, duel.id, verdict, why=kept, at=instant(self.space.clock()))
        self._learn()

    def take_back(self, duel: Duel) -> None:
        """Undo a verdict: the duel counts for nothing."""
        assert duel.id is not None  # noqa: S101 - it was judged
        take_back(self.space.ledger, duel.id)
        duel.verdict = duel.why = None
        self._learn()


def _answer(found: Checked | BaseException) -> Answer | None:
    return None if isinstance(found, BaseException) else found.answer


def judged_before(ledger: Ledger | None, profile: str, named: tuple[str, str] | None) -> set[str]:
    """Return the keys of the questions that were judged in a profile: between the arms named, else between any."""
    if ledger is None:
        return set()
    judged = judged_prompts(ledger, profile)
    return {key for key, pairs in judged.items() if named is None or frozenset(named) in pairs}
