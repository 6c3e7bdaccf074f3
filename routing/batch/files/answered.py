"""Single asks and the cache of answers: the same file and the same keys as a row of a batch has."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from scrimp.profiles.rungs import bare_of, reading_of
from scrimp.routing.asking.log_rows import request_row
from scrimp.routing.asking.named_plans import checks_of
from scrimp.routing.asking.request import Answer, Checked
from scrimp.routing.asking.was_read import was_read
from scrimp.routing.checks.base import Given, problem_of, run_checks
from scrimp.routing.ledger.documents import write_request

from .cache import Cache, cache_key
from .output import Result
from .rows import Row

if TYPE_CHECKING:
    from pathlib import Path

    from scrimp.routing.asking.request import Ask, Way
    from scrimp.routing.asking.workspace import Workspace
    from scrimp.routing.deciding.trace import Decision
    from scrimp.routing.plans.plan import Plan
    from scrimp.routing.prompts.context import Context

__all__ = ["Answered"]


class Answered:
    """The cache, for one request that is decided.

    Only what one arm answers at once is looked for, and kept: no plan of several calls, no phrasings, no summary, and
    nothing that was sent with placeholders, whose values the cache is not to hold.

    Parameters
    ----------
    path
        The file of the cache.
    max_age_s
        How old an answer may be, seconds.
    """

    def __init__(
        self, path: Path, *, max_age_s: float, space: Workspace, ask: Ask, decision: Decision, plan: Plan, way: Way
    ) -> None:
        self._space, self._ask, self._decision, self._plan = space, ask, decision, plan
        self._checks = checks_of(way, decision, space.profile)
        apart = ask.summing is not None or decision.rephrase is not None or (ask.vault is not None and ask.vault.values)
        plain = plan.single and not way.may_take_another and not apart and ask.prompt.chat is None
        self._cache = Cache(path, max_age_s=max_age_s) if plain else None

    def find(self, context: Context) -> Checked | None:
        """Return the answer that was given before and passes the checks, written down as this request's; else None.

        Checks that run something or ask a model are not run for that: then the arm is asked.
        """
        arm, now = self._decision.arm, self._space.clock()
        if self._cache is None or arm is None or any(each.slow for each in self._checks):
            return None
        found = self._cache.get(self._key(arm), now=now)
        if found is None or found.answer is None:
            return None
        prompt = self._ask.prompt
        given = Given(prompt.text, found.finish_reason, lambda: prompt.sent_to(reading_of(arm)))
        verdicts = run_checks(self._checks, found.answer, given)
        if problem_of(verdicts) is not None:
            return None
        self._write(found, context, now)
        return Checked(self._answer(found, arm), tuple(verdicts), (), self._plan, 0)

    def keep(self, checked: Checked) -> None:
        """Keep an answer that came to its end."""
        answer = checked.answer
        if self._cache is None or answer.finish_reason != "stop" or answer.cost_status == "unknown" or checked.failed:
            return
        result = Result(
            n=0, id="", status="ok", decision_id=answer.id, answer=answer.text, arm=answer.arm,
            input_tokens=answer.input_tokens, output_tokens=answer.output_tokens, finish_reason=answer.finish_reason,
            model=answer.served_model, at=int(self._space.clock()),
        )  # fmt: skip
        self._cache.put(self._key(answer.arm), result)

    def close(self) -> None:
        """Close the cache."""
        if self._cache is not None:
            self._cache.close()

    def _key(self, name: str) -> bytes:
        ask, prompt, kind = self._ask, self._ask.prompt, reading_of(name)
        row = Row(
            n=0, line=1, id="", prompt=prompt, max_output_tokens=ask.output_limit, params=ask.params,
            response_format=ask.response_format, digests=tuple(each.sha256 for each in prompt.sources),
        )  # fmt: skip
        limit = self._decision.choice.option(name).output_limit
        read: list[Any] | None = None
        if kind is not None and prompt.readings is not None and (sent := prompt.readings.reads.get(kind)) is not None:
            read = [kind, *([each.source, each.start, each.end] for each in sent.spans)]
        return cache_key(row, self._space.decider.arm(bare_of(name)), limit, hint=prompt.hint, read=read)

    def _write(self, found: Result, context: Context, now: float) -> None:
        """Write the request down with its answer: it is the last one, which `rate` and `ask -c` are about."""
        row = request_row(self._ask, self._decision, context, now)
        trace = json.loads(str(row["decision"])) | {"cached": found.decision_id}
        row |= {"decision": json.dumps(trace), "status": "ok", "answer": found.answer, "propensity": None}
        with self._space.ledger.transaction():
            write_request(self._space.ledger, row)

    def _answer(self, found: Result, arm: str) -> Answer:
        option, id_ = self._decision.choice.option(arm), self._decision.id
        return Answer(
            id=id_, text=found.answer or "", arm=arm, requested_model=option.model, served_model=found.model,
            input_tokens=found.input_tokens, output_tokens=found.output_tokens, cached_tokens=None,
            reasoning_tokens=None, cost_nano=0, cost_status="settled", charged_nano=0, total_charged_nano=0,
            latency_s=0.0, ttft_s=None, finish_reason=found.finish_reason, decision=self._decision, n_attempts=0,
            price_source=None, saved_nano=None, saved_against=None, breach=False,
            notes=(f"from the cache: the answer to {found.decision_id}",),
            conversation_id=self._ask.conversation_id or id_, read=was_read(self._ask.prompt, arm),
        )  # fmt: skip
