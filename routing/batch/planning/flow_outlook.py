"""What is foreseen of rows that wait for rows: levels, the critical path, and how likely all of them are right."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from scrimp.routing.plans.difficulty import clipped, over_difficulty
from scrimp.routing.plans.power import WEIGHTS

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from scrimp.routing.batch.files.graph import Graph

__all__ = ["FlowOutlook", "Foreseen", "flow_outlook"]


@dataclass(frozen=True, slots=True)
class Foreseen:
    """What is foreseen of one row: its quality in [0, 1], and its answer's time in seconds, None where not known."""

    quality: float
    seconds: float | None


@dataclass(frozen=True, slots=True)
class FlowOutlook:
    """What is foreseen of the rows of a graph.

    Attributes
    ----------
    n_levels, n_waiting
        Rows on the longest way through the graph, and the rows that wait for others.
    path, path_s
        Ids of the rows on the way that takes longest, and its seconds: no number of calls at a time makes the run
        shorter. Where the time of a row is not known, the way with the most rows, and None.
    all_right
        P(every row of the file is right) where rows err independently of each other.
    all_right_shared
        The same where the rows of a flow share what makes them hard (`plans.difficulty`).
    late
        Ids of rows that are late however fast the others are, by their deadlines.
    """

    n_levels: int
    n_waiting: int
    path: tuple[str, ...]
    path_s: float | None
    all_right: float
    all_right_shared: float
    late: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return what `--dry-run --json` prints of it."""
        return {
            "levels": self.n_levels,
            "waiting": self.n_waiting,
            "critical_path": list(self.path),
            "critical_path_s": self.path_s,
            "all_right": {"independent": self.all_right, "shared_difficulty": self.all_right_shared},
            "late": list(self.late),
        }


def flow_outlook(
    graph: Graph,
    rows: Mapping[int, Foreseen],
    *,
    n_rows: int,
    spread: float,
    deadlines: Mapping[int, float],
    answered: Collection[int] = frozenset(),
) -> FlowOutlook:
    """Return what is foreseen of a file with a graph.

    Parameters
    ----------
    rows
        Rows that were looked at, by their places; the others are taken to be like them on average.
    n_rows
        All that are to be asked.
    spread
        How much hidden difficulty moves all arms alike.
    deadlines
        Seconds from the beginning, of rows that have one, by their places.
    answered
        Places of rows that are not asked any more.
    """
    known = [each.seconds for each in rows.values() if each.seconds is not None]
    timed = len(known) == len(rows) and bool(known)
    usual = sum(known) / len(known) if timed else 1.0
    done: dict[int, float] = {}
    before: dict[int, int] = {}
    for n in graph.order:
        seconds = 0.0 if n in answered else rows[n].seconds if timed and n in rows else usual
        start = 0.0
        for parent in graph.parents.get(n, ()):
            if done[parent] > start:
                start, before[n] = done[parent], parent
        done[n] = start + (seconds or 0.0)
    at = max(done, key=lambda n: (done[n], -n))
    path = [at]
    while (above := before.get(path[-1])) is not None:
        path.append(above)
    late = [graph.ids[n] for n, limit in deadlines.items() if timed and n in done and done[n] > limit]
    independent, shared = _all_right(graph, rows, n_rows=n_rows, spread=spread)
    return FlowOutlook(
        max(graph.depth.values()) + 1,
        sum(n not in answered for n in graph.parents),
        tuple(graph.ids[n] for n in reversed(path) if n not in answered),
        done[at] if timed else None,
        independent,
        shared,
        tuple(late),
    )


def _all_right(graph: Graph, rows: Mapping[int, Foreseen], *, n_rows: int, spread: float) -> tuple[float, float]:
    """Return P(all are right), independently and with the difficulty of each flow shared by its rows."""
    import numpy as np

    if not rows:
        return 0.0, 0.0
    places = sorted(rows)
    quality = clipped([rows[n].quality for n in places])
    at_nodes = np.log(over_difficulty(quality, spread))
    flows = _flows(graph)
    numbers = {flow: i for i, flow in enumerate(dict.fromkeys(flows.get(n, n) for n in places))}
    sums = np.zeros((len(numbers), len(WEIGHTS)))
    np.add.at(sums, [numbers[flows.get(n, n)] for n in places], at_nodes)
    scale = n_rows / len(places)
    shared = float(np.log(np.exp(sums) @ WEIGHTS).sum()) * scale
    return math.exp(float(np.log(quality).sum()) * scale), math.exp(shared)


def _flows(graph: Graph) -> dict[int, int]:
    """Return for each row of the graph the first row of those that hang together with it."""
    first: dict[int, int] = {}
    for start in graph.ids:
        if start in first:
            continue
        left = [start]
        first[start] = start
        while left:
            n = left.pop()
            for other in (*graph.parents.get(n, ()), *graph.children.get(n, ())):
                if other not in first:
                    first[other] = start
                    left.append(other)
    return first
