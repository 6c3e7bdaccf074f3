"""A request, its progress and its answer, as values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from scrimp.profiles.money import usd_from_nano

if TYPE_CHECKING:
    from scrimp.routing.calls.faults import CallError
    from scrimp.routing.deciding.decide import Wishes
    from scrimp.routing.deciding.trace import Decision
    from scrimp.routing.prompts.prompt import Prompt

__all__ = ["Answer", "Ask", "Progress"]


TOTAL_DEADLINE_S: Final = 600.0
"""How long retries and fallbacks may go on."""


@dataclass(frozen=True, slots=True)
class Ask:
    """One request.

    Attributes
    ----------
    cap_override_nano
        Pay for this one request, retries and fallbacks included, up to this amount whatever the caps say; logged as
        such.
    run_id
        The run whose cap it counts against; None makes it a run of its own.
    keep
        What the log keeps: `all`, `features` (no text) or `money` (neither).
    """

    prompt: Prompt
    wishes: Wishes
    command: str = "ask"
    conversation_id: str | None = None
    redo_of: str | None = None
    tag: str | None = None
    keep: str = "all"
    cap_override_nano: int | None = None
    deadline_s: float = TOTAL_DEADLINE_S
    run_id: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer with all that is known of it; None is unknown."""

    id: str
    text: str
    arm: str
    requested_model: str
    served_model: str | None
    input_tokens: int | None
    output_tokens: int | None
    cached_tokens: int | None
    reasoning_tokens: int | None
    cost_nano: int | None
    cost_status: str
    charged_nano: int
    total_charged_nano: int
    latency_s: float
    ttft_s: float | None
    finish_reason: str | None
    decision: Decision
    n_attempts: int
    price_source: str | None
    saved_nano: int | None
    saved_against: str | None
    breach: bool
    notes: tuple[str, ...] = ()
    conversation_id: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return what `ask --json` prints."""
        taken = self.decision.choice.option(self.arm)
        return {
            "schema_version": 1,
            "id": self.id,
            "answer": self.text,
            "arm": self.arm,
            "requested_model": self.requested_model,
            "served_model": self.served_model,
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "cached_tokens": self.cached_tokens,
            "reasoning_tokens": self.reasoning_tokens,
            "cost_usd": None if self.cost_nano is None else usd_from_nano(self.cost_nano),
            "cost_status": self.cost_status,
            "charged_usd": usd_from_nano(self.charged_nano),
            "total_charged_usd": usd_from_nano(self.total_charged_nano),
            "latency_s": round(self.latency_s, 6),
            "ttft_s": None if self.ttft_s is None else round(self.ttft_s, 6),
            "finish_reason": self.finish_reason,
            "predicted_quality": taken.quality,
            "predicted_quality_basis": taken.basis,
            "predicted_cost_usd": None if taken.cost_nano is None else usd_from_nano(taken.cost_nano),
            "saved_usd": None if self.saved_nano is None else usd_from_nano(self.saved_nano),
            "saved_against": self.saved_against,
            "attempts": self.n_attempts,
            "breach": self.breach,
            "conversation_id": self.conversation_id,
            "price_source": self.price_source,
            "notes": list(self.notes),
            "decision": self.decision.to_dict(),
        }


@dataclass(slots=True)
class Progress:
    """What has happened so far on the way of one prompt."""

    notes: list[str] = field(default_factory=list)
    errors: list[tuple[str, CallError]] = field(default_factory=list)
    n_attempts: int = 0
    charged_nano: int = 0
    shown: int = 0
    logged: bool = False
