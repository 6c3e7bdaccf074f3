"""The way of one prompt: decide, reserve, dispatch, settle, answer; retries and fallbacks are each paid for apart."""

from __future__ import annotations

import json
import random
import time
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from scrimp.profiles.errors import ArmUnavailableError, BudgetRefusedError, LedgerError, ScrimpError, UsageError
from scrimp.profiles.money import format_usd, usd_from_nano

from . import budget
from .decide import runs_here
from .ledger import instant, new_id

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from scrimp.profiles.schema import Arm, Profile

    from .context import Context
    from .decide import Decider, Decision, Wishes
    from .dispatch import Call, CallError, Reply
    from .ledger import Ledger
    from .policy import Option
    from .prices import ArmPrice, Usage, UsageStatus
    from .prompt import Prompt

__all__ = ["Answer", "Ask", "Asker", "Progress", "attempt_row", "caps_left", "decide", "request_row"]

LIVE_WAIT_S: Final = 10.0
"""How long an ask waits when only other calls in flight stand in its way."""

TOTAL_DEADLINE_S: Final = 600.0
"""How long retries and fallbacks may go on."""


@dataclass(frozen=True, slots=True)
class Ask:
    """One request.

    Attributes
    ----------
    cap_override_nano
        Pay for this one request, retries and fallbacks included, up to this amount whatever the caps say; logged as
        such.
    run_id
        The run whose cap it counts against; None makes it a run of its own.
    keep
        What the log keeps: `all`, `features` (no text) or `money` (neither).
    """

    prompt: Prompt
    wishes: Wishes
    command: str = "ask"
    conversation_id: str | None = None
    redo_of: str | None = None
    tag: str | None = None
    keep: str = "all"
    cap_override_nano: int | None = None
    deadline_s: float = TOTAL_DEADLINE_S
    run_id: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer with all that is known of it; None is unknown."""

    id: str
    text: str
    arm: str
    requested_model: str
    served_model: str | None
    input_tokens: int | None
    output_tokens: int | None
    cached_tokens: int | None
    reasoning_tokens: int | None
    cost_nano: int | None
    cost_status: str
    charged_nano: int
    total_charged_nano: int
    latency_s: float
    ttft_s: float | None
    finish_reason: str | None
    decision: Decision
    n_attempts: int
    price_source: str | None
    saved_nano: int | None
    saved_against: str | None
    breach: bool
    notes: tuple[str, ...] = ()
    conversation_id: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return what `ask --json` prints."""
        taken = self.decision.choice.option(self.arm)
        return {
            "schema_version": 1,
            "id": self.id,
            "answer": self.text,
            "arm": self.arm,
            "requested_model": self.requested_model,
            "served_model": self.served_model,
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "cached_tokens": self.cached_tokens,
            "reasoning_tokens": self.reasoning_tokens,
            "cost_usd": None if self.cost_nano is None else usd_from_nano(self.cost_nano),
            "cost_status": self.cost_status,
            "charged_usd": usd_from_nano(self.charged_nano),
            "total_charged_usd": usd_from_nano(self.total_charged_nano),
            "latency_s": round(self.latency_s, 6),
            "ttft_s": None if self.ttft_s is None else round(self.ttft_s, 6),
            "finish_reason": self.finish_reason,
            "predicted_quality": taken.quality,
            "predicted_quality_basis": taken.basis,
            "predicted_cost_usd": None if taken.cost_nano is None else usd_from_nano(taken.cost_nano),
            "saved_usd": None if self.saved_nano is None else usd_from_nano(self.saved_nano),
            "saved_against": self.saved_against,
            "attempts": self.n_attempts,
            "breach": self.breach,
            "conversation_id": self.conversation_id,
            "price_source": self.price_source,
            "notes": list(self.notes),
            "decision": self.decision.to_dict(),
        }


def decide(
    decider: Decider,
    ledger: Ledger | None,
    prompt: Prompt,
    wishes: Wishes,
    *,
    now: float,
    rng: random.Random,
    decision_id: str,
    context: Context,
    blocked: Mapping[str, str] | None = None,
    cap_override_nano: int | None = None,
    run_id: str | None = None,
) -> Decision:
    """Decide one prompt against what the caps leave now.

    Raises
    ------
    UsageError
        If the arm asked for is not in the profile.
    """
    profile = decider.profile
    if wishes.arm is not None and wishes.arm not in (names := [arm.name for arm in profile.arms]):
        from scrimp.profiles.schema import did_you_mean

        raise UsageError(
            f"profile {profile.name} has no arm {wishes.arm!r}{did_you_mean(wishes.arm, names)}",
            hint=f"It has: {', '.join(names)}.",
        )
    left, suspended = caps_left(ledger, profile, now=now, run_id=run_id or decision_id)
    if cap_override_nano is not None:
        left = {arm.name: cap_override_nano for arm in profile.arms}
    blocked = {**(blocked or {}), **suspended}
    return decider.decide(
        prompt,
        decider.predict([context]),
        wishes,
        decision_id=decision_id,
        rng=rng,
        left_nano=left,
        blocked=blocked,
        pace=None if ledger is None else budget.month_pace(ledger, profile, now=now),
    )


def caps_left(
    ledger: Ledger | None, profile: Profile, *, now: float, run_id: str | None = None
) -> tuple[dict[str, int | None], dict[str, str]]:
    """Return what the caps leave for each arm now (nano-USD, None: no cap), and which arms are suspended, and why."""
    if ledger is None:
        return {arm.name: _own_least(profile, arm) for arm in profile.arms}, {}
    left = {
        arm.name: budget.left_nano(ledger, budget.applicable_caps(ledger, profile, arm.name, now=now, run_id=run_id))
        for arm in profile.arms
    }
    suspended = {
        name: f"suspended: {reason} (`scrimp models resume {name}` clears it)"
        for name, reason in budget.suspensions(ledger, profile.name).items()
    }
    return left, suspended


def _own_least(profile: Profile, arm: Arm) -> int | None:
    """Return the least cap that stands on an arm before anything was spent, nano-USD."""
    from scrimp.profiles.money import nano_from_usd

    own, arms = profile.caps, arm.cap
    caps = [own.per_call_usd, own.per_run_usd, own.per_day_usd, own.per_month_usd]
    if arms is not None:
        caps += [arms.per_call_usd, arms.per_day_usd, arms.per_month_usd]
    return min((nano_from_usd(usd) for usd in caps if usd is not None), default=None)


@dataclass(slots=True)
class Progress:
    """What has happened so far on the way of one prompt."""

    notes: list[str] = field(default_factory=list)
    errors: list[tuple[str, CallError]] = field(default_factory=list)
    n_attempts: int = 0
    charged_nano: int = 0
    shown: int = 0
    logged: bool = False


class Asker:
    """Asks prompts of one profile's arms.

    Parameters
    ----------
    decider, ledger
        How to choose, and where to write.
    attempt
        Makes one call: `scrimp.routing.dispatch.attempt`, or a stand-in.
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
        budget.check_zone(self.ledger, self.decider.profile)
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
            if not (isinstance(refusal, budget.RefusedError) and refusal.only_live) or self.clock() >= deadline:
                raise refusal
            budget.reap(self.ledger, now=self.clock())
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
                caps = budget.applicable_caps(
                    self.ledger, self.decider.profile, cheapest.arm, now=now, run_id=ask.run_id or decision.id
                )
                budget.check(self.ledger, caps, cheapest.bound_nano or 0, now=now)
            except budget.RefusedError as refusal:
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
            except (BudgetRefusedError, budget.SuspendedError) as error:
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
        from .dispatch import Backoff, CallError

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
                budget.settle(
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
        from .dispatch import Call

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
    ) -> budget.Reservation:
        """Write the intent to disk and reserve the bound; wait a little where only live calls stand in the way."""
        profile = self.decider.profile
        deadline = self.clock() + LIVE_WAIT_S
        while True:
            now = self.clock()
            run_id = ask.run_id or decision.id
            caps = list(budget.applicable_caps(self.ledger, profile, option.arm, now=now, run_id=run_id))
            if ask.wishes.max_cost_nano is not None:
                caps.append(budget.Cap("--max-cost:call", ask.wishes.max_cost_nano - progress.charged_nano, None))
            charge = budget.Charge(
                request_id=decision.id,
                profile=profile.name,
                arm=option.arm,
                bound_nano=option.bound_nano or 0,
                source=ask.command,
                run_id=run_id,
                tag=ask.tag,
                price_id=budget.price_id(self.ledger, price, model=option.model, table=self.decider.table, now=now),
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
                reservation = budget.reserve(self.ledger, charge, caps, now=now, attempt=attempt, request=request)
            except budget.RefusedError as refusal:
                budget.reap(self.ledger, now=now)
                if not refusal.only_live or now >= deadline:
                    raise
                self.sleep(0.2)
                continue
            progress.logged = True
            return reservation

    def _settle_failure(
        self,
        reservation: budget.Reservation,
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
        _, breach = budget.settle(
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
        from .prices import check_usage

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
        reservation: budget.Reservation,
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
            status, breach = budget.settle(
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
        saved, against = self._saved(decision, option, known, cost)
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
        self, decision: Decision, option: Option, usage: Usage | None, cost: int | None
    ) -> tuple[int | None, str | None]:
        """Return what the same tokens would have cost more on the arm of highest predicted quality, and its name."""
        priced = [weighed.option for weighed in decision.choice.weighed if weighed.option.cost_nano is not None]
        best = max(priced, key=lambda each: (each.quality, each.cost_nano or 0), default=None)
        if best is None or best.arm == option.arm or usage is None or cost is None:
            return None, None
        price = self.decider.price(best.arm)
        if price is None:
            return None, None
        return price.expected_nano(usage.input_tokens, usage.output_tokens) - cost, best.arm

    def failure(self, progress: Progress) -> ScrimpError:
        """Return the error to end with: of one kind where all attempts agree, else the provider's failure."""
        from .dispatch import to_scrimp_error

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


def request_row(ask: Ask, decision: Decision, context: Context | None, now: float) -> dict[str, object]:
    """Return the log's row for a request, with as much of it as the profile keeps.

    Parameters
    ----------
    context
        None where nothing was embedded, since the arm was asked for by name.
    now
        POSIX time.
    """
    prompt = ask.prompt
    row: dict[str, object] = {
        "id": decision.id,
        "created_at": instant(now),
        "command": ask.command,
        "profile": decision.profile,
        "conversation_id": ask.conversation_id or decision.id,
        "redo_of": ask.redo_of,
        "embedding": None if context is None else context.embedding.astype("<f4").tobytes(),
        "surface": None if context is None else json.dumps([round(float(value), 6) for value in context.surface]),
        "embedder_id": None if context is None else decision.embedder_id,
        "router_version": decision.router_version,
        "decision": json.dumps(decision.to_dict()),
        "arm": decision.arm,
        "propensity": decision.choice.propensity,
        "status": "pending",
        "tag": ask.tag,
    }
    if ask.keep == "all":
        row |= {
            "system": prompt.system,
            "prompt": prompt.text,
            "attachments": json.dumps([each.describe() for each in prompt.attachments]) if prompt.attachments else None,
            "schema": prompt.schema_text or None,
            "messages": json.dumps([[turn.prompt, turn.answer] for turn in prompt.history]) if prompt.history else None,
        }
    return row


def attempt_row(reply: Reply, usage: Usage | None, usage_status: str, cost: int | None) -> dict[str, object]:
    """Return the columns of `attempts` that a reply fills; `cost` is in nano-USD, None where it is not known."""
    return {
        "served_model": reply.served_model,
        "input_tokens": None if usage is None else usage.input_tokens,
        "cached_tokens": None if usage is None else usage.cached_tokens,
        "cache_write_tokens": None if usage is None else usage.cache_write_tokens,
        "output_tokens": None if usage is None else usage.output_tokens,
        "reasoning_tokens": None if usage is None else usage.reasoning_tokens,
        "usage_status": usage_status,
        # What cannot be true is kept as it was claimed: the columns above hold only what is believed.
        "usage": None if reply.usage is None or usage is not None else json.dumps(asdict(reply.usage)),
        "cost_nano": cost,
        "latency_s": reply.latency_s,
        "ttft_s": reply.ttft_s,
        "finish_reason": reply.finish_reason,
    }
