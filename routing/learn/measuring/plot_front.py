"""The Pareto front of a prompt as a picture: cost against quality, time beside each name. Needs matplotlib."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from scrimp.profiles.errors import UsageError
from scrimp.profiles.money import NANO
from scrimp.routing.text.in_words import seconds_in_words

from .plot import check_plot

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from scrimp.routing.deciding.front import Placed

__all__ = ["plot_front"]

_LEAST_SPAN: Final = 20.0
"""The axis of quality shows at least so many points of a hundred."""

_PLACES: Final = (
    (8, 0, "left", "center"),
    (-8, 0, "right", "center"),
    (0, 8, "center", "bottom"),
    (0, -8, "center", "top"),
    (8, 12, "left", "bottom"),
    (8, -12, "left", "top"),
    (-8, 12, "right", "bottom"),
    (-8, -12, "right", "top"),
    (0, 24, "center", "bottom"),
    (0, -24, "center", "top"),
    (24, 30, "left", "bottom"),
    (-24, -30, "right", "top"),
)
"""Where a name may stand beside its point, in points of a 72nd of an inch; the first that is free is taken."""


def plot_front(placed: Sequence[Placed], path: Path, *, taken: str | None) -> None:
    """Draw ways to answer to a .png or .svg file: those on the front filled, those that are dominated hollow.

    Parameters
    ----------
    taken
        The one that was taken, which is ringed; None where none was.

    Raises
    ------
    UsageError
        As `check_plot`, and if the file cannot be written.
    """
    check_plot(path)
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.0, 4.5), layout="constrained")
    canvas = FigureCanvasAgg(figure)
    axes = figure.subplots()
    for on_front, fill, edge in ((True, "#1f6f8b", "#1f6f8b"), (False, "none", "#8a8a8a")):
        mine = [each.point for each in placed if each.on_front is on_front]
        label = "on the front" if on_front else "dominated"
        if mine:
            axes.scatter(
                [point.cost_nano / NANO for point in mine], [100.0 * point.quality for point in mine],
                s=46, zorder=3, label=label, facecolors=fill, edgecolors=edge,
            )  # fmt: skip
    if (ringed := next((each.point for each in placed if each.point.name == taken), None)) is not None:
        axes.scatter(
            [ringed.cost_nano / NANO], [100.0 * ringed.quality],
            s=150, zorder=2, facecolors="none", edgecolors="#c8553d", linewidth=1.6, label="taken",
        )  # fmt: skip
    _scale(axes, [each.point.cost_nano / NANO for each in placed])
    axes.margins(x=0.2, y=0.2)
    low, high = axes.get_ylim()
    if high - low < _LEAST_SPAN:  # differences of a tenth of a point are not to look like much
        axes.set_ylim((low + high - _LEAST_SPAN) / 2, (low + high + _LEAST_SPAN) / 2)
    axes.xaxis.set_major_formatter(lambda usd, _: f"${usd:g}")
    axes.set_xlabel("predicted cost")
    axes.set_ylabel("predicted quality, %")
    axes.grid(visible=True, color="#e4e4e4", linewidth=0.6)
    axes.set_axisbelow(True)
    if placed:
        axes.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, 1.12), ncols=3, frameon=False)
    canvas.draw()
    _name(axes, placed, canvas.get_renderer())
    if path.suffix == ".svg":
        FigureCanvasSVG(figure)
    try:
        with rc_context({"svg.hashsalt": "scrimp", "svg.fonttype": "none"}):  # the same picture is the same file
            figure.savefig(path, dpi=150, metadata={"Date": None} if path.suffix == ".svg" else None)
    except OSError as error:
        raise UsageError(f"--plot {path}: cannot be written ({error.strerror or error})") from error


def _scale(axes: Any, costs: Sequence[float]) -> None:
    """Set an axis of costs that lie orders of magnitude apart, or of which some are 0, as readable as others."""
    above = [cost for cost in costs if cost > 0.0]
    if not above or max(above) <= 20.0 * min(above):
        return
    if len(above) < len(costs):
        axes.set_xscale("symlog", linthresh=min(above), linscale=0.5)
    else:
        axes.set_xscale("log")


def _name(axes: Any, placed: Sequence[Placed], renderer: Any) -> None:
    """Write each way's name beside its point, where it is on no other name or point."""
    spots = [axes.transData.transform((each.point.cost_nano / NANO, 100.0 * each.point.quality)) for each in placed]
    frame = axes.get_window_extent(renderer)
    boxes: list[Any] = []
    for each in placed:
        at = (each.point.cost_nano / NANO, 100.0 * each.point.quality)
        time = "" if each.point.seconds is None else f"\n{seconds_in_words(each.point.seconds)}"
        look = {"fontsize": 8, "color": "#202020" if each.on_front else "#6a6a6a", "zorder": 4}
        tried = []
        for dx, dy, side, level in _PLACES:
            named = axes.annotate(
                f"{each.point.name}{time}", at, xytext=(dx, dy), textcoords="offset points", ha=side, va=level, **look
            )
            box = named.get_window_extent(renderer)
            inside = frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 and box.y1 <= frame.y1
            clear = not any(box.overlaps(other) for other in boxes)
            tried.append((named, box))
            if inside and clear and not any(box.padded(3).contains(x, y) for x, y in spots):
                break
        for named, _ in tried[:-1]:  # where none is free, the last place is taken
            named.remove()
        boxes.append(tried[-1][1])
