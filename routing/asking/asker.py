"""The way of one prompt: decide, reserve, dispatch, settle, answer; retries and fallbacks are each paid for apart."""

from __future__ import annotations

import random
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from scrimp.profiles.errors import ArmUnavailableError, BudgetRefusedError, LedgerError, ScrimpError
from scrimp.profiles.money import format_usd
from scrimp.routing.deciding.options import runs_here
from scrimp.routing.ledger.caps import Cap, RefusedError, applicable_caps, check_caps, check_zone
from scrimp.routing.ledger.reservations import Charge, Reservation, SuspendedError, price_id, reap, reserve, settle
from scrimp.routing.ledger.store import instant, new_id
from scrimp.routing.prices.price import saved_nano

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from scrimp.profiles.schema import Arm
    from scrimp.routing.calls.call import Call, Reply
    from scrimp.routing.calls.faults import CallError
    from scrimp.routing.deciding.decide import Decider
    from scrimp.routing.deciding.policy import Option
    from scrimp.routing.deciding.trace import Decision
    from scrimp.routing.ledger.store import Ledger
    from scrimp.routing.prices.price import ArmPrice
    from scrimp.routing.prices.usage import Usage, UsageStatus
    from scrimp.routing.prompts.context import Context
from scrimp.routing.deciding.against_caps import decide

from .log_rows import attempt_row, request_row
from .request import Answer, Ask, Progress

__all__ = ["Asker"]


LIVE_WAIT_S: Final = 10.0
"""How long an ask waits when only other calls in flight stand in its way."""


class Asker:
    """Asks prompts of one profile's arms.

    Parameters
    ----------
    decider, ledger
        How to choose, and where to write.
    attempt
        Makes one call: `scrimp.routing.calls.dispatch.attempt`, or a stand-in.
    key
        Returns an arm's key, or None where it needs none; raises where the arm cannot be called (no key, no engine).
    say
        Takes a line for the user while the request goes on (stderr).
    clock, sleep, rng
        POSIX time, waiting, and randomness.
    """

    def __init__(
        self,
        decider: Decider,
        ledger: Ledger,
        *,
        attempt: Callable[..., Reply],
        key: Callable[[Arm], str | None],
        say: Callable[[str], None] = lambda _line: None,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
        rng: random.Random | None = None,
    ) -> None:
        self.decider = decider
        self.ledger = ledger
        self.attempt = attempt
        self.key = key
        self.say = say
        self.clock = clock
        self.sleep = sleep
        self.rng = rng or random.Random()  # noqa: S311 - exploration, not secrets

    # -- deciding ---------------------------------------------------------------------------------------------------

    def decide(self, ask: Ask, context: Context) -> Decision:
        """Decide, with arms that have no key left out.

        Raises
        ------
        ScrimpError
            Of the right kind when no arm can take the prompt: money (exit 3), keys (4), or anything else (2).
        """
        check_zone(self.ledger, self.decider.profile)
        keyless: dict[str, ScrimpError] = {}
        for arm in self.decider.profile.arms:
            if ask.wishes.arm in (None, arm.name) and not (ask.wishes.on_this_machine and not runs_here(arm)):
                try:
                    self.key(arm)
                except ScrimpError as error:
                    keyless[arm.name] = error
        deadline = self.clock() + LIVE_WAIT_S
        while True:
            decision = decide(
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
            )
            if decision.arm is not None:
                return decision
            refusal = self._refusal(ask, decision, keyless)
            if not (isinstance(refusal, RefusedError) and refusal.only_live) or self.clock() >= deadline:
                raise refusal
            reap(self.ledger, now=self.clock())
            self.sleep(0.2)

    def _refusal(self, ask: Ask, decision: Decision, keyless: Mapping[str, ScrimpError]) -> ScrimpError:
        """Return the error that says why no arm can take the prompt."""
        options = [
            weighed.option for weighed in decision.choice.weighed if ask.wishes.arm in (None, weighed.option.arm)
        ]
        dear = [option for option in options if option.by_cap]
        if dear:
            cheapest = min(dear, key=lambda option: option.bound_nano or 0)
            if ask.wishes.max_cost_nano is not None and (cheapest.bound_nano or 0) > ask.wishes.max_cost_nano:
                return BudgetRefusedError(
                    f"refused by --max-cost {format_usd(ask.wishes.max_cost_nano)}: {cheapest.arm}, the cheapest arm "
                    f"that could take this, could cost up to {format_usd(cheapest.bound_nano)}",
                    hint="Raise --max-cost, or lower the arm's max_output_tokens.",
                )
            now = self.clock()
            if ask.cap_override_nano is not None:
                return BudgetRefusedError(
                    f"refused by --cap-override {format_usd(ask.cap_override_nano)}: {cheapest.arm}, the cheapest arm "
                    f"that could take this, could cost up to {format_usd(cheapest.bound_nano)}",
                    hint="Raise --cap-override, or lower the arm's max_output_tokens.",
                )
            try:
                caps = applicable_caps(
                    self.ledger, self.decider.profile, cheapest.arm, now=now, run_id=ask.run_id or decision.id
                )
                check_caps(self.ledger, caps, cheapest.bound_nano or 0, now=now)
            except RefusedError as refusal:
                refusal.message = f"{cheapest.arm}, the cheapest arm that could take this, was {refusal.message}"
                refusal.args = (refusal.message,)
                return refusal
            return BudgetRefusedError(cheapest.infeasible or "a cap leaves too little")
        if keyless and all(option.arm in keyless for option in options):
            return next(iter(keyless.values()))
        reasons = "; ".join(f"{option.arm}: {option.infeasible}" for option in options)
        return ArmUnavailableError(
            f"no arm of profile {self.decider.profile.name} can take this prompt ({reasons})",
            hint="`scrimp models` shows what each arm can take.",
        )

    # -- asking -----------------------------------------------------------------------------------------------------

    def run(
        self, ask: Ask, decision: Decision, context: Context, *, on_text: Callable[[str], None] | None = None
    ) -> Answer:
        """Dispatch a decided prompt and return its answer; whatever happens, what was spent is on record.

        Raises
        ------
        BudgetRefusedError
            If between decision and reservation the caps filled up.
        AuthError, TryAgainError, ProviderError
            If every attempt failed.
        KeyboardInterrupt
            If interrupted: the attempt is settled first, the partial answer kept.
        """
        progress = Progress()
        started = self.clock()
        queue = [decision.choice.taken, *decision.fallbacks()]
        refusal: ScrimpError | None = None
        for nth, option in enumerate(queue):
            if nth:
                self.say(f"falling back to {option.arm}")
            try:
                answer = self.try_arm(
                    ask, decision, context, option, progress, on_text, started, kind="fallback" if nth else "first"
                )
            except (BudgetRefusedError, SuspendedError) as error:
                refusal = refusal or error
                continue
            if answer is not None:
                return answer
            if progress.shown:
                break  # part of an answer is on the screen: another one would be glued to it
        failure = self.failure(progress) if progress.errors else refusal or ArmUnavailableError("no arm could be tried")
        self.close(ask, decision, status="failed", error=failure.message, progress=progress)
        raise failure

    def try_arm(
        self,
        ask: Ask,
        decision: Decision,
        context: Context,
        option: Option,
        progress: Progress,
        on_text: Callable[[str], None] | None,
        started: float,
        *,
        kind: str = "first",
        record: bool = True,
        vary: bool = False,
    ) -> Answer | None:
        """Try one arm, again where that may help; return None when it failed for good.

        Parameters
        ----------
        kind
            What the log calls the attempt.
        record
            Whether its answer is the request's; not so that of a judge.
        vary
            Whether it is a further sample of an arm: asked at temperature 1 unless the arm sets its own.
        """
        from scrimp.routing.calls.backoff import Backoff
        from scrimp.routing.calls.faults import CallError

        arm = self.decider.profile.arm(option.arm)
        price = self.decider.price(option.arm)
        if price is None or option.bound_nano is None:
            return None
        backoff = Backoff(deadline_s=max(0.0, started + ask.deadline_s - self.clock()), rng=self.rng, clock=self.clock)
        while True:
            call = self._call(
                ask, arm, option, stream=on_text is not None, left_s=started + ask.deadline_s - self.clock()
            )
            if vary and not call.params.get("temperature"):
                call = replace(call, params={**call.params, "temperature": 1.0})
            reservation = self._reserve(ask, decision, context, option, price, progress, kind)
            received: list[str] = []

            def heard(text: str, received: list[str] = received) -> None:
                received.append(text)
                if on_text is not None:
                    progress.shown += len(text)
                    on_text(text)

            progress.n_attempts += 1
            try:
                reply = self.attempt(call, heard if on_text is not None else None)
            except CallError as error:
                self._settle_failure(reservation, option, price, error, progress, received, keep=ask.keep)
                progress.errors.append((option.arm, error))
                delay = backoff.next_delay(error) if error.retryable and not progress.shown else None
                if delay is None:
                    self.say(f"{option.arm}: {error.message}")
                    return None
                self.say(f"{option.arm}: {error.message}; trying again in {delay:.1f} s")
                self._wait(delay)
                kind = "retry"
                continue
            except BaseException as error:
                # Ctrl-C, a closed pipe, a bug: the call may have been made, so it stays charged.
                interrupted = isinstance(error, KeyboardInterrupt)
                settle(
                    self.ledger,
                    reservation,
                    cost_nano=None,
                    now=self.clock(),
                    attempt={"error_kind": "interrupted" if interrupted else type(error).__name__},
                    note="interrupted" if interrupted else "ended early",
                )
                progress.charged_nano += reservation.bound_nano
                self.close(
                    ask, decision, status="interrupted", error="interrupted", progress=progress, text="".join(received)
                )
                raise
            return self._finish(ask, decision, option, price, reservation, reply, progress, record=record)

    def _wait(self, seconds: float) -> None:
        """Wait before an attempt is made again."""
        self.sleep(seconds)

    def _call(self, ask: Ask, arm: Arm, option: Option, *, stream: bool, left_s: float) -> Call:
        from scrimp.routing.calls.call import Call

        return Call(
            model=arm.model,
            messages=ask.prompt.messages(),
            max_output_tokens=option.output_limit,
            api_base=arm.api_base,
            api_key=self.key(arm),
            params=arm.params,
            reasoning_effort=arm.reasoning_effort,
            response_format=ask.prompt.response_format(),
            stream=stream,
            timeout_s=arm.timeout_s,
            deadline_s=max(1.0, left_s),
        )

    def _reserve(
        self,
        ask: Ask,
        decision: Decision,
        context: Context,
        option: Option,
        price: ArmPrice,
        progress: Progress,
        kind: str,
    ) -> Reservation:
        """Write the intent to disk and reserve the bound; wait a little where only live calls stand in the way."""
        profile = self.decider.profile
        deadline = self.clock() + LIVE_WAIT_S
        while True:
            now = self.clock()
            run_id = ask.run_id or decision.id
            caps = list(applicable_caps(self.ledger, profile, option.arm, now=now, run_id=run_id))
            if ask.wishes.max_cost_nano is not None:
                caps.append(Cap("--max-cost:call", ask.wishes.max_cost_nano - progress.charged_nano, None))
            charge = Charge(
                request_id=decision.id,
                profile=profile.name,
                arm=option.arm,
                bound_nano=option.bound_nano or 0,
                source=ask.command,
                run_id=run_id,
                tag=ask.tag,
                price_id=price_id(self.ledger, price, model=option.model, table=self.decider.table, now=now),
                cap_override_nano=ask.cap_override_nano,
            )
            attempt = {
                "request_id": decision.id,
                "seq": progress.n_attempts + 1,
                "kind": kind,
                "arm": option.arm,
                "requested_model": option.model,
                "started_at": instant(now),
                "input_bound": option.input_bound,
                "output_limit": option.output_limit,
            }
            request = None if progress.logged or ask.keep == "money" else request_row(ask, decision, context, now)
            try:
                reservation = reserve(self.ledger, charge, caps, now=now, attempt=attempt, request=request)
            except RefusedError as refusal:
                reap(self.ledger, now=now)
                if not refusal.only_live or now >= deadline:
                    raise
                self.sleep(0.2)
                continue
            progress.logged = True
            return reservation

    def _settle_failure(
        self,
        reservation: Reservation,
        option: Option,
        price: ArmPrice,
        error: CallError,
        progress: Progress,
        received: list[str],
        *,
        keep: str,
    ) -> None:
        """Give back what a failed call certainly did not cost; charge what it reported, or else the whole bound."""
        usage = None if error.reply is None else error.reply.usage
        if usage is not None and self._check_usage(option, usage) != "reported":
            usage = None
        certain = error.billable == "no" and not received and usage is None
        cost = 0 if certain else None if usage is None else price.cost_nano(usage)
        _, breach = settle(
            self.ledger,
            reservation,
            cost_nano=cost,
            released=certain,
            now=self.clock(),
            # A provider's error may quote the prompt.
            attempt={"error_kind": error.kind, "error": None if keep == "money" else error.message}
            | ({} if error.reply is None else attempt_row(error.reply, usage, error.reply.usage_status, cost)),
            note=None if certain else f"{error.kind}: may have been billed",
        )
        progress.charged_nano += reservation.bound_nano if cost is None else cost
        if breach:
            self.say(_breach_note(option.arm, cost or 0, reservation.bound_nano))

    def _check_usage(self, option: Option, usage: Usage) -> UsageStatus:
        """Return whether a reported usage can be true of this arm and this call."""
        from scrimp.routing.prices.usage import check_usage

        return check_usage(
            usage,
            input_bound=option.input_bound,
            output_limit=option.output_limit,
            window=self.decider.window(option.arm),
        )

    def _finish(
        self,
        ask: Ask,
        decision: Decision,
        option: Option,
        price: ArmPrice,
        reservation: Reservation,
        reply: Reply,
        progress: Progress,
        *,
        record: bool = True,
    ) -> Answer:
        """Settle to the truth, complete the log, and return the answer."""
        usage = reply.usage
        usage_status = reply.usage_status if usage is None else self._check_usage(option, usage)
        cost = price.cost_nano(usage) if usage is not None and usage_status == "reported" else None
        if cost is None and reservation.bound_nano == 0:
            cost = 0  # it is free: no usage is needed to know what it cost
        known = usage if usage_status == "reported" else None
        notes = _reply_notes(option, reply, usage_status)
        status: str
        try:
            status, breach = settle(
                self.ledger,
                reservation,
                cost_nano=cost,
                now=self.clock(),
                attempt=attempt_row(reply, known, usage_status, cost),
                request=None
                if not record
                else (
                    decision.id,
                    {"status": "ok", "arm": option.arm, **({"answer": reply.text} if ask.keep == "all" else {})}
                    | ({"propensity": None} if option.arm != decision.arm else {}),
                ),
                note=_oddities(option, reply, usage_status),
            )
        except LedgerError as error:
            # It is paid for, so it is shown. The reservation stays charged, and is `unknown` once this process ends.
            status, breach = "unknown", False
            notes.append(f"the answer could not be logged, and stays charged at its upper bound: {error.message}")
        charged = reservation.bound_nano if cost is None else cost
        progress.charged_nano += charged
        if breach:
            notes.append(_breach_note(option.arm, charged, reservation.bound_nano))
        saved, against = self._saved(decision, option, known, progress.charged_nano)
        return Answer(
            id=decision.id,
            text=reply.text,
            arm=option.arm,
            requested_model=option.model,
            served_model=reply.served_model,
            input_tokens=None if known is None else known.input_tokens,
            output_tokens=None if known is None else known.output_tokens,
            cached_tokens=None if known is None else known.cached_tokens,
            reasoning_tokens=None if known is None else known.reasoning_tokens,
            cost_nano=cost,
            cost_status=status,
            charged_nano=charged,
            total_charged_nano=progress.charged_nano,
            latency_s=reply.latency_s,
            ttft_s=reply.ttft_s,
            finish_reason=reply.finish_reason,
            decision=decision,
            n_attempts=progress.n_attempts,
            price_source=price.source,
            saved_nano=saved,
            saved_against=against,
            breach=breach,
            notes=tuple(notes),
            conversation_id=ask.conversation_id or decision.id,
        )

    def _saved(
        self, decision: Decision, option: Option, usage: Usage | None, charged_nano: int
    ) -> tuple[int | None, str | None]:
        """Return what was saved against the arm of highest predicted quality (`saved_nano`), and its name."""
        priced = [weighed.option for weighed in decision.choice.weighed if weighed.option.cost_nano is not None]
        best = max(priced, key=lambda each: (each.quality, each.cost_nano or 0), default=None)
        if best is None or best.arm == option.arm or usage is None:
            return None, None
        price = self.decider.price(best.arm)
        if price is None:
            return None, None
        return saved_nano(price, usage, charged_nano), best.arm

    def failure(self, progress: Progress) -> ScrimpError:
        """Return the error to end with: of one kind where all attempts agree, else the provider's failure."""
        from scrimp.routing.calls.faults import to_scrimp_error

        kinds = {error.kind for _, error in progress.errors}
        arm, last = progress.errors[-1]
        if len(kinds) > 1 and last.kind in ("auth", "rate_limited"):
            arm, last = (
                next((a, e) for a, e in reversed(progress.errors) if e.kind not in ("auth", "rate_limited"))
                if kinds
                - {
                    "auth",
                    "rate_limited",
                }
                else (arm, last)
            )
        return to_scrimp_error(last, self.decider.profile.arm(arm))

    def close(
        self, ask: Ask, decision: Decision, *, status: str, error: str, progress: Progress, text: str | None = None
    ) -> None:
        """Complete the log's row of a request that got no answer."""
        if not progress.logged or ask.keep == "money":
            return
        values: dict[str, object] = {"status": status, "error": error}
        if text and ask.keep == "all":
            values["answer"] = text
        with self.ledger.transaction():
            self.ledger.update("requests", ("id", decision.id), values)


def _breach_note(arm: str, cost_nano: int, bound_nano: int) -> str:
    return (
        f"{arm} charged {format_usd(cost_nano)}, above its enforced bound of {format_usd(bound_nano)}: it is suspended "
        f"until `scrimp models resume {arm}`"
    )


def _served_by_another(option: Option, reply: Reply) -> str | None:
    """Return what a reply says of itself when it is not from the model that was asked."""
    served, asked = reply.served_model, option.model.rpartition("/")[2]
    if served and asked not in served and served.rpartition("/")[2] not in asked:
        return f"served by {served}, not {option.model}"
    return None


def _oddities(option: Option, reply: Reply, usage_status: str) -> str | None:
    """Return what the ledger notes of a reply that does not add up."""
    odd = [f"usage {usage_status}"] if usage_status != "reported" else []
    other = _served_by_another(option, reply)
    return "; ".join([*odd, *([other] if other else [])]) or None


def _reply_notes(option: Option, reply: Reply, usage_status: str) -> list[str]:
    notes = []
    other = _served_by_another(option, reply)
    if other:
        notes.append(other)
    if usage_status == "missing":
        notes.append("the provider reported no usage: the whole reservation is charged")
    elif usage_status == "implausible":
        notes.append("the provider reported an impossible usage: the whole reservation is charged")
    if reply.finish_reason == "length":
        notes.append(f"the answer was cut at its limit of {option.output_limit:,} tokens (max_output_tokens)")
    elif reply.finish_reason == "content_filter":
        notes.append("the provider's filter ended the answer")
    if not reply.text.strip():
        notes.append("the answer is empty")
    return notes
