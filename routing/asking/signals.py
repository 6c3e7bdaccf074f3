"""What a user does after an answer, as a weak label of it: that nearly the same was asked again at once."""

from __future__ import annotations

import json
import re
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from scrimp.routing.ledger.labels import add_label
from scrimp.routing.ledger.requests import asked_before
from scrimp.routing.ledger.store import instant

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scrimp.profiles.schema import Profile
    from scrimp.routing.ledger.store import Ledger

__all__ = ["AGAIN_REWARD", "AGAIN_WEIGHT", "label_asked_again", "nearly_same"]

AGAIN_REWARD: Final = 0.25
AGAIN_WEIGHT: Final = 0.5
"""Of the mark that an answer gets: as low as that of `redo`. How little it counts is said where labels are weighed."""

_WITHIN_S: Final = 60.0
_LIKE: Final = 0.9
_NAMED: Final = re.compile(r"\d+|(?<!^)\b[A-Z]\w+|\"[^\"]{1,80}\"|`[^`]{1,80}`")


def label_asked_again(ledger: Ledger, profile: Profile, request_id: str, *, now: float) -> str | None:
    """Give the answer before this one a weak bad mark where its question was asked again in other words.

    Only where the profile wants it (`log.signals = "all"`), and where text and features of both are in the log.

    Parameters
    ----------
    request_id
        What was answered just now.
    now
        POSIX time.

    Returns
    -------
    str or None
        The request that got the mark.
    """
    if profile.log.signals != "all" or (pair := asked_before(ledger, request_id)) is None:
        return None
    after, before = pair
    seconds = _seconds(after) - _seconds(before)
    if not 0.0 <= seconds <= _WITHIN_S or not nearly_same(before, after):
        return None
    add_label(
        ledger, request_id=before["id"], arm=before["arm"], reward=AGAIN_REWARD, source="asked-again",
        weight=AGAIN_WEIGHT, at=instant(now), note=f"nearly the same was asked {seconds:.0f} s later: {request_id}",
    )  # fmt: skip
    return str(before["id"])


def nearly_same(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    """Tell whether a logged question says in other words what the one before said.

    They are alike by their embeddings, are asked of the same files, and name the same things: numbers, names, what is
    quoted. The very same words say nothing: a loop repeats them, or somebody who wants another draw.
    """
    texts = [before["prompt"], after["prompt"]]
    if None in texts or texts[0].split() == texts[1].split() or before["embedder_id"] != after["embedder_id"]:
        return False
    if before["embedding"] is None or after["embedding"] is None or _files(before) != _files(after):
        return False
    if _named(texts[0]) != _named(texts[1]):
        return False
    one, two = (np.frombuffer(each["embedding"], dtype="<f4") for each in (before, after))
    return len(one) == len(two) and float(one @ two) >= _LIKE


def _named(text: str) -> set[str]:
    return set(_NAMED.findall(text))


def _files(row: Mapping[str, Any]) -> set[str]:
    return {each["sha256"] for each in json.loads(row["sources"] or "[]")}


def _seconds(row: Mapping[str, Any]) -> float:
    return datetime.fromisoformat(row["created_at"]).timestamp()
