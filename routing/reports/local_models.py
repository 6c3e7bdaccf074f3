"""The models of a profile that run in this process: how fast they should be, and were; their size and energy."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from statistics import median
from typing import TYPE_CHECKING, Any, Final

from scrimp.routing.calls.local_engine import CONTEXT_TOKENS
from scrimp.routing.calls.local_weights import PROVIDER
from scrimp.routing.calls.machine import Machine
from scrimp.routing.ledger.past_calls import past_calls

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scrimp.profiles.paths import Paths
    from scrimp.profiles.schema import Arm, Profile
    from scrimp.routing.calls.machine import Rates
    from scrimp.routing.ledger.past_calls import PastCall
    from scrimp.routing.ledger.store import Ledger

__all__ = ["LocalModel", "local_models"]

_FEW_TOKENS: Final = 8
"""Shorter answers tell little of a pace."""


@dataclass(frozen=True, slots=True)
class LocalModel:
    """One arm; None is unknown.

    Attributes
    ----------
    read_per_s, write_per_s
        Tokens a second that the model's size and this machine's speed predict, of a short context.
    seen_per_s, n_seen
        The median of tokens written a second, in so many streamed calls of its own.
    memory_bytes
        Its weights, and the cache of keys and values for the whole window.
    window
        Tokens of context that it is run with.
    joules_per_ktok
        Energy of a thousand tokens written: what the machine's packages take while one core works, for as long as they
        last.
    """

    name: str
    model: str
    n_parameters: int | None
    read_per_s: float | None
    write_per_s: float | None
    seen_per_s: float | None
    n_seen: int
    memory_bytes: int | None
    window: int | None
    joules_per_ktok: float | None

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)


def local_models(profile: Profile, paths: Paths, ledger: Ledger | None) -> tuple[list[LocalModel], Rates | None]:
    """Return a profile's arms that run in this process, and the machine's speed, which is measured if it is not known.

    The speed is None where there is no such arm, or it cannot be measured.
    """
    arms = [arm for arm in profile.arms if arm.model.startswith(f"{PROVIDER}/")]
    if not arms:
        return [], None
    machine = Machine(paths.machine)
    past = {} if ledger is None else past_calls(ledger, [arm.name for arm in arms])
    return [_model(arm, machine, past.get(arm.name, ())) for arm in arms], machine.rates()


def _model(arm: Arm, machine: Machine, past: Sequence[PastCall]) -> LocalModel:
    size, rates, supposed = machine.model(arm), machine.rates(), machine.supposed(arm)
    seen = [
        (call.output_tokens - 1) / (call.latency_s - call.first_s)
        for call in past
        if call.model == arm.model
        and not call.cut
        and call.output_tokens >= _FEW_TOKENS
        and call.first_s is not None
        and call.latency_s is not None
        and call.latency_s > call.first_s
    ]
    pace = median(seen) if seen else None
    write = None if supposed is None else 1.0 / supposed.write_s
    window = None if size is None else min(size.window or CONTEXT_TOKENS, CONTEXT_TOKENS)
    memory = None
    if size is not None and window is not None:
        memory = size.weight_bytes + size.kv_bytes * window
    watts, at = None if rates is None else rates.watts, pace or write
    return LocalModel(
        name=arm.name,
        model=arm.model,
        n_parameters=None if size is None else size.n_parameters,
        read_per_s=None if supposed is None else 1.0 / supposed.read_s,
        write_per_s=write,
        seen_per_s=pace,
        n_seen=len(seen),
        memory_bytes=memory,
        window=window,
        joules_per_ktok=None if watts is None or at is None else 1_000.0 * watts / at,
    )
