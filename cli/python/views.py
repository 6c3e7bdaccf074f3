"""From what the engine knows to what Python is given."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from scrimp.profiles.money import NANO

from .accounts import Cap, Spending, SpendingRow
from .results import Answer, CheckResult, Passage, ReadFile, Route, RoutedArm

if TYPE_CHECKING:
    from scrimp.routing.asking.request import Checked
    from scrimp.routing.deciding.policy import Choice, Weighed
    from scrimp.routing.deciding.trace import Decision
    from scrimp.routing.ledger.caps import CapState
    from scrimp.routing.reports import spending

__all__ = ["answer_of", "route_of", "spending_of"]


def _usd(nano: int) -> Decimal:
    return Decimal(nano) / NANO


def _usd_or_none(nano: int | None) -> Decimal | None:
    return None if nano is None else _usd(nano)


def _arm(weighed: Weighed, choice: Choice) -> RoutedArm:
    option = weighed.option
    return RoutedArm(
        name=option.arm,
        model=option.model,
        quality=option.quality,
        quality_low=option.quality_low,
        quality_high=option.quality_high,
        basis=option.basis,
        rests_on=option.rests_on,
        input_tokens=option.input_tokens,
        output_tokens_p50=option.output_tokens_p50,
        output_tokens_p90=option.output_tokens_p90,
        output_limit=option.output_limit,
        cost_usd=_usd_or_none(option.cost_nano),
        cost_usd_p90=_usd_or_none(option.cost_p90_nano),
        bound_usd=_usd_or_none(option.bound_nano),
        utility_usd=weighed.utility_usd,
        propensity=None if choice.no_draw else weighed.probability,
        feasible=option.infeasible is None,
        why=weighed.why,
        first_s=option.first_s,
        seconds=option.seconds,
        seconds_p90=option.seconds_p90,
        terms=dict(option.terms),
    )


def route_of(decision: Decision, *, missed: bool) -> Route:
    """Return a decision; `missed` says that what was taken is not predicted to reach the quality asked for."""
    choice = decision.choice
    return Route(
        id=decision.id,
        profile=decision.profile,
        arm=decision.arm,
        arms=tuple(_arm(weighed, choice) for weighed in choice.weighed),
        guard=choice.guard,
        explored=choice.explored,
        wtp_usd=decision.wtp_usd,
        min_quality=decision.min_quality,
        min_quality_missed=missed,
        level=decision.level,
        against=None if decision.against is None else decision.against.arm,
        price_share=decision.price_share,
        router_version=decision.router_version,
        plan=None if decision.plan is None else decision.plan["text"],
        _source=decision,
    )


def answer_of(checked: Checked, *, was_checked: bool, missed: bool, said: tuple[str, ...]) -> Answer:
    """Return an answer.

    Parameters
    ----------
    was_checked
        Whether there were checks or a plan, so that `--json` tells of them.
    missed
        As in `route_of`.
    said
        What was said meanwhile.
    """
    answer, read = checked.answer, checked.answer.read
    taken = answer.decision.choice.option(answer.arm)
    return Answer(
        id=answer.id,
        text=answer.text,
        arm=answer.arm,
        requested_model=answer.requested_model,
        served_model=answer.served_model,
        input_tokens=answer.input_tokens,
        output_tokens=answer.output_tokens,
        cached_tokens=answer.cached_tokens,
        reasoning_tokens=answer.reasoning_tokens,
        cost_usd=_usd_or_none(answer.cost_nano),
        cost_status=answer.cost_status,
        charged_usd=_usd(answer.charged_nano),
        total_charged_usd=_usd(answer.total_charged_nano),
        latency_s=answer.latency_s,
        ttft_s=answer.ttft_s,
        finish_reason=answer.finish_reason,
        predicted_quality=taken.quality,
        predicted_cost_usd=_usd_or_none(taken.cost_nano),
        saved_usd=_usd_or_none(answer.saved_nano),
        saved_against=answer.saved_against,
        reading=read["reading"],
        read_tokens=read["read_tokens"],
        whole_tokens=read["whole_tokens"],
        passages=None if read["passages"] is None else tuple(Passage(**each) for each in read["passages"]),
        files=tuple(ReadFile(**each) for each in read["files"]),
        whole_cost_usd=_usd_or_none(answer.whole_cost_nano),
        n_attempts=answer.n_attempts,
        breach=answer.breach,
        prompt_cut=answer.prompt_cut is not None,
        conversation_id=answer.conversation_id,
        notes=answer.notes,
        said=said,
        passed=None if not checked.verdicts else not checked.failed,
        checks=tuple(
            CheckResult(each.check, each.outcome, each.score, each.evidence, _usd(each.cost_nano))
            for each in checked.verdicts
        ),
        decision=route_of(answer.decision, missed=missed),
        asked_as=checked.phrased.text if checked.phrased is not None and checked.phrased.taken else None,
        complete=answer.complete,
        _source=checked,
        _was_checked=was_checked,
    )


def _cap(state: CapState) -> Cap:
    return Cap(
        scope=state.cap.scope,
        limit_usd=_usd(state.cap.limit_nano),
        left_usd=_usd(state.left_nano),
        settled_usd=_usd(state.settled_nano),
        reserved_usd=_usd(state.reserved_nano),
        unknown_usd=_usd(state.unknown_nano),
        resets_at=state.resets_at,
    )


def _row(row: spending.Sum) -> SpendingRow:
    return SpendingRow(
        name=row.name,
        n_calls=row.n_calls,
        charged_usd=_usd(row.charged_nano),
        settled_usd=_usd(row.settled_nano),
        unverified_usd=_usd(row.unverified_nano),
        reserved_usd=_usd(row.reserved_nano),
        unknown_usd=_usd(row.unknown_nano),
        input_tokens=row.input_tokens,
        output_tokens=row.output_tokens,
    )


def spending_of(report: spending.Spending) -> Spending:
    """Return what was spent."""
    return Spending(
        profile=report.profile,
        by=report.by,
        caps=tuple(map(_cap, report.caps)),
        rows=tuple(map(_row, report.rows)),
        _source=report.to_dict(),
    )
