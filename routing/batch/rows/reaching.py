"""How a provider's batch is reached again, and what its results mean, whoever looks at it."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from scrimp.profiles.errors import ConfigError
from scrimp.routing.calls.call import Call
from scrimp.routing.calls.composed import compose
from scrimp.routing.calls.faults import CallError, to_scrimp_error
from scrimp.routing.calls.provider_batches.opened import batch_api_of, open_api

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from scrimp.profiles.schema import Arm
    from scrimp.routing.calls.provider_batches.protocol import ProviderBatch, Result, Standing
    from scrimp.routing.ledger.provider_batches import Handed

__all__ = ["SETTLES_S", "placed", "posix_of", "reach", "refused"]

SETTLES_S: Final = 60.0
"""How long after a batch was handed over without an answer it is certain that the provider's list has it, seconds."""


async def reach(
    handed: Handed, arms: Sequence[Arm], key: Callable[[Arm], str | None], ready: Callable[[str], Any]
) -> ProviderBatch:
    """Return the Batch API that holds a batch, by the arm that it was handed over for.

    Raises
    ------
    ScrimpError
        If the arm is not there any more, or goes elsewhere.
    """
    arm = next((arm for arm in arms if arm.name == handed.arm), None)
    api = None if arm is None else batch_api_of(arm)
    if arm is None or api is None or api != handed.api:
        raise ConfigError(
            f"batch {handed.id} was handed to {handed.api} for arm {handed.arm}, which the profile has no more",
            hint="Put the arm back as it was: what is done is fetched by its key, from its address.",
        )
    await ready(arm.model)
    call = Call(
        arm.model, [{"role": "user", "content": "-"}], arm.output_limit, api_base=arm.api_base, api_key=key(arm),
        reasoning_effort=arm.reasoning_effort, stream=False,
    )  # fmt: skip
    try:
        composed = compose(call)
        found = open_api(api, composed, arm.name)
    except CallError as error:
        raise to_scrimp_error(error, arm) from None
    if composed.url != handed.url:
        raise ConfigError(
            f"batch {handed.id} is at {handed.url}, and arm {handed.arm} now goes to {composed.url}",
            hint="Put the arm's api_base back as it was: its key goes nowhere else.",
        )
    return found


def placed(results: Sequence[Result], names: Sequence[str]) -> list[Result]:
    """Return results that say no names of their own under those of their places; none where some are missing."""
    if len(results) != len(names):
        return []
    return [replace(result, custom_id=name) for result, name in zip(results, names, strict=True)]


def refused(handed: Handed, standing: Standing) -> CallError:
    """Return what the rows of a batch are told that was refused as a whole: nothing of it was done."""
    limit = "limit" in standing.why.lower()
    return CallError(
        "rate_limited" if limit else "bad_request",
        f"{handed.arm}: its provider refused the batch: {standing.why or standing.word}",
        retryable=limit,
        billable="no",
        retry_after_s=120.0 if limit else None,
    )


def posix_of(at: str) -> float:
    """Return a time of the ledger's as POSIX time."""
    return datetime.fromisoformat(at).timestamp()
