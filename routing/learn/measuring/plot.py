"""An evaluation as a picture: cost against quality, and stated against observed quality. Needs matplotlib."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from scrimp.profiles.errors import UsageError
from scrimp.profiles.installer import how_to_add

if TYPE_CHECKING:
    from pathlib import Path

    from .results import EvalReport

__all__ = ["check_plot", "plot"]


def check_plot(path: Path) -> None:
    """Find what would stand in the way of a picture before anything is measured for it.

    Raises
    ------
    UsageError
        If the ending is another one, the folder is not there, or matplotlib is not installed.
    """
    if path.suffix not in {".png", ".svg"}:
        raise UsageError(f"--plot {path}: the picture is a .png or a .svg")
    if not path.absolute().parent.is_dir():
        raise UsageError(f"--plot {path}: there is no folder {path.parent}")
    if find_spec("matplotlib") is None:
        raise UsageError("--plot needs matplotlib", hint=how_to_add("plot"))


def plot(report: EvalReport, path: Path) -> None:
    """Draw a report to a .png or .svg file: cost (without costs, the share of strong calls) and score; calibration.

    Raises
    ------
    UsageError
        As `check_plot`, and if the file cannot be written.
    """
    check_plot(path)
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10.0, 4.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    priced = [(1000.0 * cost, score) for _, cost, score in report.singles if cost is not None]
    for row in report.rows:
        if not priced and row.calls:
            left.plot([100.0 * x for x, _ in row.calls], [y for _, y in row.calls], label=row.router, linewidth=1.2)
        if row.curve:
            points = sorted((1000.0 * cost, score) for _, cost, score in row.curve)
            left.plot([x for x, _ in points], [y for _, y in points], label=row.router, linewidth=1.2)
        if row.reliability:
            right.plot(
                [said for said, _, _ in row.reliability],
                [seen for _, seen, _ in row.reliability],
                marker=".",
                label=row.router,
            )
    if priced:
        left.scatter([x for x, _ in priced], [y for _, y in priced], color="grey", s=14, label="single models")
    left.set_xlabel("USD per 1,000 prompts" if priced else f"% of calls to {report.strong}")
    left.set_ylabel("mean score")
    left.set_title(f"{'cost' if priced else 'calls'} and quality, {report.n_test} prompts")
    right.plot([0.0, 1.0], [0.0, 1.0], color="grey", linewidth=0.8)
    right.set_xlabel("predicted quality")
    right.set_ylabel("observed")
    right.set_title("calibration")
    for axes in (left, right):
        if axes.get_legend_handles_labels()[0]:
            axes.legend(fontsize=7)
    (FigureCanvasSVG if path.suffix == ".svg" else FigureCanvasAgg)(figure)
    try:
        figure.savefig(path, dpi=150, metadata={"Date": None} if path.suffix == ".svg" else None)
    except OSError as error:
        raise UsageError(f"--plot {path}: cannot be written ({error.strerror or error})") from error
