"""A call put together and not sent, a reply read that came another way: what a provider's Batch API takes and gives.

LiteLLM composes the request as for any other call. The wire that watches it (`wire.Wire`) keeps it and lets nothing
out, so that a call has the same body whichever way it goes, and its reply is read by the same rules.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import msgspec

from .faults import CallError
from .outcome import outcome_of
from .wire import RefusedError, Wire

if TYPE_CHECKING:
    from collections.abc import Mapping

    import httpx

    from .call import Call, Reply

__all__ = ["Composed", "compose", "read_reply"]

_KEPT: Final = "composed, and not sent"
_LEFT_OUT: Final = frozenset(
    {"host", "connection", "content-length", "content-type", "accept", "accept-encoding", "user-agent"}
)


@dataclass(frozen=True, slots=True)
class Composed:
    """A request for one answer, as it would have left.

    Attributes
    ----------
    url
        Without a query.
    headers
        Those that say who asks and in which version; lower-case names.
    body
        Its JSON.
    """

    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: Mapping[str, Any] = field(repr=False)


class _Keeper(Wire):
    """A wire that lets nothing out, and keeps what was to leave."""

    kept: httpx.Request | None = None

    def depart(self) -> None:
        """Nothing departs: nobody is told."""

    def admit(self, request: httpx.Request) -> httpx.Request | None:
        """Keep the paid request, held to the same rules as one that leaves.

        Raises
        ------
        RefusedError
            Always, for the paid one.
        """
        admitted = super().admit(request)
        if admitted is not None:
            self.kept = admitted
            self.refuse(_KEPT)
        return admitted


def compose(call: Call) -> Composed:
    """Put a call together as it would be sent whole, and send nothing.

    Raises
    ------
    CallError
        If it cannot be made: certain to cost nothing.
    """
    from .dispatch import whole_arguments

    litellm, arguments = whole_arguments(call)
    wire = _Keeper(output_limit=call.max_output_tokens, timeout_s=call.timeout_s, deadline_s=max(60.0, call.deadline_s))
    failure: BaseException | None = None
    try:
        with wire.current():
            litellm.module.completion(**litellm.unlogged(arguments, is_async=False))
    except (Exception, RefusedError) as error:  # noqa: BLE001  # litellm raises what it likes
        failure = error
    finally:
        wire.close()
    if wire.kept is None:
        outcome = outcome_of(call, wire, None, failure)
        raise outcome if isinstance(outcome, CallError) else _odd(call)
    request = wire.kept
    body = msgspec.json.decode(request.read())
    for name in ("stream", "stream_options"):
        body.pop(name, None)
    headers = {
        name.lower(): value
        for name, value in request.headers.items()
        if name.lower() not in _LEFT_OUT and not name.lower().startswith("x-stainless")
    }
    return Composed(str(request.url.copy_with(query=None)), headers, body)


def _odd(call: Call) -> CallError:
    return CallError("bad_request", f"{call.model}: it cannot be put together for a Batch API", billable="no")


def read_reply(call: Call, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> Reply | CallError:
    """Return what a reply says that a provider has kept, as if it had come over the wire.

    Parameters
    ----------
    call
        What was asked.
    status
        The HTTP status that the provider states for it.
    body
        Its JSON.
    """
    import httpx

    wire = Wire(output_limit=call.max_output_tokens, timeout_s=call.timeout_s, deadline_s=3600.0)
    wire.sent = wire.watched = True
    wire.begin(status, headers or {})
    try:
        wire.feed(body)
        wire.end()
    except httpx.ReadError as error:
        wire.broke(error)
    wire.decide()
    outcome = outcome_of(call, wire, None, None)
    if isinstance(outcome, BaseException) and not isinstance(outcome, CallError):
        raise outcome
    return outcome
