"""What a process works with, put together in one place: profile, prices, router, embedder, ledger, keys.

It is opened once and takes any number of requests, one after another or at the same time from several threads.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from scrimp.profiles.errors import LedgerError, UsageError
from scrimp.profiles.money import format_usd
from scrimp.routing.calls.faults import CallError
from scrimp.routing.checks.base import Given, run_checks
from scrimp.routing.deciding import against_caps
from scrimp.routing.ledger.caps import RefusedError, applicable_caps, check_zone
from scrimp.routing.ledger.reservations import mark_sent, price_id, reap, reserve
from scrimp.routing.ledger.store import instant, new_id

from .books import Settlement, write
from .drive import at_once, drive
from .home import find_key, make_decider
from .housekeeping import look_after
from .paid_call import CAP_POLL_S, LIVE_WAIT_S
from .plan_choice import PlanChooser, rooms_of
from .plan_run import Asked, Kit, plan_run
from .refusal import keyless_arms, refusal
from .request import Way

if TYPE_CHECKING:
    from collections.abc import Callable

    from scrimp.profiles.keys import Keys
    from scrimp.profiles.paths import Paths
    from scrimp.profiles.schema import Arm, Profile
    from scrimp.routing.calls.call import Call, Reply
    from scrimp.routing.checks.base import Verdict
    from scrimp.routing.deciding.decide import Decider
    from scrimp.routing.deciding.trace import Decision
    from scrimp.routing.ledger.reservations import Reservation
    from scrimp.routing.ledger.store import Ledger
    from scrimp.routing.plans.plan import Plan
    from scrimp.routing.prompts.context import Context
    from scrimp.routing.strategies.protocol import Test

    from .books import Record
    from .paid_call import Pause, Reserve, Send
    from .request import Answer, Ask, Checked

__all__ = ["Workspace"]


def _attempt(call: Call, on_text: Callable[[str], object] | None, on_send: Callable[[], object]) -> Reply:
    """Make one call, as `calls.dispatch.attempt`, which is imported on first use."""
    from scrimp.routing.calls.dispatch import attempt

    return attempt(call, on_text, on_send)


@dataclass(slots=True)
class Workspace:
    """What requests need, and the commands' way to ask.

    Attributes
    ----------
    decider, ledger
        Decides by the profile's arms, prices and router; the open ledger.
    key
        Returns an arm's key, or None where it needs none; raises where the arm cannot be called (no key, no engine).
    attempt
        Makes one call, as `calls.dispatch.attempt`.
    say
        Takes a line for the user while a request goes on (stderr).
    clock, timer, sleep, rng
        POSIX time, monotonic seconds (for deadlines), waiting, and randomness.
    """

    decider: Decider
    ledger: Ledger
    key: Callable[[Arm], str | None]
    attempt: Callable[..., Reply] = _attempt
    say: Callable[[str], None] = lambda _line: None
    clock: Callable[[], float] = time.time
    timer: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    rng: random.Random = field(default_factory=random.Random)
    _price_ids: dict[str, int] = field(default_factory=dict)

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
            warm()
        return cls(decider or make_decider(profile, paths, say=say), ledger, key, say=say, rng=rng)

    @property
    def profile(self) -> Profile:
        """Whose arms, caps and policy these are."""
        return self.decider.profile

    def look_after(self) -> None:
        """Before anything is paid, see to what earlier processes left (`housekeeping.look_after`)."""
        look_after(self.ledger, self.profile, now=self.clock())

    def price_id(self, arm: str) -> int:
        """Return the ledger's id of an arm's price, stored on first use."""
        known = self._price_ids.get(arm)
        if known is None:
            price = self.decider.price(arm)
            assert price is not None  # noqa: S101 - an arm without a price is not feasible
            model = self.profile.arm(arm).model
            known = price_id(self.ledger, price, model=model, table=self.decider.table, now=self.clock())
            self._price_ids[arm] = known
        return known

    def kit(self, **more: Any) -> Kit:
        """Return what a request needs to run; `more` sets further fields of the `Kit`."""
        return Kit(
            self.decider,
            self.key,
            self.price_id,
            say=self.say,
            clock=self.clock,
            timer=self.timer,
            rng=self.rng,
            embed=self.decider.embedder.embed,
            **more,
        )

    # -- deciding ---------------------------------------------------------------------------------------------------

    def decide(self, ask: Ask, context: Context) -> Decision:
        """Decide, with arms that have no key left out; wait a little where only live calls stand in the way.

        Raises
        ------
        ScrimpError
            Of the right kind when no arm can take the prompt: money (exit 3), keys (4), or anything else (2).
        """
        check_zone(self.ledger, self.profile)
        keyless = keyless_arms(self.profile, self.key, ask.wishes.arm, on_this_machine=ask.wishes.on_this_machine)
        deadline = self.timer() + LIVE_WAIT_S
        while True:
            decision = against_caps.decide(
                self.decider,
                self.ledger,
                ask.prompt,
                ask.wishes,
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
            why = refusal(ask, decision, keyless, profile=self.profile, ledger=self.ledger, now=self.clock())
            if not (isinstance(why, RefusedError) and why.only_live) or self.timer() >= deadline:
                raise why
            reap(self.ledger, now=self.clock())
            self.sleep(CAP_POLL_S)

    def choose(self, ask: Ask, context: Context, way: Way) -> tuple[Decision, Plan]:
        """Decide on a plan: one call to the arm that the policy draws, or several calls where the way allows it.

        Raises
        ------
        ScrimpError
            If no arm can take the prompt, or no plan can be paid to its end.
        """
        if way.several and ask.wishes.arm is not None:
            raise UsageError("-m takes one arm and --cascade chooses among plans: give one of the two")
        chooser = PlanChooser(self.decider, way, self.ledger)
        decision = self.decide(ask, context)
        run_id = ask.run_id or decision.id
        rooms = rooms_of(self.ledger, self.profile, ask, run_id=run_id, now=self.clock()) if way.several else []
        return chooser.choose(ask, decision, rooms)

    # -- asking -----------------------------------------------------------------------------------------------------

    def run(
        self,
        ask: Ask,
        decision: Decision,
        context: Context,
        plan: Plan,
        way: Way | None = None,
        *,
        on_text: Callable[[str], None] | None = None,
    ) -> Checked:
        """Make a plan's calls and return the answer that stands, passed or not; whatever happens is on record.

        Raises
        ------
        ScrimpError
            If no call gave an answer: money (exit 3), keys (4), the provider (5), or a later try (75).
        KeyboardInterrupt
            If interrupted: the call under way is settled first, and what had come of its answer is kept.
        """
        way = way or Way()
        hands = _BlockingHands(self, ask, on_text)
        records_steps = way.records_steps()
        asked = Asked(ask, decision, context, plan, way.checks, records_steps=records_steps)
        try:
            checked = at_once(drive(plan_run(asked, self.kit()), hands))
        except KeyboardInterrupt as stop:
            stop.add_note(hands.what_it_cost(decision.id))
            raise
        except BaseException:
            if records_steps and hands.n_settled > 1:
                self.say(f"{format_usd(hands.charged_nano)} was charged for this prompt")
            raise
        if hands.unlogged is not None:
            why = f"the answer could not be logged, and stays charged at its upper bound: {hands.unlogged}"
            answer = replace(checked.answer, cost_status="unknown", notes=(*checked.answer.notes, why))
            checked = replace(checked, answer=answer)
        return checked

    def answer(self, ask: Ask, context: Context | None = None, way: Way | None = None) -> Answer:
        """Decide and ask; return the answer.

        Raises
        ------
        ScrimpError
            If there is none.
        """
        if context is None:
            (context,) = self.decider.contexts([ask.prompt.text])
        decision, plan = self.choose(ask, context, way or Way())
        return self.run(ask, decision, context, plan, way).answer


class _BlockingHands:
    """Does what one request wants done, one thing after another, in the thread that asks."""

    def __init__(self, space: Workspace, ask: Ask, on_text: Callable[[str], None] | None) -> None:
        self.space = space
        self.ask = ask
        self.on_text = on_text
        self.unlogged: str | None = None
        self.n_settled = 0
        self.charged_nano = 0
        self.unknown_nano = 0

    def what_it_cost(self, request_id: str) -> str:
        """Return the line for the user about a prompt that was interrupted."""
        if not self.charged_nano:
            return "interrupted: nothing is charged for this prompt"
        charged = f"interrupted: {format_usd(self.charged_nano)} is charged for this prompt"
        if self.unknown_nano:
            charged += ", as much as the call that was under way may cost (`scrimp spend --open`)"
        return charged if self.ask.keep == "money" else f"{charged}; `scrimp log show {request_id}` has it"

    async def reserve(self, wanted: Reserve) -> Reservation:
        from scrimp.routing.calls.dispatch import prepare

        if self.space.attempt is _attempt:
            prepare()  # what takes seconds is done before anything is reserved: a kill meanwhile costs nothing
        space, charge = self.space, wanted.charge
        now = space.clock()
        caps = applicable_caps(space.ledger, space.profile, charge.arm, now=now, run_id=charge.run_id)
        request = None if wanted.request is None else wanted.request()
        return reserve(
            space.ledger, charge, (*caps, *wanted.own_caps), now=now, attempt=wanted.attempt, request=request
        )

    async def send(self, wanted: Send) -> Reply | CallError:
        ticket = wanted.ticket

        def leaving() -> None:
            mark_sent(self.space.ledger, wanted.reservation.id)
            ticket.sent = True

        def heard(text: str) -> None:
            ticket.text.append(text)
            assert self.on_text is not None  # noqa: S101 - else nobody hears
            self.on_text(text)

        try:
            streams = wanted.streams and self.on_text is not None
            return self.space.attempt(wanted.call, heard if streams else None, leaving)
        except CallError as error:
            return error

    async def pause(self, wanted: Pause) -> None:
        if wanted.for_caps:
            reap(self.space.ledger, now=self.space.clock())
        self.space.sleep(wanted.seconds)

    async def test(self, wanted: Test) -> tuple[Verdict, ...]:
        return run_checks(wanted.checks, wanted.text, Given(self.ask.prompt.text, wanted.finish_reason))

    async def write(self, records: list[Record]) -> None:
        settled = [record for record in records if isinstance(record, Settlement)]
        self.n_settled += len(settled)
        self.charged_nano += sum(record.charged_nano for record in settled)
        self.unknown_nano += sum(record.charged_nano for record in settled if record.cost_nano is None)
        now = self.space.clock()
        write(self.space.ledger, records, now=now, at=instant(now))

    async def finish(self, records: list[Record], outcome: Checked | BaseException) -> None:
        try:
            await self.write(records)
        except LedgerError as error:
            if isinstance(outcome, BaseException):
                raise
            # It is paid for, so it is shown. The reservation stays charged, and is `unknown` once this process ends.
            self.unlogged = error.message
