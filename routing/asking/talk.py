"""A session of several requests that follow one another: where its conversation stands, and what it has cost."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from scrimp.routing.ledger.caps import applicable_caps, balance, cap_states
from scrimp.routing.ledger.conversations import Conversation, PastTurn
from scrimp.routing.ledger.store import new_id

if TYPE_CHECKING:
    from scrimp.profiles.schema import Profile
    from scrimp.routing.ledger.caps import CapState
    from scrimp.routing.ledger.store import Ledger

    from .request import Answer

__all__ = ["charged_nano", "new_run", "session_caps", "with_turn"]


def new_run(now: float) -> str:
    """Return the id of a run that begins at POSIX time `now`."""
    return new_id(now)


def with_turn(past: Conversation | None, asked: str, answer: Answer, *, system: str | None) -> Conversation:
    """Return a conversation that the log does not keep, with one more turn; None begins one."""
    past = past or Conversation(answer.conversation_id or answer.id, system=system)
    turns = (*past.turns, PastTurn(answer.id, asked, answer.text))
    return replace(past, turns=turns, arm=answer.arm)


def charged_nano(ledger: Ledger, run_id: str) -> int:
    """Return what a run's caps are charged so far, nano-USD: calls in flight and of unknown cost at their bounds."""
    return sum(balance(ledger, f"run:{run_id}"))


def session_caps(ledger: Ledger, profile: Profile, run_id: str, *, now: float) -> list[CapState]:
    """Return what stands over a run and over all else, arms' own caps apart, with what each leaves."""
    caps = applicable_caps(ledger, profile, None, now=now, run_id=run_id)
    return cap_states(ledger, [cap for cap in caps if cap.key is not None and cap.arm is None], now=now)
