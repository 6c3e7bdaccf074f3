"""A request from decision to answer: the calls that a strategy wants, each bought by `paid_call`, all on record.

Like `paid_call` it does nothing itself: what it yields is done by whatever drives it (`drive`), for `ask`, `batch` and
others.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from scrimp.profiles.errors import ArmUnavailableError, BudgetRefusedError, ProviderError, ScrimpError
from scrimp.profiles.rungs import bare_of, reading_of, with_reading
from scrimp.routing.calls.call import Call
from scrimp.routing.calls.faults import to_scrimp_error
from scrimp.routing.calls.prompt_cache import marked_block, priced_marks
from scrimp.routing.calls.reasoning import reasoning_room, shortened
from scrimp.routing.calls.tool_calls import as_text, what_is_called
from scrimp.routing.calls.whole_prompt import window_arguments
from scrimp.routing.ledger.caps import RefusedError
from scrimp.routing.ledger.leases import BusyError
from scrimp.routing.prompts.instructions import dressed, instructions_id
from scrimp.routing.prompts.tokens import bound_tokens
from scrimp.routing.strategies.protocol import Got, Outcome, Role, Step, Test, Wanted
from scrimp.routing.strategies.stages import Staged

from .books import Called, Closing, Summed, digest_of, kinds_of
from .briefing import brief_of
from .guarding import vault_of
from .log_rows import request_row
from .paid_call import Bill, Command, Halted, Paid, Terms, breach_note, paid_call
from .prompt_tariff import keeps_its_limit
from .request import Answer, Checked, reply_notes, saved_against
from .sum_up import not_summed, sum_up
from .was_read import was_read, whole_cost

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from scrimp.routing.deciding.policy import Option
    from scrimp.routing.prompts.prompt import Prompt
    from scrimp.routing.strategies.protocol import Answered

    from .asked import Asked, Kit
    from .phrasings import Phrased
    from .rephrasing import Rephrasing

__all__ = ["plan_run"]


def plan_run(
    asked: Asked, kit: Kit, *, recorded: Sequence[Called] = (), bill: Bill | None = None
) -> Generator[Command | Test | Called | Closing | Summed, Any, Checked]:
    """Run a request's plan to its answer.

    Parameters
    ----------
    recorded, bill
        The calls that an earlier process made for the same request before it was killed, and their money: they are not
        made again.

    Raises
    ------
    BudgetRefusedError, AuthError, TryAgainError, ProviderError, ArmUnavailableError
        If there is no answer.
    """
    return (yield from _PlanRun(asked, kit, recorded, bill).run())


class _PlanRun:
    def __init__(self, asked: Asked, kit: Kit, recorded: Sequence[Called], bill: Bill | None) -> None:
        most = asked.decision.max_seconds
        if most is not None:  # who set a limit is not kept waiting beyond it, whatever comes of the call
            asked = replace(asked, ask=replace(asked.ask, deadline_s=min(most, asked.ask.deadline_s)))
        self.asked = asked
        self.kit = kit if asked.decision.by is None else replace(kit, decider=asked.decision.by)
        self.bill = bill or Bill()
        self.steps: list[Step] = []
        self.answers: dict[int, Answer] = {}
        self.refusal: ScrimpError | None = None
        self.recorded = deque(recorded)
        self.phrased: Phrased | None = None
        self.closed = False
        self.started = kit.timer()
        self.vault = vault_of(asked.ask, kit.decider.profile)

    def run(self) -> Generator[Command | Test | Called | Closing | Summed, Any, Checked]:
        try:
            if (summing := self.asked.ask.summing) is not None:
                self.asked = not_summed(self.asked, summing)
                self.asked = yield from sum_up(self.asked, summing, self.kit, self._call)
                self.refusal = None  # what stood in its way need not stand in the answer's
            # Judges, merges and repairs go by the question as it was put.
            strategy = Staged(self.asked.plan, brief_of(self.asked, self.kit)).run()
            if (rephrasing := self.asked.ask.rephrasing) is not None and self.asked.decision.rephrase is not None:
                yield from self._rephrase(rephrasing)
                self.refusal = None
            back: Any = None
            while True:
                try:
                    wish = strategy.send(back)
                except StopIteration as stop:
                    return (yield from self._end(stop.value))
                back = (yield wish) if isinstance(wish, Test) else (yield from self._call(wish))
        except Halted:
            raise
        except ScrimpError as error:
            if not self.closed:
                yield self._closing("failed", error=error.message)
            raise
        except BaseException:
            yield self._closing("interrupted", error="interrupted", text=self.bill.partial)
            raise

    def _rephrase(self, rephrasing: Rephrasing) -> Generator[Command | Called, Any, None]:
        """Have the question put into other words, and ask it so from here on."""
        from .rephrase import refuse_risky, rephrased

        n_steps = len(self.steps)
        self.phrased = phrased = yield from rephrased(self.asked, rephrasing, self.kit, self._call)
        if len(self.steps) > n_steps:
            self.steps[n_steps] = replace(self.steps[n_steps], verdicts=phrased.verdicts())
        refuse_risky(self.asked, phrased)
        put = self.asked.ask
        if phrased.taken:
            ask = replace(put, prompt=replace(put.prompt, text=phrased.text))
            self.asked = replace(self.asked, ask=ask, put=put)

    # -- calls ------------------------------------------------------------------------------------------------------

    def _call(self, wish: Wanted) -> Generator[Command | Called, Any, Got]:
        """Make a call that the strategy wants, or take it from the record that a killed process left."""
        if self.recorded:
            return self._again(self.recorded.popleft())
        if wish.why is not None:
            self.kit.say(wish.why)
        before = self.bill.charged_nano
        if self.vault is not None and wish.prompt is not None:
            wish = replace(wish, prompt=self.vault.prompt(wish.prompt))
        if wish.role is Role.PIECE and self.asked.decision.max_seconds is None:
            self.started = self.kit.timer()  # each piece has the time of a request, and so has the merge after them
        wish, option = self._fitted(wish)
        result: Paid | None = None
        refusal: ScrimpError | None = None
        final, calls = False, ""
        note: str | None = None
        if option is None:
            note = "it cannot take this"
        elif wish.fallback and self._as_dear(option):
            refusal = self.refusal
        else:
            try:
                bought = yield from paid_call(
                    self._terms(wish, option),
                    self.bill,
                    rng=self.kit.rng,
                    clock=self.kit.clock,
                    timer=self.kit.timer,
                    say=self.kit.say,
                )
            except (BudgetRefusedError, ArmUnavailableError, BusyError) as error:
                refusal = error
            else:
                if isinstance(bought, Paid):
                    result = bought
                else:
                    note = bought.error.message
                    final = bought.shown and not self.asked.ask.takes_back
        if refusal is not None:
            self.refusal = refusal if not self.asked.plan.single else self.refusal or refusal
            note = refusal.message
        charged = self.bill.charged_nano - before
        outcome = Outcome.ANSWERED if result else Outcome.REFUSED if refusal else Outcome.FAILED
        own = self._own_words(wish)
        step = Step(
            len(self.steps) + 1, wish.stage, wish.role, wish.arm, outcome, charged, note=note,
            asked=own if self.asked.ask.keep == "all" else None, asked_sha256=digest_of(own),
        )  # fmt: skip
        answer: Answer | None = None
        if result is not None and option is not None:
            reply = result.reply
            text = reply.text or as_text(reply.tool_calls)
            calls = what_is_called(reply.tool_calls)
            step = replace(step, text=text, latency_s=reply.latency_s, finish_reason=reply.finish_reason)
            answer = self._answer(option, result)
            self.answers[step.seq] = answer
        self.steps.append(step)
        if self.bill.logged:
            asked = self.asked
            yield Called(
                asked.decision.id,
                step,
                None if answer is None else answer.facts(),
                asked.decision.to_dict() if asked.ask.keep == "money" else None,
                asked.ask.keep,
                asked.records_steps,
            )
        return Got(step.seq, wish.arm, step.text, step.finish_reason, charged, refusal, calls, final)

    def _own_words(self, wish: Wanted) -> str | None:
        """Return what a call asks where that is not the question as it was put."""
        if wish.prompt is not None:
            return wish.prompt.text
        return None if self.asked.put is None else self.asked.ask.prompt.text

    def _again(self, record: Called) -> Got:
        step = record.step
        self.steps.append(step)
        if record.answer is not None:
            self.answers[step.seq] = Answer(
                **record.answer, text=step.text or "", decision=self.asked.decision,
                conversation_id=self.asked.ask.conversation_id or self.asked.decision.id,
                read=was_read(self.asked.ask.prompt, record.answer["arm"]),
            )  # fmt: skip
        refusal = BudgetRefusedError(step.note or "refused") if step.outcome is Outcome.REFUSED else None
        return Got(step.seq, step.arm, step.text, step.finish_reason, step.charged_nano, refusal)

    def _as_dear(self, option: Option) -> bool:
        """Tell whether the cap that refused an arm refuses this one too: it is for all arms, and the bound no less."""
        last = self.refusal
        return (
            isinstance(last, RefusedError)
            and not last.only_live
            and last.cap.arm is None
            and (option.bound_nano or 0) >= last.needed_nano
        )

    def _fitted(self, wish: Wanted) -> tuple[Wanted, Option | None]:
        """Return a call as it can be made, with its arm's option for that prompt; None where the arm cannot take it.

        An arm that cannot take a prompt with a failed answer in it is asked the request's own.
        """
        if self.asked.ask.wishes.guarded.aside.bars(wish.arm) is not None:
            return wish, None  # whatever it is wanted for: a judge, a sample, a summary
        option = None if wish.role in (Role.SUMMARY, Role.REPHRASE) else self.asked.decision.choice.option(wish.arm)
        if wish.prompt is None and option is not None:
            return replace(wish, arm=option.arm), self._as_told_now(option)
        assert wish.prompt is not None  # noqa: S101 - a summary is asked for by a prompt of its own
        decider = self.kit.decider
        context = self.asked.context
        name = wish.arm if option is None else option.arm
        if wish.arm != name and not wish.prompt.sources and wish.prompt.block is None:
            # A judge is shown the passages; who else is asked a question of its own reads none of the request's files.
            name = with_reading(wish.arm, "passages" if wish.role is Role.JUDGE else "none")
        wish = replace(wish, arm=name, prompt=wish.prompt.as_read(reading_of(name)))
        assert wish.prompt is not None  # noqa: S101 - it was not
        again = decider.decide(
            wish.prompt,
            decider.predict([context or decider.contexts([wish.prompt.text])[0]]),
            replace(self.asked.ask.wishes, arm=bare_of(wish.arm), max_cost_nano=None),
            decision_id=self.asked.decision.id,
            rng=self.kit.rng,
            told=wish.role.answers,
        ).choice.option(bare_of(wish.arm))
        price = decider.price(wish.arm)
        if again.infeasible is not None or price is None:
            return (replace(wish, prompt=None), option) if wish.role is Role.ASK else (wish, None)
        arm = decider.profile.arm(wish.arm)
        limit = again.output_limit if option is None else min(again.output_limit, option.output_limit)
        if wish.limit is not None and not keeps_its_limit(arm):
            limit = min(limit, wish.limit)
        if wish.role.answers and self.asked.ask.output_limit is not None:
            limit = min(limit, self.asked.ask.output_limit)
        bound = price.bound_nano(again.input_bound, limit)
        return wish, replace(again, arm=name, output_limit=limit, bound_nano=bound)

    def _as_told_now(self, option: Option) -> Option:
        """Return an arm's option with a bound on what it is told now.

        A request that a killed process had begun was decided then, and the arm's texts may be longer since; and other
        words for the question may be.
        """
        decider = self.kit.decider
        arm, price = decider.arm(option.arm), decider.price(option.arm)
        if price is None or (instructions_id(arm) is None and self.asked.put is None):
            return option
        n = bound_tokens(dressed(self.asked.ask.prompt, arm), arm.model, decider.window(option.arm))
        if n is None or n <= option.input_bound:
            return option
        return replace(option, input_bound=n, bound_nano=price.bound_nano(n, option.output_limit))

    def _kept_private(self, prompt: Prompt, option: Option) -> tuple[Prompt, Option]:
        """Return what is sent with placeholders in what came to it inside: an arm's instructions, a hint.

        They may be longer than what they stand for: the bound is of what is sent.
        """
        made = prompt if self.vault is None else self.vault.prompt(prompt)
        decider = self.kit.decider
        arm, price = decider.arm(option.arm), decider.price(option.arm)
        if made is prompt or price is None:
            return made, option
        n = bound_tokens(made.as_read(reading_of(option.arm)), arm.model, decider.window(option.arm))
        if n is None or n <= option.input_bound:
            return made, option
        return made, replace(option, input_bound=n, bound_nano=price.bound_nano(n, option.output_limit))

    def _terms(self, wish: Wanted, option: Option) -> Terms:
        asked, kit = self.asked, self.kit
        arm = kit.decider.profile.arm(option.arm)
        price = kit.decider.price(option.arm)
        if price is None or option.bound_nano is None:
            raise ArmUnavailableError(f"no price is known for {option.arm}")
        told = wish.role.answers  # a judge or planner is asked something else than what the arm is told to answer
        prompt = asked.ask.prompt if wish.prompt is None else wish.prompt
        if told:
            prompt = dressed(prompt, arm)
        prompt, option = self._kept_private(prompt, option)
        params = {**arm.params, **(asked.ask.params if told else {})}
        if wish.vary and not params.get("temperature"):
            params["temperature"] = 1.0
        window = kit.decider.window(option.arm)
        need = min(option.input_bound, 2 * option.input_tokens) + option.output_limit
        params |= window_arguments(arm.model, params, arm.context_window, window, need)
        chat = prompt.chat
        marks = {"writes": price.cache_write is not None, "hours": price.cache_write_1h is not None}
        own_format = asked.ask.response_format if wish.prompt is None else prompt.own_format
        kind = str(wish.role)
        if wish.role is Role.ASK:
            kind = "fallback" if wish.fallback else "step" if self.steps else "retry"
            kind = "first" if self.bill.n_attempts == 0 else kind

        def call(left_s: float) -> Call:
            messages = priced_marks(prompt.messages(), **marks)
            if prompt.kept is not None and option.cached_tokens is not None and marks["writes"]:
                messages = marked_block(arm.model, messages, prompt.block or "")
            return Call(
                model=arm.model,
                messages=messages,
                max_output_tokens=option.output_limit,
                api_base=arm.api_base,
                api_key=kit.key(arm),
                params=params,
                reasoning_effort=arm.reasoning_effort,
                response_format=own_format or prompt.response_format(),
                tools=() if chat is None else priced_marks(chat.tools, **marks),
                tool_choice=None if chat is None else chat.tool_choice,
                caches=chat is not None and marks["writes"],
                stream=wish.streams,
                timeout_s=arm.timeout_s,
                deadline_s=max(min(1.0, asked.ask.deadline_s), left_s),
            )

        return Terms(
            ask=asked.ask,
            request_id=asked.decision.id,
            profile=kit.decider.profile.name,
            arm=arm,
            option=option,
            price=price,
            price_id=lambda: kit.price_id(option.arm),
            call=call,
            kind=kind,
            request_row=lambda now: request_row(asked.put or asked.ask, asked.decision, asked.context, now),
            answers=wish.role in (Role.ASK, Role.MERGE),
            instructions=instructions_id(arm) if told else None,
            window=window,
            streams=wish.streams,
            started=self.started,
            caps_wait_s=kit.caps_wait_s,
            price_in=None if kit.price_in is None else partial(kit.price_in, bare_of(option.arm)),
        )

    def _answer(self, option: Option, paid: Paid) -> Answer:
        settlement, usage, reply = paid.settlement, paid.usage, paid.reply
        arm = self.kit.decider.profile.arm(option.arm)
        ask = self.asked.ask
        notes = reply_notes(option, reply, paid.usage_status, brief=ask.prompt.brief, asked=ask.output_limit)
        notes += paid.remarks
        budget = shortened(reasoning_room(arm.model, arm.reasoning_effort, arm.params), option.output_limit)
        if budget is not None:
            notes.append(
                f"{option.arm} was let reason with {budget:,} tokens only: max_output_tokens is {option.output_limit:,}"
            )
        if paid.cut_prompt is not None:
            notes.append(paid.cut_prompt)
        if settlement.breach:
            notes.append(breach_note(option.arm, settlement))
        saved, against = saved_against(self.kit.decider, self.asked.decision, option, usage, self.bill.charged_nano)
        price, prompt = self.kit.decider.price(option.arm), self.asked.ask.prompt
        whole = None
        if price is not None and usage is not None:
            whole = whole_cost(prompt, option.arm, price, usage, self.kit.decider.window(option.arm))
        return Answer(
            id=self.asked.decision.id,
            text=reply.text,
            arm=option.arm,
            requested_model=option.model,
            served_model=reply.served_model,
            input_tokens=None if usage is None else usage.input_tokens,
            output_tokens=None if usage is None else usage.output_tokens,
            cached_tokens=None if usage is None else usage.cached_tokens,
            reasoning_tokens=None if usage is None else usage.reasoning_tokens,
            cost_nano=settlement.cost_nano,
            cost_status="unverified" if settlement.cost_nano is None else "settled",
            charged_nano=settlement.charged_nano,
            total_charged_nano=self.bill.charged_nano,
            latency_s=reply.latency_s,
            ttft_s=reply.ttft_s,
            finish_reason=reply.finish_reason,
            decision=self.asked.decision,
            n_attempts=self.bill.n_attempts,
            price_source=None if price is None else price.source,
            saved_nano=saved,
            saved_against=against,
            breach=settlement.breach,
            prompt_cut=paid.cut_prompt,
            notes=tuple(notes),
            conversation_id=self.asked.ask.conversation_id or self.asked.decision.id,
            tool_calls=reply.tool_calls,
            read=was_read(prompt, option.arm),
            whole_cost_nano=whole,
        )

    # -- the end ----------------------------------------------------------------------------------------------------

    def _end(self, end: Answered) -> Generator[Closing, Any, Checked]:
        """Close the request, with its answer or without."""
        single = self.asked.plan.single
        self.steps = [
            replace(step, verdicts=end.verdicts.get(step.seq, step.verdicts), taken=step.seq == end.taken)
            for step in self.steps
        ]
        if end.taken is None:
            failure = self._failure(end)
            failure.partial = self.bill.partial
            yield self._closing("failed", error=failure.message, text=self.bill.partial)
            raise failure
        answer = self.answers[end.taken]
        if end.text is not None:
            answer = replace(answer, text=end.text)
        notes = [*answer.notes, *end.notes]
        if end.refusal is not None:
            notes.append(f"the plan ended early: {end.refusal.message}")
        # What was paid since (a judge, samples to compare with) was not saved.
        later_nano = self.bill.charged_nano - answer.total_charged_nano
        answer = replace(
            answer,
            total_charged_nano=self.bill.charged_nano,
            n_attempts=self.bill.n_attempts,
            latency_s=answer.latency_s if single else sum(step.latency_s or 0.0 for step in self.steps),
            saved_nano=answer.saved_nano - later_nano if single and answer.saved_nano is not None else None,
            saved_against=answer.saved_against if single else None,
            notes=tuple(dict.fromkeys(notes)),
        )
        yield self._closing("ok", arm=answer.arm, text=answer.said)
        verdicts = end.verdicts.get(end.taken, ())
        return Checked(answer, verdicts, tuple(self.steps), self.asked.plan, self.bill.cost_nano, self.phrased)

    def _closing(self, status: str, *, arm: str | None = None, error: str | None = None, text: str = "") -> Closing:
        asked = self.asked
        self.closed = True
        keep = asked.ask.keep
        values: dict[str, Any] = {}
        if self.bill.logged and keep != "money":
            values = {"status": status}
            if arm is not None:
                values["arm"] = arm
                if arm != asked.decision.arm:
                    values["propensity"] = None
            # A provider's error may quote the prompt.
            values["error"] = error if keep == "all" or status == "interrupted" else None
            if keep == "all" and (text or status == "ok"):
                values["answer"] = text
        steps = tuple(self.steps) if asked.records_steps and self.bill.logged else ()
        return Closing(asked.decision.id, values, steps, kinds_of(asked.checks), keep)

    def _failure(self, end: Answered) -> ScrimpError:
        """Return the error to end with: of one kind where all attempts agree, else the provider's failure."""
        errors = self.bill.errors
        if not errors:
            if self.refusal is None and any(step.outcome is Outcome.ANSWERED for step in self.steps):
                why = "; ".join(end.notes) or "what came is no answer"
                return ProviderError(
                    f"no answer: {why}", hint=f"What was said: `scrimp log show {self.asked.decision.id}`."
                )
            return self.refusal or ArmUnavailableError("no arm could be tried")
        passing = ("auth", "rate_limited")
        arm, last = errors[-1]
        if last.kind in passing and any(error.kind != last.kind for _, error in errors):
            arm, last = next(((a, e) for a, e in reversed(errors) if e.kind not in passing), (arm, last))
        error = to_scrimp_error(last, self.kit.decider.profile.arm(arm))
        limit = self.asked.decision.max_seconds
        if last.kind == "timeout" and limit is not None:
            error.hint = f"Its {limit:g} s were up (max_seconds): give it more, or take a faster arm with `-m`."
        return error
