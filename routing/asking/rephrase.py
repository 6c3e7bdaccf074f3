"""The call that puts a question into other words, and the choice of the words in which it is asked.

Each phrasing, and the question as it was put, is embedded and judged by the router for the arm that was decided on; the
one that is most likely to be answered right is asked (as HalluciBot, arXiv:2404.12535, ranks prompts beforehand).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from scrimp.profiles.errors import GuardRefusedError
from scrimp.profiles.rungs import bare_of
from scrimp.routing.guard.verdict import Name
from scrimp.routing.strategies.protocol import Role, Wanted
from scrimp.routing.text.in_words import percent

from .phrasings import Candidate, Phrased, phrasings_in, sorted_out
from .rephrasing import fits

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from scrimp.routing.prompts.context import Context
    from scrimp.routing.strategies.protocol import Got

    from .asked import Asked, Kit
    from .phrasings import Read
    from .rephrasing import Rephrasing

__all__ = ["refuse_risky", "rephrased"]

ALIKE: Final = 0.6
"""The least cosine of a phrasing and its question, as the embedder sees them: below that it asks for something else."""


def rephrased(
    asked: Asked, rephrasing: Rephrasing, kit: Kit, call: Callable[[Wanted], Generator[Any, Any, Got]]
) -> Generator[Any, Any, Phrased]:
    """Have a question put into other words; return in which it is asked.

    Parameters
    ----------
    call
        Makes a call for the request.
    """
    reply = rephrasing.known
    if reply is None:
        why = f"{rephrasing.arm} puts it into other words, {rephrasing.n} ways"
        got = yield from call(
            Wanted(rephrasing.arm, Role.REPHRASE, prompt=rephrasing.prompt, limit=rephrasing.limit, why=why)
        )
        reply = got.text or ""
    prompt = asked.ask.prompt
    vault = asked.ask.vault
    reads = sorted_out(prompt.text, phrasings_in(reply, rephrasing.n), () if vault is None else vault.values)
    phrased = _weighed(asked, kit, reads)
    _tell(phrased, kit, bought_before=rephrasing.known is not None)
    return phrased


def _weighed(asked: Asked, kit: Kit, reads: Sequence[Read]) -> Phrased:
    """Return the question and those of its phrasings that may stand for it, each by what it is predicted to come to."""
    question = asked.ask.prompt.text
    good = [read for read in reads if not read.against]
    dropped = [read for read in reads if read.against]
    contexts = kit.decider.contexts([question, *(read.text for read in good)])
    first = _quality(asked, kit, question, contexts[0])
    if first is None:  # it was feasible when it was decided
        first = asked.decision.choice.option(asked.decision.arm or "").quality
    candidates = [Candidate(question, first)]
    for read, context in zip(good, contexts[1:], strict=True):
        against = ""
        if not fits(question, read.text):
            against = "it is too long"
        elif float(context.embedding @ contexts[0].embedding) < ALIKE:
            against = "it asks for something else"
        quality = None if against else _quality(asked, kit, read.text, context)
        if quality is None:
            dropped.append(replace(read, against=against or "it does not fit the arm"))
        else:
            candidates.append(Candidate(read.text, quality))
    taken = max(range(len(candidates)), key=lambda at: candidates[at].quality)  # of equals the first: as it was put
    return Phrased(question, tuple(candidates), taken, tuple(dropped))


def _quality(asked: Asked, kit: Kit, text: str, context: Context) -> float | None:
    """Return the predicted quality of the arm that was decided on where it is asked so; None where that does not fit.

    Of a plan of several calls it is the arm that is asked first.
    """
    decision, decider = asked.decision, kit.decider
    arm = decision.arm or ""
    again = decider.decide(
        replace(asked.ask.prompt, text=text),
        decider.predict([context]),
        replace(asked.ask.wishes, arm=bare_of(arm), max_cost_nano=None),
        decision_id=decision.id,
        rng=kit.rng,
    )
    options = [each.option for each in again.choice.weighed if each.option.arm == arm]
    return None if not options or options[0].infeasible is not None else options[0].quality


def _tell(phrased: Phrased, kit: Kit, *, bought_before: bool) -> None:
    """Say in which words it is asked; it is never asked in others without that."""
    before = " (phrasings that were bought before)" if bought_before else ""
    n = len(phrased.candidates) - 1
    if not n:
        why = f" (dropped: {'; '.join(dict.fromkeys(read.against for read in phrased.dropped))})"
        kit.say(f"no phrasing of use came back{why if phrased.dropped else ''}: it is asked as it was put")
        return
    first, best = phrased.candidates[0], phrased.candidates[phrased.taken]
    if not phrased.taken:
        kit.say(f"asked as it was put: none of {n} phrasings is likelier to be answered right{before}")
        return
    text = " ".join(phrased.text.split())
    kit.say(f"asked as: {text} (predicted quality {percent(best.quality)}, not {percent(first.quality)}){before}")


def refuse_risky(asked: Asked, phrased: Phrased) -> None:
    """Refuse what is likely to be answered wrongly in every phrasing, where the profile waited for these (`risk_met`).

    Raises
    ------
    GuardRefusedError
        If it is.
    """
    risk = next((each for each in asked.decision.guards if each.guard is Name.RISK), None)
    if risk is None or not risk.detail.get("phrased_first"):
        return
    best, threshold = phrased.candidates[phrased.taken].quality, risk.detail["threshold"]
    if best < threshold:
        raise GuardRefusedError(
            f"not asked: in the best of {len(phrased.candidates)} phrasings {asked.decision.arm} is of predicted "
            f"quality {percent(best)}, below {percent(threshold)} (guard.risk_below)",
            hint="Only the phrasings were paid for. Ask an abler arm (-m, -p), or raise the cap that keeps it away.",
        )
