"""What earlier calls say of how long arms' answers are: of those that were made as the arms are now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scrimp.routing.prompts.instructions import instructions_id
from scrimp.routing.router.lengths import Observed, learn_length

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from scrimp.profiles.schema import Arm
    from scrimp.routing.ledger.past_calls import PastCall
    from scrimp.routing.router.lengths import Length

__all__ = ["OwnLengths", "own_length"]


class OwnLengths:
    """Keeps what was learnt of calls until others are read: one reading serves many requests."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[Arm, Sequence[PastCall], Length | None]] = {}

    def of(self, past: Mapping[str, Sequence[PastCall]], arms: Iterable[Arm]) -> dict[str, Length]:
        """Return by name what calls of arms say of their lengths; arms without any that tell are left out.

        Parameters
        ----------
        past
            Calls by arm. The same sequence is taken to hold the same calls.
        """
        found = {}
        for arm in arms:
            calls = past.get(arm.name, ())
            known = self._known.get(arm.name)
            if known is None or known[0] is not arm or known[1] is not calls:
                known = self._known[arm.name] = (arm, calls, own_length(calls, arm))
            if known[2] is not None:
                found[arm.name] = known[2]
        return found


def own_length(calls: Iterable[PastCall], arm: Arm) -> Length | None:
    """Return what calls say of an arm's lengths; None where none tells.

    A call counts where it answered a prompt, of which it is on record what a middling model would have written, with
    the model and the instructions that the arm has now.
    """
    told = instructions_id(arm)
    return learn_length(
        Observed(call.output_tokens, call.output_limit, call.prompt_output)
        for call in calls
        if call.answers and call.model == arm.model and call.instructions == told and call.prompt_output is not None
    )
