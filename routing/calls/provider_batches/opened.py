"""Which arms have a Batch API, and how it is reached."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from scrimp.routing.calls.faults import CallError

if TYPE_CHECKING:
    from scrimp.profiles.schema import Arm
    from scrimp.routing.calls.composed import Composed

    from .protocol import ProviderBatch

__all__ = ["Api", "batch_api_of", "open_api"]

Api = Literal["openai", "anthropic", "gemini"]

_OWN: Final[dict[str, Api]] = {"openai": "openai", "anthropic": "anthropic", "gemini": "gemini"}


def batch_api_of(arm: Arm) -> Api | None:
    """Return whose Batch API an arm's calls can go through; None where it has none that is known.

    A server at an address of its own has one where the arm says so (`batch_api`).
    """
    if arm.model.startswith("local/"):
        return None
    if arm.batch_api is not None:
        return arm.batch_api
    return _OWN.get(arm.provider) if arm.api_base is None else None


def open_api(api: Api, composed: Composed, who: str) -> ProviderBatch:
    """Return the Batch API that goes with a composed call: the same address, the same account.

    Parameters
    ----------
    who
        The arm, for messages.

    Raises
    ------
    CallError
        If the call is none that the API takes.
    """
    from . import anthropic, gemini, openai
    from .gateway import Gateway

    gateway = Gateway(who, composed.headers)
    url = composed.url
    if api == "openai" and url.endswith(openai.SUFFIX):
        return openai.OpenAIBatch(url.removesuffix(openai.SUFFIX), gateway)
    if api == "anthropic" and url.endswith(anthropic.SUFFIX):
        return anthropic.AnthropicBatch(url.removesuffix(anthropic.SUFFIX), gateway)
    if api == "gemini" and url.endswith(gemini.SUFFIX):
        base, _, name = url.removesuffix(gemini.SUFFIX).rpartition("/models/")
        return gemini.GeminiBatch(base, f"models/{name}", gateway)
    raise CallError("bad_request", f"{who}: calls to {url} are none that a Batch API takes", billable="no")
