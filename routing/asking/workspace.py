"""What a process works with, put together in one place: profile, prices, router, embedder, ledger, keys.

It is opened once and takes any number of requests: one after another, at the same time from several threads, or many at
once in an event loop.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from scrimp.profiles.errors import BudgetRefusedError, ScrimpError, UsageError
from scrimp.profiles.money import format_usd
from scrimp.routing.calls.call import TextDelta
from scrimp.routing.deciding import against_caps
from scrimp.routing.deciding.outlook import risk_of
from scrimp.routing.guard.verdict import Outcome
from scrimp.routing.ledger.caps import RefusedError, check_zone
from scrimp.routing.ledger.reservations import price_id, reap
from scrimp.routing.ledger.store import new_id
from scrimp.routing.ledger.suspensions import suspensions
from scrimp.routing.strategies.bid_memory import recalled, remembering

from .asked import Asked, Kit
from .drive import at_once, drive
from .experience import Experience
from .guarding import (
    guarded,
    partly_restored,
    refused_by_guard,
    restored,
    risk_met,
    risk_noted,
    sent_elsewhere,
    shielded,
    still_shielded,
    warnings,
    way_shielded,
)
from .hands import BlockingHands
from .home import find_key, make_decider
from .housekeeping import look_after
from .kept import with_kept
from .named_plans import checks_of
from .paid_call import CAP_POLL_S, LIVE_WAIT_S
from .plan_choice import PlanChooser, arms_in
from .plan_rooms import rooms_of
from .plan_run import plan_run
from .read import read_for
from .read_labels import informed
from .refusal import keyless_arms, refusal
from .remember import with_memory, with_summary
from .request import Way

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from scrimp.profiles.keys import Keys
    from scrimp.profiles.paths import Paths
    from scrimp.profiles.schema import Arm, Profile
    from scrimp.routing.calls.call import Call, Delta, Reply
    from scrimp.routing.deciding.decide import Decider
    from scrimp.routing.deciding.trace import Decision
    from scrimp.routing.guard.sentry import Sentry
    from scrimp.routing.ledger.store import Ledger
    from scrimp.routing.plans.plan import Plan
    from scrimp.routing.prompts.context import Context

    from .awaiting import AwaitingHands
    from .request import Answer, Ask, Checked

__all__ = ["Workspace"]


def _attempt(call: Call, on_delta: Callable[[Delta], object] | None, on_send: Callable[[], object]) -> Reply:
    """Make one call, as `calls.dispatch.attempt`, which is imported on first use."""
    from scrimp.routing.calls.dispatch import attempt

    return attempt(call, on_delta, on_send)


async def _aattempt(call: Call, on_send: Callable[[], object], on_delta: Callable[[Delta], object] | None) -> Reply:
    """Make one call without blocking, as `calls.dispatch.aattempt`."""
    from scrimp.routing.calls.dispatch import aattempt

    return await aattempt(call, on_send, on_delta)


@dataclass(slots=True)
class Workspace:
    """What requests need, and the commands' way to ask.

    Attributes
    ----------
    decider, ledger
        Decides by the profile's arms, prices and router; the open ledger.
    key
        Returns an arm's key, or None where it needs none; raises where the arm cannot be called (no key, no engine).
    attempt, aattempt
        Make one call, as `calls.dispatch.attempt` and `aattempt`.
    say
        Takes a line for the user while a request goes on (stderr).
    clock, timer, sleep, rng
        POSIX time, monotonic seconds (for deadlines), waiting, and randomness.
    reader
        The same ledger once more, to read while a scribe writes; None reads with the one that writes.
    cache
        The folder of the cache; None keeps nothing.
    experience
        What earlier calls say of how long answers are, and how long they take.
    on_embedded
        Told how far the embedding of a guard's examples has come, the first time: how many, of how many.
    confirm
        Asks the user whether to go on; None where there is nobody to be asked.
    """

    decider: Decider
    ledger: Ledger
    key: Callable[[Arm], str | None]
    attempt: Callable[..., Reply] = _attempt
    aattempt: Callable[..., Awaitable[Reply]] = _aattempt
    say: Callable[[str], None] = lambda _line: None
    clock: Callable[[], float] = time.time
    timer: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    rng: random.Random = field(default_factory=random.Random)
    reader: Ledger | None = None
    cache: Path | None = None
    experience: Experience = field(default_factory=Experience)
    on_embedded: Callable[[int, int], None] = lambda _done, _total: None
    confirm: Callable[[str], bool] | None = None
    _price_ids: dict[str, int] = field(default_factory=dict)
    _sentry: Sentry | None = None
    _ready: set[str] = field(default_factory=set)

    @classmethod
    def open(
        cls,
        profile: Profile,
        paths: Paths,
        ledger: Ledger,
        keys: Keys | None,
        *,
        decider: Decider | None = None,
        say: Callable[[str], None],
        rng: random.Random,
        reader: Ledger | None = None,
        on_embedded: Callable[[int, int], None] = lambda _done, _total: None,
    ) -> Workspace:
        """Put together what requests of a profile are asked with.

        Parameters
        ----------
        keys
            For the calls that will be made: LiteLLM then is imported beside everything else. None makes no calls.
        decider
            What decides, where it has been made already.
        """

        def key(arm: Arm) -> str | None:
            return None if keys is None else find_key(arm, keys)

        if keys is not None:
            from scrimp.routing.calls.dispatch import warm

            keys.watch(profile.arms)
            warm(arm.model for arm in profile.arms)
        return cls(
            decider or make_decider(profile, paths, say=say),
            ledger,
            key,
            say=say,
            rng=rng,
            reader=reader,
            cache=paths.cache,
            on_embedded=on_embedded,
        )

    @property
    def profile(self) -> Profile:
        """Whose arms, caps and policy these are."""
        return self.decider.profile

    def paying(self, arm: str) -> Profile:
        """Return the profile with an arm, which may be of its pool: whose caps stand on calls of it."""
        return self.decider.profile_with(arm)

    def look_after(self) -> None:
        """Before anything is paid, see to what earlier processes left (`housekeeping.look_after`)."""
        look_after(self.ledger, self.profile, now=self.clock())

    def make_ready(self, arm: str) -> None:
        """Import or load what calls to an arm take, where that is still to be done: a kill meanwhile costs nothing."""
        from scrimp.routing.calls.dispatch import get_ready

        if self.attempt is _attempt:
            get_ready(self.decider.arm(arm).model)

    async def amake_ready(self, arm: str) -> None:
        """Do as `make_ready` in a thread, the first time."""
        import asyncio

        from scrimp.routing.calls.dispatch import get_ready

        model = self.decider.arm(arm).model
        if model not in self._ready and self.aattempt is _aattempt:
            await asyncio.to_thread(get_ready, model)
            self._ready.add(model)

    def price_id(self, arm: str) -> int:
        """Return the ledger's id of an arm's price, stored on first use."""
        known = self._price_ids.get(arm)
        if known is None:
            price = self.decider.price(arm)
            assert price is not None  # noqa: S101 - an arm without a price is not feasible
            model = self.decider.arm(arm).model
            known = price_id(self.ledger, price, model=model, table=self.decider.table, now=self.clock())
            self._price_ids[arm] = known
        return known

    def kit(self, **more: Any) -> Kit:
        """Return what a request needs to run; `more` sets further fields of the `Kit`."""
        return Kit(
            self.experience.of(self.decider, self.reader or self.ledger, now=self.clock()),
            self.key,
            self.price_id,
            say=self.say,
            clock=self.clock,
            timer=self.timer,
            rng=self.rng,
            embed=self.decider.embedder.embed,
            **more,
        )

    @property
    def sentry(self) -> Sentry:
        """The profile's guards, opened on first use."""
        if self._sentry is None:
            from scrimp.routing.guard.sentry import Sentry

            self._sentry = Sentry.open(self.profile, self.decider.embedder, self.cache, self.on_embedded)
        return self._sentry

    def prepare(self, ask: Ask, way: Way | None = None) -> tuple[Ask, Context]:
        """Return a request as it may go out: redacted, looked at by the guards, with what is read of its files."""
        ask = self.shield(ask)
        (context,) = self.decider.contexts([ask.prompt.text])
        return self.read(self.guard(ask, context), context, way), context

    def shield(self, ask: Ask) -> Ask:
        """Return a request with what is private replaced, or looked at (`guarding.shielded`)."""
        return shielded(ask, self.profile)

    def guard(self, ask: Ask, context: Context) -> Ask:
        """Return a request with what the guards say of it; what the user should know is said."""
        ask = guarded(ask, context, self.sentry)
        for line in warnings(ask.wishes.guarded):
            self.say(line)
        return ask

    def read(self, ask: Ask, context: Context, way: Way | None = None) -> Ask:
        """Return a request with what is sent of its conversation, and what each reading of its files sends.

        Parameters
        ----------
        context
            Of its question.
        """
        ask = with_memory(ask, context, self.decider, now=self.clock())
        if ask.memory == "summary":
            ask = still_shielded(with_summary(ask, context, self.decider, self.ledger, blocked=self._blocked(ask)))
        if ask.rephrase is not None:
            from .to_rephrase import with_rephrasing

            ledger = self.reader or self.ledger
            ask, why_not = with_rephrasing(ask, context, self.decider, ledger, blocked=self._blocked(ask))
            if why_not is not None:
                self.say(why_not)
        ask = read_for(ask, context, self.decider.embedder, way=way, cache=self.cache)
        prompt = with_kept(ask.prompt, self.decider, self.reader or self.ledger, now=self.clock())
        if prompt.readings is not None:
            self.decider = informed(self.decider, self.reader or self.ledger)
        return ask if prompt is ask.prompt else replace(ask, prompt=prompt)

    def _blocked(self, ask: Ask) -> dict[str, str]:
        """Return the arms that cannot be called now, whatever they are asked, and why."""
        keyless = keyless_arms(self.profile, self.key, None, on_this_machine=ask.wishes.on_this_machine)
        blocked = {name: error.message for name, error in keyless.items()}
        return blocked | suspensions(self.ledger, self.profile.name)

    # -- deciding ---------------------------------------------------------------------------------------------------

    def decide(self, ask: Ask, context: Context) -> Decision:
        """Decide, with arms that have no key left out; wait a little where only live calls stand in the way.

        Raises
        ------
        ScrimpError
            Of the right kind when no arm can take the prompt: money (exit 3), keys (4), or anything else (2).
        """
        return at_once(self._decide(self._decider(ask, context), ask, context, self._sleep))

    async def _sleep(self, seconds: float) -> None:
        self.sleep(seconds)

    def _decider(self, ask: Ask, context: Context, way: Way | None = None) -> Decider:
        """Return what decides a request: of a pool it sees the arms that are near, and those that are asked for."""
        decider, wishes = self.decider, ask.wishes
        if wishes.arm is not None:
            return decider.with_arms((wishes.arm, *arms_in(way)))
        stays = () if wishes.staying is None else (wishes.staying.arm,)
        return decider.narrowed(ask.prompt.text, context, (*stays, *arms_in(way)))

    async def _adecider(self, ask: Ask, context: Context, way: Way | None = None) -> Decider:
        """Do as `_decider`, in a thread where files are looked at."""
        import asyncio

        if not self.decider.rates:
            return self.decider
        return await asyncio.to_thread(self._decider, ask, context, way)

    async def _decide(
        self, decider: Decider, ask: Ask, context: Context, sleep: Callable[[float], Awaitable[None]]
    ) -> Decision:
        ledger, profile = self.reader or self.ledger, decider.profile
        check_zone(ledger, profile)
        keyless = keyless_arms(profile, self.key, ask.wishes.arm, on_this_machine=ask.wishes.on_this_machine)
        deadline = self.timer() + LIVE_WAIT_S
        while True:
            decision = against_caps.decide(
                decider,
                ledger,
                ask.prompt,
                ask.wishes,
                held_nano=ask.held_nano,
                now=self.clock(),
                rng=self.rng,
                decision_id=new_id(self.clock()),
                context=context,
                blocked={name: error.message for name, error in keyless.items()},
                cap_override_nano=ask.cap_override_nano,
                run_id=ask.run_id,
                output_limit=ask.output_limit,
            )
            if decision.arm is not None:
                return decision
            why = refusal(ask, decision, keyless, profile=profile, ledger=ledger, now=self.clock())
            if not (isinstance(why, RefusedError) and why.only_live) or self.timer() >= deadline:
                raise why
            reap(self.ledger, now=self.clock())
            await sleep(CAP_POLL_S)

    def choose(self, ask: Ask, context: Context, way: Way) -> tuple[Decision, Plan]:
        """Decide on a plan: one call to the arm that the policy draws, or several calls where the way allows it.

        Raises
        ------
        ScrimpError
            If no arm can take the prompt, or no plan can be paid to its end.
        """
        return at_once(self._choose(self._decider(ask, context, way), ask, context, way, self._sleep))

    async def achoose(self, ask: Ask, context: Context, way: Way) -> tuple[Decision, Plan]:
        """As `choose`, without blocking."""
        import asyncio

        return await self._choose(await self._adecider(ask, context, way), ask, context, way, asyncio.sleep)

    async def _choose(
        self, decider: Decider, ask: Ask, context: Context, way: Way, sleep: Callable[[float], Awaitable[None]]
    ) -> tuple[Decision, Plan]:
        if (way.cascade or way.plan is not None) and ask.wishes.arm is not None:
            raise UsageError("-m takes one arm and --cascade chooses among plans: give one of the two")
        way = way_shielded(way, ask)
        ledger = self.reader or self.ledger
        decider = self.experience.of(decider, ledger, now=self.clock())
        chooser = PlanChooser(decider, way, ledger)

        async def chosen(ask: Ask) -> tuple[Decision, Plan]:
            decision = await self._decide_risk(decider, ask, context, sleep)
            run_id = ask.run_id or decision.id
            rooms = rooms_of(ledger, decider.profile, ask, run_id=run_id, now=self.clock()) if way.several else []
            return chooser.choose(ask, decision, rooms)

        try:
            decision, plan = await chosen(ask)
        except BudgetRefusedError:
            if ask.rephrasing is None:
                raise
            ask = replace(ask, rephrasing=None)
            decision, plan = await chosen(ask)
            self.say("the caps leave too little for other words beside the answer: it is asked as it is")
        if (rephrasing := ask.rephrasing) is not None:
            from .rephrasing import asks_own_words

            if asks_own_words(plan):
                self.say("this plan asks in words of its own: no phrasings are bought")
            else:
                decision = replace(decision, rephrase=rephrasing.to_dict())
        for remark in (decision.plan or {}).get("remarks", ()):
            self.say(remark)
        return remembering(ledger, decision, plan, context), plan

    async def _decide_risk(
        self, decider: Decider, ask: Ask, context: Context, sleep: Callable[[float], Awaitable[None]]
    ) -> Decision:
        """Decide, and do with what is likely to be answered wrongly as the profile says: `guarding.risked`, awaited."""
        profile = decider.profile
        decision = await self._decide(decider, ask, context, sleep)
        found = risk_of(decision, profile.guard)
        if found is None:
            return decision
        if (wishes := sent_elsewhere(ask.wishes, found, profile)) is not None:
            decision = risk_noted(await self._decide(decider, replace(ask, wishes=wishes), context, sleep), found)
        else:
            decision = risk_met(ask, decision, found, profile, confirm=self.confirm)
            if (refused := refused_by_guard(decision)) is not None:
                raise refused
        if found.outcome in (Outcome.WARNED, Outcome.CHANGED):
            self.say(found.why)
        return decision

    # -- asking -----------------------------------------------------------------------------------------------------

    def run(
        self,
        ask: Ask,
        decision: Decision,
        context: Context,
        plan: Plan,
        way: Way | None = None,
        *,
        on_text: Callable[[str], object] | None = None,
    ) -> Checked:
        """Make a plan's calls and return the answer that stands, passed or not; whatever happens is on record.

        Parameters
        ----------
        on_text
            Takes the pieces of the answer as they come, where the plan lets them be shown.

        Raises
        ------
        ScrimpError
            If no call gave an answer: money (exit 3), keys (4), the provider (5), or a later try (75).
        KeyboardInterrupt
            If interrupted: the call under way is settled first, and what had come of its answer is kept.
        """

        def heard(delta: Delta, _arm: str) -> None:
            if isinstance(delta, TextDelta) and on_text is not None:
                on_text(delta.text)

        hands = BlockingHands(self, ask, None if on_text is None else heard)
        asked = self._asked(ask, decision, context, plan, way)
        try:
            checked = at_once(drive(plan_run(asked, self.kit()), hands))
        except KeyboardInterrupt as stop:
            stop.add_note(hands.what_it_cost(decision.id))
            raise
        except BaseException as error:
            partly_restored(error, ask)
            if asked.records_steps and hands.n_settled > 1:
                self.say(f"{format_usd(hands.charged_nano)} was charged for this prompt")
            raise
        return restored(_noted(checked, hands.unlogged), ask)

    async def arun(
        self,
        ask: Ask,
        decision: Decision,
        context: Context,
        plan: Plan,
        way: Way | None = None,
        *,
        hands: AwaitingHands,
    ) -> Checked:
        """As `run`, without blocking.

        Parameters
        ----------
        hands
            Carry it out, and know afterwards what it cost, whatever came of it.

        Raises
        ------
        ScrimpError
            As `run`.
        asyncio.CancelledError
            If cancelled: the call under way is settled first, and what had come of its answer is kept.
        """
        try:
            checked = await drive(plan_run(self._asked(ask, decision, context, plan, way), self.kit()), hands)
        except ScrimpError as error:
            partly_restored(error, ask)
            raise
        return restored(_noted(checked, hands.unlogged), ask)

    def _asked(self, ask: Ask, decision: Decision, context: Context, plan: Plan, way: Way | None) -> Asked:
        way = way or Way()
        checks, memory = checks_of(way, decision, self.profile), recalled(self.reader or self.ledger, decision)
        steps = way.records_steps(decision) or ask.summing is not None or decision.rephrase is not None
        return Asked(ask, decision, context, plan, checks, records_steps=steps, memory=memory)

    def answer(self, ask: Ask, context: Context | None = None, way: Way | None = None) -> Answer:
        """Decide and ask; return the answer.

        Raises
        ------
        ScrimpError
            If there is none.
        """
        ask = self.shield(ask)
        if context is None:
            (context,) = self.decider.contexts([ask.prompt.text])
        ask = self.read(self.guard(ask, context), context, way)
        decision, plan = self.choose(ask, context, way or Way())
        return self.run(ask, decision, context, plan, way).answer


def _noted(checked: Checked, unlogged: str | None) -> Checked:
    """Return an answer with a remark where it could not be logged."""
    if unlogged is None:
        return checked
    why = f"the answer could not be logged, and stays charged at its upper bound: {unlogged}"
    answer = replace(checked.answer, cost_status="unknown", notes=(*checked.answer.notes, why))
    return replace(checked, answer=answer)
