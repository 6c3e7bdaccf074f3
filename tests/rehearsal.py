"""Calls that litellm composes and that never leave: after them, calls of their kind are composed without it."""

from dataclasses import replace

from scrimp.routing.calls import dispatch
from scrimp.routing.calls.learnt import kind_of

N = 4
"""The first, and three more to compare with."""


class Stop(Exception):
    """Raised just before the request would leave."""


def otherwise(call, i):
    """A call of the same kind, with other texts."""
    return replace(call, messages=[{**each, "content": f"{i} {each['content']}"} for each in call.messages])


async def rehearse(call, *, streams, n=N):
    """Make calls like this one that end before they leave; return whether it would be composed without litellm now."""

    def stop():
        raise Stop

    for i in range(n):
        try:
            await dispatch.aattempt(otherwise(call, i), stop, (lambda _: None) if streams else None)
        except Stop:
            continue
        raise AssertionError("it was not stopped")
    return composes(call, streams=streams)


def composes(call, *, streams):
    """Whether a call would be composed without litellm."""
    kind = kind_of(call, streams=streams and call.stream)
    return kind is not None and dispatch.prepare().learnt.compose(kind) is not None
