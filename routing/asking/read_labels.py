"""What the log's labels say of how much arms read: it decides from the next file on."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Final

from scrimp.profiles.rungs import READINGS, reading_of
from scrimp.routing.ledger.labels import truths_of_readings
from scrimp.routing.router.reading_labels import TriedReading, learn_offsets

if TYPE_CHECKING:
    from scrimp.routing.deciding.decide import Decider
    from scrimp.routing.ledger.store import Ledger

__all__ = ["informed", "tried_readings"]

_RECENT: Final = 1_000
"""Labels that are looked at, the newest."""


def informed(decider: Decider, ledger: Ledger | None) -> Decider:
    """Return a decider that weighs readings by the log's labels too; as it is where there are too few."""
    offsets = {} if ledger is None else learn_offsets(tried_readings(ledger))
    model = decider.readings
    return decider if offsets == model.offsets else decider.reading_by(model.with_offsets(offsets))


def tried_readings(ledger: Ledger) -> list[TriedReading]:
    """Return the labelled answers of arms that were asked at a reading, newest first."""
    found = []
    for row in truths_of_readings(ledger, last=_RECENT):
        reading = reading_of(row["arm"])
        try:
            arms = json.loads(row["decision"] or "")["arms"]
            arm = next(each for each in arms if each["name"] == row["arm"])
            quality, learned, model = float(arm["quality"]), float(arm.get("learned", 0.0)), str(arm["model"])
        except (ValueError, KeyError, TypeError, StopIteration):
            continue
        if reading in READINGS and 0.0 < quality < 1.0 and 0.0 <= row["reward"] <= 1.0:
            prior = 1.0 / (1.0 + math.exp(learned - math.log(quality / (1.0 - quality))))
            found.append(TriedReading(model, reading, prior, float(row["reward"]), float(row["weight"] or 1.0)))
    return found
