"""What a server, or a session of several requests, has done so far."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

__all__ = ["Totals"]


@dataclass(slots=True)
class Totals:
    """What several requests came to.

    Attributes
    ----------
    n_by_arm
        Answers by the arm that gave them.
    charged_nano, saved_nano
        What was charged for all calls, those that brought no answer too, and what the answers cost less than on the
        best arm, nano-USD.
    n_refused, n_failed, n_interrupted
        Requests that a cap refused, that failed otherwise, and whose client went away.
    """

    n_by_arm: Counter[str] = field(default_factory=Counter)
    charged_nano: int = 0
    saved_nano: int = 0
    n_refused: int = 0
    n_failed: int = 0
    n_interrupted: int = 0
