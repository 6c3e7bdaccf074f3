"""How far a run is: drawn on a terminal, a line every 30 s elsewhere; always on stderr."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Final

from scrimp.profiles.money import format_usd
from scrimp.routing.text.in_words import counted

from .result import say

if TYPE_CHECKING:
    from scrimp.routing.batch.rows.jobs import Stats

__all__ = ["progress_line", "watch"]

LINE_EVERY_S: Final = 30.0
DRAW_EVERY_S: Final = 0.25


async def watch(stats: Stats, cap_nano: int | None, *, drawn: bool = True) -> None:
    """Show a run's progress until cancelled; where it is not to be `drawn`, by a line now and then."""
    if drawn and sys.stderr.isatty():
        await _draw(stats, cap_nano)
    while True:
        await asyncio.sleep(LINE_EVERY_S)
        say(progress_line(stats, cap_nano))


def progress_line(stats: Stats, cap_nano: int | None) -> str:
    """Return how far a run is, in one line: rows, rate, time left, spend, arms, errors."""
    done = stats.done + stats.n_before
    rate = stats.pace
    parts = [f"{done:,}/{counted(stats.n_rows, 'row')}", f"{rate:.1f}/s"]
    if rate > 0 and done < stats.n_rows:
        parts.append(f"{_clock((stats.n_rows - done) / rate)} left")
    parts.append(format_usd(stats.charged_nano) + ("" if cap_nano is None else f" of {format_usd(cap_nano)}"))
    if stats.n_handed > stats.n_back:
        parts.append(f"{stats.n_back:,} of {stats.n_handed:,} back from providers")
    if stats.by_arm:
        parts.append(", ".join(f"{arm} {n:,}" for arm, n in stats.by_arm.most_common(4)))
    counts = {"cut": stats.cut, "failed": stats.failed, "skipped": stats.skipped, "unknown": stats.unknown}
    parts += [f"{n:,} {name}" for name, n in counts.items() if n]
    return " · ".join(parts)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


async def _draw(stats: Stats, cap_nano: int | None) -> None:
    from rich.console import Console
    from rich.live import Live
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    from scrimp.routing.text.sanitize import sanitize

    def drawn() -> Table:
        bar = ProgressBar(total=max(1, stats.n_rows), completed=stats.done + stats.n_before, width=40)
        grid = Table.grid()
        grid.add_row(bar)
        grid.add_row(Text(sanitize(progress_line(stats, cap_nano))))
        return grid

    with Live(
        drawn(), console=Console(stderr=True), transient=True, refresh_per_second=4, redirect_stdout=False
    ) as live:
        while True:
            await asyncio.sleep(DRAW_EVERY_S)
            live.update(drawn())
