"""Ask one arm one prompt after another under a shared cap, and score its answers by their checks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from scrimp.profiles.errors import ArmUnavailableError, BudgetRefusedError, ScrimpError
from scrimp.routing.asking.request import Ask
from scrimp.routing.calls.call import served_by_another
from scrimp.routing.checks.base import Given, run_checks, worst
from scrimp.routing.checks.names import make_check
from scrimp.routing.deciding.decide import Wishes
from scrimp.routing.ledger.caps import balance
from scrimp.routing.ledger.labels import add_label
from scrimp.routing.ledger.store import instant
from scrimp.routing.prompts.prompt import Prompt

from .probe_log import LogItem
from .probe_report import Probed

if TYPE_CHECKING:
    from scrimp.routing.asking.request import Answer
    from scrimp.routing.asking.workspace import Workspace
    from scrimp.routing.prompts.context import Context

    from .probe_suite import ProbeItem

__all__ = ["Run", "prompt_of_item"]

_REFUSALS: Final = 3
"""Prompts of the log refused for money, one after another, after which the probe ends."""


def prompt_of_item(item: ProbeItem | LogItem) -> Prompt:
    """Return what is asked."""
    return item.prompt if isinstance(item, LogItem) else Prompt(item.prompt)


@dataclass(slots=True)
class Run:
    """A probe under way."""

    asker: Workspace
    arm: str
    max_nano: int
    run_id: str
    left_out: dict[str, int]
    tried: list[Probed] = field(default_factory=list)
    contexts: list[Context] = field(default_factory=list)
    served: set[str] = field(default_factory=set)
    ended: str | None = None
    n_refused: int = 0

    def charged_nano(self) -> int:
        """Return what the ledger charges for this probe so far."""
        return sum(balance(self.asker.ledger, f"run:{self.run_id}"))

    def ask(self, item: ProbeItem | LogItem, context: Context) -> bool:
        """Ask one prompt and score the answer; return whether to go on."""
        logged = isinstance(item, LogItem)
        try:
            self.put(item, context)
        except BudgetRefusedError as error:
            self.n_refused += 1
            if logged and self.n_refused < _REFUSALS:  # a long prompt: a shorter one may fit yet
                why = "could cost more than was left"
                self.left_out[why] = self.left_out.get(why, 0) + 1
                return True
            self.ended = error.message
            return False
        except ArmUnavailableError as error:
            if not logged:
                raise
            self.left_out[error.message] = self.left_out.get(error.message, 0) + 1
            return True
        except ScrimpError as error:
            if not self.tried:
                raise
            self.ended = error.message
            return False
        self.n_refused = 0
        return True

    def put(self, item: ProbeItem | LogItem, context: Context) -> Probed:
        """Ask one prompt, score the answer, and keep it among those tried.

        Raises
        ------
        BudgetRefusedError
            If a cap leaves too little for it.
        ScrimpError
            If the call fails.
        """
        logged = isinstance(item, LogItem)
        keep = self.asker.decider.profile.log.keep
        request = Ask(
            prompt_of_item(item),
            Wishes(arm=self.arm, max_cost_nano=self.max_nano - self.charged_nano(), waits=False),
            command="probe",
            redo_of=item.id if logged else None,
            keep=keep if logged or keep == "money" else "features",
            run_id=self.run_id,
            deadline_s=120.0,
        )
        answer = self.asker.answer(request, context)
        if answer.served_model and served_by_another(answer.served_model, answer.requested_model):
            self.served.add(answer.served_model)
        probed = _score(self.asker, item, answer, keep=request.keep)
        self.tried.append(probed)
        self.contexts.append(context)
        return probed


def _score(asker: Workspace, item: ProbeItem | LogItem, answer: Answer, *, keep: str) -> Probed:
    """Check an answer, and keep the outcome as a label."""
    if isinstance(item, LogItem):
        checks, text, note = list(item.checks), item.prompt.text, f"log: {item.id}"
    else:
        checks, text, note = [make_check(spec, {}) for spec in item.checks], item.prompt, item.id
    verdicts = run_checks(checks, answer.text, Given(text, answer.finish_reason))
    score = {"pass": 1.0, "fail": 0.0}.get(worst(verdicts))
    evidence = "; ".join(verdict.evidence for verdict in verdicts if verdict.evidence)
    if score is not None and keep != "money":
        add_label(
            asker.ledger,
            request_id=answer.id,
            arm=answer.arm,
            reward=score,
            source="probe",
            at=instant(asker.clock()),
            note=note,
        )
    return Probed(item, score, evidence, answer.total_charged_nano)
