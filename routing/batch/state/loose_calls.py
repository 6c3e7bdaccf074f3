"""Calls of a provider's batch whose row does not ask for them any more: their money is settled, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scrimp.routing.asking.books import Settlement
from scrimp.routing.asking.log_rows import attempt_row
from scrimp.routing.calls.call import Call
from scrimp.routing.calls.composed import read_reply
from scrimp.routing.calls.faults import CallError
from scrimp.routing.ledger.reservations import Reservation
from scrimp.routing.prices.charge import charge
from scrimp.routing.prices.price import ArmPrice
from scrimp.routing.prices.usage import check_usage

if TYPE_CHECKING:
    from scrimp.routing.calls.provider_batches.protocol import Result
    from scrimp.routing.ledger.provider_batches import Held

__all__ = ["settled_alone"]


def settled_alone(held: Held, result: Result | None, *, never: bool = False) -> Settlement:
    """Return how a call is settled by what came of it.

    Parameters
    ----------
    result
        None where the batch is over without one: what it cost is not known.
    never
        It was never made, or given up: it cost nothing.
    """
    reservation = Reservation(held.id, held.bound_nano, held.profile, held.arm, "batch")
    note = "settled apart from its row"
    if never or (result is not None and result.over):
        return Settlement(reservation, 0, released=True, attempt={"error_kind": "not_sent"}, note="given up unanswered")
    if result is None:
        return Settlement(reservation, None, released=False, attempt={"error_kind": "cut"}, note=f"no result; {note}")
    call = Call(held.model or held.arm, (), held.output_limit or 1, stream=False)
    outcome = read_reply(call, result.status, result.body)
    reply = outcome.reply if isinstance(outcome, CallError) else outcome
    kind = {"error_kind": outcome.kind} if isinstance(outcome, CallError) else {}
    usage = None if reply is None else reply.usage
    if isinstance(outcome, CallError) and usage is None and (outcome.billable == "no" or result.unbilled):
        return Settlement(reservation, 0, released=True, attempt=kind, note=note)
    if reply is None or held.price is None:
        return Settlement(reservation, None, released=False, attempt=kind, note=note)
    status = reply.usage_status
    if usage is not None and held.input_bound is not None and held.output_limit is not None:
        status = check_usage(usage, input_bound=held.input_bound, output_limit=held.output_limit, window=None)
    usage = usage if status == "reported" else None
    cost, remarks = charge(ArmPrice.from_json(held.price), usage, reply.stated, bound_nano=held.bound_nano)
    row = attempt_row(reply, usage, status, cost) | {"latency_s": None} | kind
    return Settlement(reservation, cost, released=False, attempt=row, note="; ".join([note, *remarks]))
