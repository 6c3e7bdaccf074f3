"""Which rows wait for which: the graph that references make over a file, checked before anything is sent."""

from __future__ import annotations

from collections import defaultdict, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from .rows import BadRow

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = ["Graph", "Node", "graph_of", "inherited"]

_HINT: Final = (
    "An answer stands for {{@ID}}, and ID is the id of another row. Text that is to be sent as it is may stand under a "
    'key of its own: {"prompt": "{{text}}", "text": "..."}'
)
_MOST_SHOWN: Final = 8


class Node(NamedTuple):
    """A row with references, or one that is referred to: its place, its line, its id, and whose answers it takes."""

    n: int
    line: int
    id: str
    refs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Graph:
    """A directed graph without circles; rows that neither wait nor are waited for are no part of it.

    Attributes
    ----------
    parents
        The rows whose answers a row takes, in the order of its references, by its place.
    children
        The rows that take a row's answer, by its place.
    ids
        What its rows are called, by their places.
    height
        Calls on the longest way from a row's answer to the end: 0 for one whose answer no row takes.
    depth
        Answers on the longest way that a row waits for: 0 for one that waits for none.
    """

    parents: Mapping[int, tuple[int, ...]]
    children: Mapping[int, tuple[int, ...]]
    ids: Mapping[int, str]
    height: Mapping[int, int] = field(default_factory=dict)
    depth: Mapping[int, int] = field(default_factory=dict)

    def __contains__(self, n: object) -> bool:
        return n in self.ids

    @property
    def order(self) -> list[int]:
        """Places of its rows, each after those that it waits for."""
        return sorted(self.ids, key=lambda n: (self.depth[n], n))

    def below(self, places: Iterable[int]) -> set[int]:
        """Return the rows that wait for some rows, directly or not."""
        found: set[int] = set()
        left = deque(places)
        while left:
            for child in self.children.get(left.popleft(), ()):
                if child not in found:
                    found.add(child)
                    left.append(child)
        return found


def graph_of(nodes: Sequence[Node], named: Mapping[str, Node]) -> tuple[Graph, list[BadRow]]:
    """Return the graph of rows with references, and the rows that cannot be asked for theirs.

    Parameters
    ----------
    nodes
        Rows with references.
    named
        The rows that they name, as far as there are such, by their ids.
    """
    own = {node.n: node for node in nodes}
    bad: dict[int, BadRow] = {}
    for node in nodes:
        if (reason := _wrong(node, named)) is not None:
            bad[node.n] = BadRow(node.n, node.line, reason, _HINT)
    parents = {node.n: tuple(dict.fromkeys(named[name].n for name in node.refs)) for node in nodes if node.n not in bad}
    every = {**{node.n: node for node in named.values()}, **own}
    _find_circles(parents, every, bad)
    _find_hopeless(parents, every, bad)
    parents = {n: above for n, above in parents.items() if n not in bad}
    children: defaultdict[int, list[int]] = defaultdict(list)
    for n in sorted(parents):
        for parent in parents[n]:
            children[parent].append(n)
    ids = {n: every[n].id for n in sorted({*parents, *children})}
    made = {n: tuple(below) for n, below in children.items()}
    graph = Graph(parents, made, ids, _longest(made, parents), _longest(parents, made))
    return graph, [bad[n] for n in sorted(bad)]


def inherited(
    hurry: Mapping[int, tuple[int, float | None]], graph: Graph | None
) -> dict[int, tuple[int, float | None]]:
    """Return priority and deadline of rows that have either, or that such rows wait for, by their places.

    A row has the highest priority, and the earliest deadline, of itself and of all that wait for it.
    """
    found = dict(hurry)
    if graph is None or not hurry:
        return {n: each for n, each in found.items() if each != (0, None)}
    for n in reversed(graph.order):
        each = [found[child] for child in graph.children.get(n, ()) if child in found]
        if each:
            own, own_s = found.get(n, (0, None))
            deadlines = [seconds for _, seconds in (*each, (0, own_s)) if seconds is not None]
            priority = max(own, *(priority for priority, _ in each))
            found[n] = (priority, min(deadlines, default=None))
    return {n: each for n, each in found.items() if each != (0, None)}


def _wrong(node: Node, named: Mapping[str, Node]) -> str | None:
    for name in node.refs:
        if name == node.id:
            return f"{{{{@{_shown(name)}}}}}: the row would wait for its own answer"
        if name not in named:
            return f"{{{{@{_shown(name)}}}}}: no row that can be asked has the id {_shown(name)!r}"
    return None


def _shown(name: str) -> str:
    return name if len(name) <= 60 else name[:57] + "..."


def _find_circles(parents: dict[int, tuple[int, ...]], every: Mapping[int, Node], bad: dict[int, BadRow]) -> None:
    """Find rows that wait for each other; each circle is named once, by the rows on it."""
    children: defaultdict[int, list[int]] = defaultdict(list)
    for n, above in parents.items():
        for parent in above:
            children[parent].append(n)
    open_above = {n: sum(parent in parents for parent in above) for n, above in parents.items()}
    free = deque(n for n, count in open_above.items() if count == 0)
    left = dict.fromkeys(sorted(parents))

    def let_go() -> None:
        while free:
            n = free.popleft()
            left.pop(n, None)
            for child in children[n]:
                if child in left:
                    open_above[child] -= 1
                    if open_above[child] == 0:
                        free.append(child)

    let_go()
    while left:  # every row that is left waits for one that is left
        seen: dict[int, None] = {}
        at = next(iter(left))
        while at not in seen:
            seen[at] = None
            at = next(parent for parent in parents[at] if parent in left)
        way = list(seen)
        circle = way[way.index(at) :]
        start = circle.index(min(circle))
        circle = circle[start:] + circle[:start]
        names = [f"{_shown(every[n].id)} (line {every[n].line})" for n in circle]
        if len(names) > _MOST_SHOWN:
            names[_MOST_SHOWN - 1 :] = [f"... {len(names) - _MOST_SHOWN + 1:,} more"]
        told = " waits for ".join([*names, _shown(every[circle[0]].id)])
        for n in circle:
            bad[n] = BadRow(n, every[n].line, f"it waits for its own answer: {told}", _HINT)
        free.extend(circle)
        let_go()


def _find_hopeless(parents: dict[int, tuple[int, ...]], every: Mapping[int, Node], bad: dict[int, BadRow]) -> None:
    """Find rows that wait for rows which cannot be asked."""
    children: defaultdict[int, list[int]] = defaultdict(list)
    for n, above in parents.items():
        for parent in above:
            children[parent].append(n)
    left = deque(sorted(bad))
    while left:
        n = left.popleft()
        for child in children[n]:
            if child not in bad:
                why = (
                    f"{{{{@{_shown(every[n].id)}}}}}: row {_shown(every[n].id)} (line {every[n].line}) cannot be asked"
                )
                bad[child] = BadRow(child, every[child].line, why, _HINT)
                left.append(child)


def _longest(after: Mapping[int, tuple[int, ...]], before: Mapping[int, tuple[int, ...]]) -> dict[int, int]:
    """Return how many steps the longest way `after` a row has, by its place."""
    open_after = {n: len(each) for n, each in after.items()}
    every = {*after, *before}
    found = dict.fromkeys(every, 0)
    free = deque(n for n in every if not open_after.get(n))
    while free:
        n = free.popleft()
        for each in before.get(n, ()):
            found[each] = max(found[each], found[n] + 1)
            open_after[each] -= 1
            if open_after[each] == 0:
                free.append(each)
    return found
