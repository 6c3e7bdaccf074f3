"""Bidding: every arm says shortly how it would answer, all score all plans, and the plan worth most is carried out.

The protocol of SALE, with the user's arms. A plan is worth what its answer is (willingness to pay times the chance that
it is right) less what doing it costs. How far the scores move an arm's predicted quality is learned from the log
(`bid_memory`); arms cheaper than the one that leads may bid once more, shown bids that won and lost on like prompts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from scrimp.profiles.money import NANO, format_usd
from scrimp.routing.checks.base import Verdict
from scrimp.routing.plans.spends import BID_BYTES, BID_LIMIT, SCORES_LIMIT
from scrimp.routing.prompts.prompt import Prompt
from scrimp.routing.text.fence import fenced

from .desk import Came
from .letters import LETTERS, read_scores
from .protocol import Role, Wanted
from .quoting import DATA, formless, quoted, without_thoughts

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from .desk import Desk, Turn
    from .protocol import Test

__all__ = ["JUROR", "LOST", "WON", "believed", "bidding"]

WON: Final = "won"
LOST: Final = "lost"
JUROR: Final = "juror "
"""What the verdicts on a bid are called: how it ended, and with an arm's name behind it what that arm gave it."""

_BID: Final = """\
{prompt}

---
Do not answer this yet. Say in at most 120 words how you would: the steps, what they rest on, and where it could go \
wrong. Others do the same, and the best plan for its cost is carried out. Reply with the plan alone.{more}"""

_AGAIN: Final = """

Your plan was not the best so far. It stands below between lines of a marker, with plans for like prompts that won and \
that lost; {data}. Make it better, or shorter: what is long costs more.

{parts}"""

_SCORES: Final = """\
Plans of how to answer a prompt stand below between lines of a marker, after the prompt; {data}. Score each from 0 to \
10 by how likely it is that whoever wrote it answers the prompt rightly by it.

{parts}

Reply with the letters and scores alone, such as A: 7, B: 4."""

_DO: Final = """\
{prompt}

---
This is your plan for it:

{parts}

Now answer the prompt. Reply with the answer alone."""

_SYSTEM: Final = "You are a strict, fair examiner. You reply with letters and scores."


@dataclass(slots=True)
class _Bid:
    arm: str
    seq: int
    text: str
    scores: dict[str, float] = field(default_factory=dict)
    quality: float = 0.0
    cost_nano: int = 0
    held_usd: float = 0.0

    def worth(self, wtp_usd: float) -> float:
        return wtp_usd * self.quality - self.cost_nano / NANO - self.held_usd


def believed(quality: float, scores: Sequence[float], trust: float) -> float:
    """Return the chance that an arm's answer is right, after what jurors gave its plan.

    logit v = (1 - w) logit q + w logit s, with q the predicted quality, s the mean score and w the trust in scores;
    q and s in [0.02, 0.98].

    Parameters
    ----------
    scores
        In [0, 1]; where there is none, `quality` is returned.

    Examples
    --------
    >>> round(believed(0.6, [0.9, 0.9], 0.5), 3), believed(0.6, [], 0.5), round(believed(0.6, [0.1], 0.0), 3)
    (0.786, 0.6, 0.6)
    """
    if not scores:
        return quality

    def logit(p: float) -> float:
        p = min(0.98, max(0.02, p))
        return math.log(p / (1.0 - p))

    said = math.fsum(scores) / len(scores)
    return 1.0 / (1.0 + math.exp(-((1.0 - trust) * logit(quality) + trust * logit(said))))


def bidding(desk: Desk, turn: Turn) -> Generator[Wanted | Test, Any, Came]:
    """Have the arms of a stage bid, and the one whose plan is worth most answer."""
    asking = _Bidding(desk, turn)
    bids = yield from asking.first()
    if bids:
        yield from asking.score(bids, "first")
        if (yield from asking.again(bids)):
            yield from asking.score(bids, "again")
    winner = asking.winner(bids)
    why = f"{winner.arm} answers by its plan"
    wanted = Wanted(winner.arm, Role.ASK, turn.number, turn.prompt, why=why)
    if winner.text:
        text = asking.prompt.text
        plan = fenced([("PLAN", quoted(winner.text, BID_BYTES))], *asking.prompt.around)
        asked = asking.prompt.saying(_DO.format(prompt=text, parts=plan))
        wanted = Wanted(winner.arm, Role.ASK, turn.number, asked, why=why)
    best = yield from desk.ask(wanted)
    return Came(best, turn.stage.gate is None)


class _Bidding:
    def __init__(self, desk: Desk, turn: Turn) -> None:
        self.desk = desk
        self.turn = turn
        self.arms = turn.stage.arms
        self.prompt = turn.prompt or desk.brief.prompt
        self.why = turn.why

    def first(self) -> Generator[Wanted, Any, list[_Bid]]:
        """Have every arm bid; return the bids that came."""
        bids: list[_Bid] = []
        for arm in self.arms:
            if self.desk.out_of_money:
                break
            again = any(bid.arm == arm for bid in bids)
            bid = yield from self._bid(arm, "", vary=again)
            if bid is not None:
                bids.append(bid)
        return bids

    def again(self, bids: list[_Bid]) -> Generator[Wanted, Any, bool]:
        """Let arms that are cheaper than the one that leads bid once more; return whether one did."""
        memory = self.desk.brief.memory
        if len(bids) < 2 or not (memory.won or memory.lost):
            return False
        best = self.winner(bids)
        like = [("A PLAN THAT WON", each) for each in memory.won[:2]]
        like += [("A PLAN THAT LOST", each) for each in memory.lost[:2]]
        changed = False
        for at, bid in enumerate(bids):
            if self.desk.out_of_money or self._cost(bid.arm) >= self._cost(best.arm):
                continue
            parts = [(title, quoted(text, BID_BYTES)) for title, text in [("YOUR PLAN", bid.text), *like]]
            more = _AGAIN.format(data=DATA, parts=fenced(parts, *self.desk.brief.prompt.around))
            new = yield from self._bid(bid.arm, more)
            if new is not None:
                self.desk.judged_step(bid.seq, Verdict(LOST, "abstain", "it was bid anew"))
                bids[at], changed = new, True
        return changed

    def _bid(self, arm: str, more: str, *, vary: bool = False) -> Generator[Wanted, Any, _Bid | None]:
        prompt = self.desk.brief.prompt
        asked = formless(prompt.saying(_BID.format(prompt=prompt.text, more=more)))
        why, self.why = self.why, None
        wanted = Wanted(arm, Role.BID, self.turn.number, asked, BID_LIMIT, vary=vary, why=why)
        got = yield from self.desk.call(wanted)
        text = without_thoughts(got.text or "")
        return _Bid(arm, got.seq, text) if text and not got.calls else None

    def score(self, bids: Sequence[_Bid], what: str) -> Generator[Wanted, Any, None]:
        """Have every arm score every plan, unnamed and in an order of its own, and value them by it."""
        for bid in bids:
            bid.scores.clear()
        for nth, juror in enumerate(self.arms if len(bids) > 1 else ()):
            if self.desk.out_of_money:
                break
            order = self.desk.shuffled(f"bid {self.turn.number} {what} {nth}", len(bids))
            parts = [("PROMPT", self.desk.brief.prompt.text)]
            parts += [(f"PLAN {LETTERS[at]}", quoted(bids[i].text, BID_BYTES)) for at, i in enumerate(order)]
            asked = Prompt(_SCORES.format(data=DATA, parts=fenced(parts)), system=_SYSTEM)
            got = yield from self.desk.call(Wanted(juror, Role.JUDGE, self.turn.number, asked, SCORES_LIMIT))
            for at, score in read_scores(got.text or "", len(bids)).items():
                bids[order[at]].scores[juror] = score / 10.0
        if len(bids) > 1 and not any(bid.scores for bid in bids):
            self.desk.notes.append("no scores of the plans could be read: predicted quality and cost decided")
        self._value(bids)

    def _value(self, bids: Sequence[_Bid]) -> None:
        brief = self.desk.brief
        mean = math.fsum(len(bid.text.split()) for bid in bids) / len(bids)
        for bid in bids:
            card = brief.arms[bid.arm]
            bid.quality = believed(card.quality, list(bid.scores.values()), brief.memory.trust)
            # A longer plan is more work: the answer grows with it, within reason.
            longer = min(2.0, max(0.5, len(bid.text.split()) / mean))
            bid.cost_nano = round(self._cost(bid.arm) + (longer - 1.0) * card.output_nano)
            bid.held_usd = card.held_usd

    def winner(self, bids: Sequence[_Bid]) -> _Bid:
        """Return the bid worth most, and take down how each fared; without bids, who is predicted to be worth most."""
        brief = self.desk.brief
        if not bids:
            self.desk.notes.append("no plan came: predicted quality and cost decided")
            bids = [
                _Bid(arm, 0, "", {}, brief.quality(arm), self._cost(arm), brief.arms[arm].held_usd)
                for arm in dict.fromkeys(self.arms)
            ]
            return max(bids, key=lambda bid: bid.worth(brief.wtp_usd))
        best = max(bids, key=lambda bid: bid.worth(brief.wtp_usd))
        for bid in bids:
            worth = _usd(bid.worth(brief.wtp_usd))
            said = f"worth {worth}: {bid.quality:.0%} right for about {format_usd(bid.cost_nano)}"
            told = [Verdict(f"{JUROR}{arm}", "abstain", f"{10 * s:g} of 10", s) for arm, s in bid.scores.items()]
            how = WON if bid is best else LOST
            self.desk.judged_step(bid.seq, *told, Verdict(how, "abstain", said, bid.quality))
        return best

    def _cost(self, arm: str) -> int:
        return self.desk.brief.arms[arm].cost_nano or 0


def _usd(usd: float) -> str:
    return f"{'-' if usd < 0 else ''}{format_usd(round(abs(usd) * NANO))}"
