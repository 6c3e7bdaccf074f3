"""`scrimp report`: what the log says about quality, beside what it cost."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scrimp.profiles.errors import UsageError
from scrimp.profiles.money import format_usd

from . import session
from .log_filters import ProfileFilter
from .options import DaysOption, JsonOption, SinceOption, days_back
from .parser import new_app
from .progress import on_summed, one_thread
from .refit import hint_lines
from .result import Column, Result, Table, emit

if TYPE_CHECKING:
    from scrimp.routing.reports.quality import QualityReport

__all__ = ["app", "quality_line", "report"]

app = new_app()

EPILOG = """\b
Examples:
  scrimp report                 everything in the log
  scrimp report --days 7 --json
  scrimp report --duels         strengths of arms by what you preferred
  scrimp report --html r.html   all of it as one page, with charts; open it with a browser
"""


@app.command(epilog=EPILOG)
def report(
    profile: ProfileFilter = None,
    days: DaysOption = None,
    since: SinceOption = None,
    duels: Annotated[
        bool, typer.Option("--duels", help="Which arm is the stronger by `scrimp duel`, and how sure that is.")
    ] = False,
    html: Annotated[
        Path | None,
        typer.Option("--html", metavar="FILE", help="Write it all as one page with charts; it asks no network."),
    ] = None,
    no_text: Annotated[
        bool, typer.Option("--no-text", help="With --html: leave out what was asked and answered.")
    ] = False,
    json: JsonOption = False,
) -> int:
    """Show how good the answers were: success and its price, escalation, checks against ratings, latency.

    An answer's worth is what a rating, an import, a probe or an audit says of it, else what its checks said, of those
    that can tell right from wrong: tests, a command, an expected answer, a judge, agreement.
    """
    if no_text and html is None:
        raise UsageError("--no-text: what is printed holds no texts; it is for --html FILE")
    days = days_back(days, since, now=time.time())
    if html is not None:
        if duels:
            raise UsageError("--html: the page holds the duels, too", hint="Leave out --duels.")
        from .report_page import report_page

        one_thread(children=False)
        return emit(report_page(html, profile=profile, days=days, texts=not no_text), as_json=json)
    from scrimp.routing.learn.judging.hints import judged_so_far
    from scrimp.routing.reports.lengths import length_report
    from scrimp.routing.reports.quality import quality_report

    begin = None if days is None else time.time() - days * 86_400
    if duels:
        from scrimp.routing.learn.measuring.duels import duel_report

        from .duel_report import duel_result

        return emit(duel_result(duel_report(session.ledger_to_read(), profile=profile, since=begin)), as_json=json)
    ledger = session.ledger_to_read()
    found = quality_report(ledger, since=begin, profile=profile, tell=on_summed)
    hints = judged_so_far(ledger, profile)
    lengths = [each.to_dict() for each in length_report(ledger, since=begin, profile=profile)]
    data: dict[str, Any] = {**found.to_dict(), "hints": hints, "lengths": lengths}
    price = found.cost_per_success_nano
    lines = [
        f"answered: {found.n:,}, of known worth: {found.n_known:,}, right: {_share(found.n_right, found.n_known)}"
        + _interval(data["success_interval"]),
        f"cost per successful task: {'unknown' if price is None else format_usd(price)}",
        f"schema validity: {_share(found.n_valid, found.n_schema)}",
        f"escalation: {_share(found.n_escalated, found.n_plans)} of plans of several stages",
        f"latency: p50 {_seconds(found.latency_p50_s)}, p95 {_seconds(found.latency_p95_s)}",
    ]
    arms = Table(
        (Column("arm"), Column("answers", "right"), Column("known", "right"), Column("right", "right"),
         Column("tokens", "right"), Column("TEP", "right")),
        [
            (arm.arm, f"{arm.n:,}", f"{arm.n_known:,}", "unknown" if arm.success is None else f"{arm.success:.0%}",
             "unknown" if arm.tokens is None else f"{arm.tokens:,.0f}", "-" if arm.tep is None else f"{arm.tep:.2f}")
            for arm in found.arms
        ],
        title="by arm (TEP: success gained for tokens gained, against the arm of fewest)",
    )  # fmt: skip
    checks = Table(
        (Column("check"), Column("pass", "right"), Column("fail", "right"), Column("abstain", "right"),
         Column("labelled", "right"), Column("precision", "right"), Column("recall", "right")),
        [
            (each.check, str(each.n_pass), str(each.n_fail), str(each.n_abstain), str(each.n_labelled),
             _measured(each.precision, each.precision_interval), _measured(each.recall, each.recall_interval))
            for each in found.checks
        ],
    )  # fmt: skip
    blocks: list[str | Table] = [*lines, *hint_lines(hints)]
    blocks += [table for table in (arms, checks, lengths_table(lengths)) if table.rows]
    return emit(Result(data=data, blocks=tuple(blocks)), as_json=json)


def lengths_table(lengths: list[dict[str, Any]]) -> Table:
    """Return of each arm how often the 90th percentile of its answers' tokens covered what came."""
    return Table(
        (
            Column("arm"), Column("answers", "right"), Column("within p90", "right"), Column("95%", "right"),
            Column("p90 at the limit", "right"),
        ),
        [
            (
                each["arm"], f"{each['n']:,}", "unknown" if each["share"] is None else f"{each['share']:.0%}",
                _interval(each["interval"]).strip() or "-", f"{each['n_bounded']:,}",
            )
            for each in lengths
        ],
        title="output tokens: how often the predicted 90th percentile covered what came",
    )  # fmt: skip


def quality_line(found: QualityReport) -> str:
    """Return what was spent in terms of what came of it, in one line; the rest is `scrimp report`."""
    price = found.cost_per_success_nano
    parts = [
        f"right answers: {_share(found.n_right, found.n_known)}",
        f"{'unknown' if price is None else format_usd(price)} each",
        f"latency p50 {_seconds(found.latency_p50_s)}, p95 {_seconds(found.latency_p95_s)}",
    ]
    if found.n_schema:
        parts.append(f"schema valid {_share(found.n_valid, found.n_schema)}")
    if found.n_plans:
        parts.append(f"escalated {_share(found.n_escalated, found.n_plans)}")
    return " · ".join(parts) + " · more: scrimp report"


def _share(k: int, n: int) -> str:
    return f"{k / n:.0%} ({k:,} of {n:,})" if n else "unknown"


def _interval(bounds: tuple[float, float] | None) -> str:
    return "" if bounds is None else f" [{bounds[0]:.0%}, {bounds[1]:.0%}]"


def _measured(value: float | None, bounds: tuple[float, float] | None) -> str:
    return "unknown" if value is None else f"{value:.0%}{_interval(bounds)}"


def _seconds(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.2f} s"
