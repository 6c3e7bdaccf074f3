"""What users say of answers: a request is found, and labelled. Light, since `scrimp rate` does nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from scrimp.profiles.errors import UsageError
from scrimp.profiles.money import read_number
from scrimp.routing.ledger.labels import add_label
from scrimp.routing.ledger.requests import asked_unkept, find
from scrimp.routing.ledger.store import instant

if TYPE_CHECKING:
    from scrimp.routing.ledger.store import Ledger

__all__ = ["find_answer", "find_request", "rate", "read_reward"]

_WORDS: Final = {"good": 1.0, "bad": 0.0}


def find_request(ledger: Ledger | None, which: str) -> tuple[Ledger, dict[str, Any]]:
    """Return a logged request (`last`, an id, or an end of one), and the ledger that holds it.

    Raises
    ------
    UsageError
        If there is none, or more than one.
    """
    row = find(ledger, which)
    assert ledger is not None  # noqa: S101 - find has raised
    return ledger, row


def find_answer(ledger: Ledger | None, which: str, what: str) -> tuple[Ledger, dict[str, Any]]:
    """Return the logged request that `what` ("rate", "ask again") is to be done with, as `find_request`.

    Raises
    ------
    UsageError
        If there is none: `last` is never an earlier one than what was asked last.
    """
    if which == "last" and (unkept := asked_unkept(ledger)) is not None:
        raise UsageError(
            f"there is nothing to {what}: of what was asked last the log has nothing ({unkept})",
            hint='It was asked with --no-log, under log.keep = "money", or is forgotten. Name an earlier request by '
            "its id (`scrimp log` lists them).",
        )
    return find_request(ledger, which)


def read_reward(word: str) -> float:
    """Read a rating: `good` (1), `bad` (0), or a number in [0, 1].

    Raises
    ------
    UsageError
        If it is none of these.
    """
    if word in _WORDS:
        return _WORDS[word]
    try:
        reward = float(read_number(word))
    except ValueError:
        reward = -1.0
    if not 0.0 <= reward <= 1.0:
        raise UsageError(f"a rating is good, bad, or a number from 0 to 1, not {word!r}")
    return reward


def rate(ledger: Ledger | None, which: str, reward: float, *, note: str | None, now: float) -> dict[str, Any]:
    """Label an answer with what its user thinks of it, in [0, 1]; return its request.

    Raises
    ------
    UsageError
        If there is no such request, or it has no answer.
    """
    ledger, row = find_answer(ledger, which, "rate")
    if row["status"] != "ok":
        raise UsageError(f"request {row['id']} has no answer to rate: it is {row['status']}")
    at = instant(now)
    add_label(ledger, request_id=row["id"], arm=row["arm"], reward=reward, source="rating", at=at, note=note)
    return row
