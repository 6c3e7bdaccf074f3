"""Audits: the best arm, asked again on a random sample of prompts that went to a cheaper one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from scrimp.profiles.errors import BudgetRefusedError, ScrimpError, UsageError
from scrimp.routing.asking.again import kept_here, prompt_of
from scrimp.routing.asking.kept_files import with_files
from scrimp.routing.asking.request import Ask
from scrimp.routing.checks.names import make_check
from scrimp.routing.deciding.decide import Wishes
from scrimp.routing.deciding.options import runs_here
from scrimp.routing.ledger.duels import REWARDS, Verdict
from scrimp.routing.ledger.labels import add_label
from scrimp.routing.ledger.learning import add_audit
from scrimp.routing.ledger.requests import auditable
from scrimp.routing.ledger.store import instant
from scrimp.routing.text.compare import agreement

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Mapping, Sequence

    from scrimp.routing.asking.workspace import Workspace
    from scrimp.routing.checks.base import Check
    from scrimp.routing.deciding.decide import Decider
    from scrimp.routing.ledger.store import Ledger
    from scrimp.routing.prompts.prompt import Prompt

_ENOUGH: Final = 200
"""Prompts by which the best arm is told: a mean over more would seldom name another, and each is embedded."""

Heard = Verdict | Literal["stop"] | None
"""What the user says of two answers: which is good, that it is enough, or nothing (None)."""

__all__ = ["Audit", "Candidate", "Heard", "best_arm", "candidates", "run_audit"]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A prompt that went to a cheaper arm and could be asked again of the best one; its files are read when it is."""

    n: int
    id: str
    arm: str
    answer: str
    prompt: Prompt
    row: Mapping[str, Any]


@dataclass(slots=True)
class Audit:
    """What an audit did.

    Attributes
    ----------
    n_pool, n_asked
        Prompts that could have been drawn, and those that were.
    n_lost
        Prompts the best arm answered and the cheaper one did not.
    """

    arm: str
    n_pool: int
    n_asked: int = 0
    n_labelled: int = 0
    n_lost: int = 0
    n_failed: int = 0
    charged_nano: int = 0
    stopped: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "schema_version": 1, "arm": self.arm, "n_pool": self.n_pool, "n_asked": self.n_asked,
            "n_labelled": self.n_labelled, "n_lost": self.n_lost, "n_failed": self.n_failed,
            "charged_usd": self.charged_nano / 1e9, "stopped": self.stopped,
        }  # fmt: skip


def best_arm(decider: Decider, pool: Sequence[Candidate]) -> str:
    """Return the arm that the router in force predicts to be best, on average over prompts; the default without any."""
    if not pool:
        return decider.profile.default.name
    quality = decider.predict(decider.contexts([each.prompt.text for each in pool])).quality.mean(axis=0)
    return decider.infos[int(quality.argmax())].name


def candidates(ledger: Ledger, decider: Decider, best: str | None = None, *, last: int) -> tuple[str, list[Candidate]]:
    """Return the best arm, and the prompts that may be audited: the last so many that another arm answered.

    Only prompts whose text is kept, and that were not audited before; none that was to stay on this machine
    (`--local-only`) when the best arm is elsewhere.

    Parameters
    ----------
    best
        The arm to ask again; unless given it is `best_arm` by the latest of these prompts, whoever answered them.

    Raises
    ------
    UsageError
        If the profile has no such arm.
    """
    profile = decider.profile
    names = [arm.name for arm in profile.arms]
    if best is not None and best not in names:
        raise UsageError(f"profile {profile.name} has no arm {best!r}", hint=profile.known_arms(best))

    def but(arm: str | None, last: int) -> list[Candidate]:
        rows = auditable(ledger, profile.name, names, but=arm, last=last)
        here = arm is None or runs_here(profile.arm(arm))
        return [
            Candidate(row["n"], row["id"], row["arm"], row["answer"], prompt_of(row), row)
            for row in rows
            if here or kept_here(row) is None
        ]

    best = best or best_arm(decider, but(None, min(last, _ENOUGH)))
    return best, but(best, last)


def run_audit(
    asker: Workspace,
    ledger: Ledger,
    pool: list[Candidate],
    best: str,
    *,
    max_nano: int,
    n: int,
    check: str | None,
    ask_user: Callable[[str, str, str], Heard] | None,
    rng: random.Random,
    keep: str,
    clock: Callable[[], float],
    progress: Callable[[str], None],
) -> Audit:
    """Ask the best arm again on a random sample, in random order, until the money or the sample is used up.

    Every call is reserved, paid and logged like any other, under all caps. Answers are compared by the check, else by
    the user, who is shown both without their names, else by how far they agree, which is fitted on but judges nothing:
    two answers may agree and be wrong.

    Parameters
    ----------
    max_nano
        What the audit may cost, nano-USD, reservations included.
    check
        The name of a check, as for `ask --check`.
    ask_user
        Takes prompt and two answers, on sides that are drawn; returns which of them is good.
    """
    test = None if check is None else make_check(check, asker.profile.checks)
    audit = Audit(best, len(pool))
    drawn = rng.sample(pool, min(n, len(pool)))
    compared = 0
    for each in drawn:
        left = max_nano - audit.charged_nano
        try:
            request = Ask(
                prompt=with_files(ledger, each.row, each.prompt),
                wishes=Wishes(arm=best, max_cost_nano=left, waits=False),
                command="audit",
                redo_of=each.id,
                tag="audit",
                keep=keep,
            )
            (context,) = asker.decider.contexts([each.prompt.text])
            answer = asker.answer(request, context)
        except BudgetRefusedError as error:
            audit.stopped = error.message
            break
        except ScrimpError as error:
            audit.n_failed += 1
            progress(f"{each.id}: {error.message}")
            if audit.n_failed >= 3 and audit.n_asked == 0:
                audit.stopped = "three calls failed and none succeeded"
                break
            continue
        audit.n_asked += 1
        audit.charged_nano += answer.total_charged_nano
        at = instant(clock())
        if test is not None:
            rewards: tuple[float, float] | None = _checked(test, each, answer.text)
        elif ask_user is not None:
            best_first = rng.random() < 0.5
            shown = (answer.text, each.answer) if best_first else (each.answer, answer.text)
            heard = ask_user(each.prompt.text, *shown)
            if heard == "stop":
                audit.stopped = "as you said"
                break
            rewards = None if heard is None else REWARDS[heard]
            if rewards is not None and best_first:
                rewards = rewards[1], rewards[0]
        else:
            score = agreement([each.answer, answer.text], embed=asker.decider.embedder.embed)[0][1]
            if score is not None:
                note = f"with {best}"
                add_label(ledger, request_id=each.id, arm=each.arm, reward=score, source="agreement", at=at, note=note)
                audit.n_labelled += 1
            continue
        if rewards is None:
            continue
        note = "audit" if test is None else f"audit: {test.name}"
        add_label(ledger, request_id=each.id, arm=each.arm, reward=rewards[0], source="audit", at=at, note=note)
        add_label(ledger, request_id=answer.id, arm=answer.arm, reward=rewards[1], source="audit", at=at, note=note)
        audit.n_labelled += 2
        audit.n_lost += rewards[1] >= 0.5 > rewards[0]
        compared += 1
    if compared:
        add_audit(
            ledger, at=instant(clock()), profile=asker.decider.profile.name, arm=best,
            first_n=min(each.n for each in pool), last_n=max(each.n for each in pool), n_pool=len(pool),
            n_sampled=compared,
        )  # fmt: skip
    return audit


def _checked(check: Check, each: Candidate, answer: str) -> tuple[float, float] | None:
    """Return the rewards of the cheaper and the best arm's answer; None where the check cannot tell of either."""
    from scrimp.routing.checks.base import Given, run_checks

    given = Given(each.prompt.text)
    rewards = []
    for text in (each.answer, answer):
        (verdict,) = run_checks([check], text, given)
        if verdict.outcome == "abstain":
            return None
        rewards.append(0.0 if verdict.failed else 1.0)
    return rewards[0], rewards[1]
