"""`scrimp eval`: the truth about a router on outcomes."""

from __future__ import annotations

from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scrimp.profiles.errors import UsageError
from scrimp.profiles.paths import paths
from scrimp.routing.text.in_words import counted

from . import session
from .complete import complete_routers
from .options import JsonOption, PreferOption, ProfileOption, WtpOption
from .parser import new_app
from .progress import on_embedded, one_thread
from .result import Column, Result, Table, emit

if TYPE_CHECKING:
    from scrimp.routing.learn.data.outcomes import Outcomes
    from scrimp.routing.learn.measuring.evaluate_cascade import CascadeReport
    from scrimp.routing.learn.measuring.everyday import JudgedReport
    from scrimp.routing.learn.measuring.results import Estimate, EvalReport, EvalRow

__all__ = ["app"]

app = new_app()

EPILOG = """\b
Examples:
  scrimp eval mine.jsonl
  scrimp eval mine.jsonl --fit 500                learn on 500 random rows, test on the rest
  scrimp eval pair.jsonl.gz --strong gpt-4 --weak mixtral --json
  scrimp eval mine.jsonl --fit past.jsonl --plot curve.svg
  scrimp eval --judged judged.jsonl -p mixed      rows {"prompt": ..., "level": 1 to 5}
"""

_COLUMNS = (
    ("aiq", "AIQ", 3),
    ("lift", "lift", 4),
    ("accuracy", "accuracy", 3),
    ("cost_usd_per_1k", "USD/1k", 3),
    ("perf_gain", "gain", 3),
    ("cost_save", "saved", 3),
    ("cost_save_1pt", "saved -1pt", 3),
    ("apgr", "APGR", 3),
    ("cpt50", "CPT50", 1),
    ("cpt80", "CPT80", 1),
    ("ece", "ECE", 3),
    ("oracle_share", "of oracle", 3),
)


@app.command(epilog=EPILOG)
def evaluate(
    outcomes: Annotated[
        list[Path] | None, typer.Argument(metavar="[OUTCOMES...]", help="Outcome files (JSON Lines, .gz too).")
    ] = None,
    judged: Annotated[
        list[Path] | None,
        typer.Option(
            "--judged",
            metavar="FILE",
            help="Prompts judged from 1 (any model) to 5 (nobody surely), in place of outcomes; repeatable.",
        ),
    ] = None,
    router: Annotated[
        list[str] | None,
        typer.Option(
            "--router",
            metavar="NAME",
            help="shipped, a version, knn, cluster, ridge, length or random; repeatable. "
            "cascade: plans of several models, on outcomes with answers.",
            autocompletion=complete_routers,
        ),
    ] = None,
    fit: Annotated[
        str | None,
        typer.Option("--fit", metavar="N|FILE", help="Learn on N random rows, or on FILE, and test on the others."),
    ] = None,
    strong: Annotated[str | None, typer.Option("--strong", metavar="MODEL", help="The better model of a pair.")] = None,
    weak: Annotated[str | None, typer.Option("--weak", metavar="MODEL", help="The cheaper model of a pair.")] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Draws the split and the intervals.")] = 0,
    seeds: Annotated[
        int, typer.Option("--seeds", min=1, max=100, help="With --fit N: means over this many splits, from --seed on.")
    ] = 1,
    profile: ProfileOption = None,
    prefer: PreferOption = None,
    wtp: WtpOption = None,
    json: JsonOption = False,
    plot: Annotated[
        Path | None, typer.Option("--plot", metavar="FILE", help="Draw cost against quality (.png or .svg).")
    ] = None,
) -> int:
    """Measure routers on outcomes, beside single models, a random mix and simple baselines.

    With --judged: what a profile's router predicts and decides on prompts of known difficulty (-p, --prefer, --wtp
    say whose).
    """
    one_thread()
    from scrimp.routing.learn.measuring.laboratory import Laboratory

    if judged:
        if outcomes or fit or strong or weak or plot is not None or seeds > 1 or len(router or ()) > 1:
            raise UsageError(
                "--judged stands alone: no outcome files, --fit, --strong, --weak, --seeds, --plot; one --router",
                hint="scrimp eval --judged FILE -p mixed",
            )
        loaded = session.load(profile, prefer=prefer, wtp=wtp, quiet=json)
        named = router[0] if router else None
        made = Laboratory(paths(), on_embedded).evaluate_judged(
            judged, loaded.profile, named, session.price_table(), seed=seed
        )
        return emit(_judged(made), as_json=json)
    if profile or prefer or wtp:
        raise UsageError("-p, --prefer and --wtp go with --judged: outcome files bring their own models and costs")
    if not outcomes:
        raise UsageError(
            "nothing to measure on: name outcome files, or judged prompts with --judged",
            hint="scrimp eval mine.jsonl, or scrimp eval --judged judged.jsonl -p mixed",
        )

    if plot is not None:
        from scrimp.routing.learn.measuring.plot import check_plot

        check_plot(plot)
    learnt_on = _fit(fit)
    if seeds > 1 and not isinstance(learnt_on, int):
        raise UsageError("--seeds repeats random splits: it goes with --fit N")
    laboratory = Laboratory(paths(), on_embedded)
    if router and "cascade" in router:
        if len(set(router)) > 1 or strong or weak or plot is not None or seeds > 1:
            raise UsageError(
                "--router cascade stands alone: it shows plans, one plan for all, one arm a prompt, and random mixes",
                hint="Leave out other routers, --strong, --weak, --seeds and --plot.",
            )
        return emit(_plans(laboratory.evaluate_cascade(outcomes, fit=learnt_on, seed=seed)), as_json=json)
    report = laboratory.evaluate(
        outcomes, router, fit=learnt_on, strong=strong, weak=weak, seeds=range(seed, seed + seeds)
    )
    if plot is not None:
        from scrimp.routing.learn.measuring.plot import plot as draw

        draw(report, plot)
    return emit(_result(report), as_json=json)


def _judged(report: JudgedReport) -> Result:
    def shown(value: Estimate | None, digits: int = 2, *, share: bool = False) -> tuple[str, str]:
        if value is None or value.value is None or isnan(value.value):
            return "-", "-"
        form = f"{{:.{digits}%}}" if share else f"{{:.{digits}f}}"
        if value.low is None or value.high is None:
            return form.format(value.value), "-"
        return form.format(value.value), f"{form.format(value.low)} to {form.format(value.high)}"

    cheap = report.cheapest
    rows = [
        (f"predicted quality of {cheap} against ease, rank correlation", *shown(report.rank)),
        ("predicted level against the judged one, rank correlation", *shown(report.level_rank)),
        (f"gap of {report.best} over {cheap}, levels 4-5 against 1-2, AUC", *shown(report.auc)),
        ("levels 1-2 sent to an arm that costs least", *shown(report.easy_cheapest, 0, share=True)),
        ("levels 4-5 sent to a dearer one", *shown(report.hard_dearer, 0, share=True)),
        (f"mean predicted quality of {cheap}, level 1", *shown(report.quality_1)),
        (f"mean predicted quality of {cheap}, level 5", *shown(report.quality_5)),
        ("length alone, rank correlation", *shown(report.length_rank)),
        ("length alone, AUC", *shown(report.length_auc)),
    ]
    table = Table(
        (Column("measured on judged prompts"), Column("value", "right"), Column("95% interval", "right")),
        rows,
        title=f"{counted(report.n, 'prompt')}, {report.n_easy} of levels 1-2 and {report.n_hard} of levels 4-5",
    )
    arms = Table(
        (Column("arm"), *(Column(f"level {k}", "right") for k in range(1, 6))),
        [(name, *map(str, counts)) for name, counts in report.arms.items()],
        title="prompts taken",
    )
    kinds = ", ".join(f"{kind or 'of no kind'} {value:.2f}" for kind, value in report.by_kind.items())
    blocks: list[str | Table] = [table, arms]
    if kinds:
        blocks.append(f"Within kinds: {kinds}.")
    return Result(data=report.to_dict(), blocks=tuple(blocks))


def _plans(report: CascadeReport) -> Result:
    columns = (
        ("aiq", "AIQ", 3), ("accuracy", "accuracy", 3), ("cost_usd_per_1k", "USD/1k", 3),
        ("cost_per_success_usd", "USD/right", 5), ("balanced_gain", "gain", 4), ("gain_at_cost", "gain at its cost", 4),
        ("cost_save", "saved", 3), ("cost_save_1pt", "saved -1pt", 3), ("tep", "TEP", 3),
    )  # fmt: skip
    rows = []
    for row in report.rows:
        cells = []
        for name, _, digits in columns:
            at = row.metrics.get(name)
            text = "-" if at is None or at.value is None else f"{at.value:.{digits}f}"
            if (
                at is not None
                and at.low is not None
                and name not in {"accuracy", "cost_usd_per_1k", "cost_per_success_usd", "aiq"}
            ):
                text += f" ({at.low:.{digits}f} to {at.high:.{digits}f})"
            cells.append(text)
        rows.append([row.router, *cells])
    best, oracle = report.best_single, report.oracle
    rows.append(
        [f"best single: {best['model']}", "-", f"{best['accuracy']:.3f}", f"{best['cost_usd_per_1k']:.3f}", *"------"]
    )
    rows.append(
        ["oracle of one model", "-", f"{oracle['accuracy']:.3f}", f"{oracle['cost_usd_per_1k']:.3f}", *"------"]
    )
    table = Table(
        (Column("router"), *(Column(title, "right") for _, title, _ in columns)),
        rows,
        title=f"{counted(report.n, 'prompt')}, {counted(len(report.models), 'model')}, "
        f"{counted(report.n_plans, 'plan')}",
    )
    taken = "Plans taken most at $0.10 a right answer: " + "; ".join(
        f"{text} ({share:.0%})" for text, share in report.taken[:3]
    )
    return Result(data=report.to_json(), blocks=(table, taken), messages=report.notes)


def _fit(value: str | None) -> int | Outcomes | None:
    """Read `--fit`: a number of rows, or a file of outcomes."""
    if value is None:
        return None
    if value.isascii() and value.isdigit():
        return int(value)
    from scrimp.routing.learn.data.outcomes import read_outcomes

    return read_outcomes([Path(value)])


def _result(report: EvalReport) -> Result:
    shown = [column for column in _COLUMNS if any(_known(row, column[0]) for row in report.rows)]
    table = Table(
        (Column("router"), *(Column(title, "right") for _, title, _ in shown)),
        [[row.router, *(_cell(row, name, digits) for name, _, digits in shown)] for row in report.rows],
        title=f"{counted(report.n_test, 'prompt')}, {counted(len(report.models), 'model')}, learnt on {report.n_fit}"
        + (f", means over {report.n_seeds} seeds" if report.n_seeds > 1 else ""),
    )
    best = report.best_single
    cost = best["cost_usd_per_1k"]
    price = "" if cost is None else f" at ${cost:.3f} per 1,000 prompts"
    single = (
        f"Best single model (chosen on the {best['chosen_on']} part): {best['model']}, {best['accuracy']:.3f}{price}."
    )
    notes = [f"{row.router}: {row.note}." for row in report.rows if row.note]
    verdict = report.why[:1].upper() + report.why[1:] + "."
    return Result(data=report.to_json(), blocks=(table, single, *notes, verdict), messages=report.notes)


def _known(row: EvalRow, name: str) -> bool:
    return name in row.metrics and row.metrics[name].value is not None


def _cell(row: EvalRow, name: str, digits: int) -> str:
    if not _known(row, name):
        return "-"
    estimate = row.metrics[name]
    text = f"{estimate.value:.{digits}f}"
    if estimate.sd is not None and name in {"aiq", "lift", "apgr", "cpt50", "cost_save", "cost_save_1pt"}:
        text += f" (sd {estimate.sd:.{digits}f})"
    if estimate.low is not None and estimate.high is not None and name in {"lift", "apgr", "cost_save_1pt"}:
        text += f" ({estimate.low:.{digits}f} to {estimate.high:.{digits}f})"
    return text
