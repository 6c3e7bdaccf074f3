"""Random graphs of rows: whatever ends when, every row comes after those that it waits for, and none is left."""

from hypothesis import given
from hypothesis import strategies as st

from scrimp.routing.batch.files.graph import Node, graph_of, inherited
from scrimp.routing.batch.files.rows import Row
from scrimp.routing.batch.rows.flow import Flow
from scrimp.routing.prompts.prompt import Prompt


@st.composite
def graphs(draw, *, circles=False):
    n = draw(st.integers(1, 14))
    places = draw(st.permutations(range(n)))  # rows stand anywhere in the file
    refs = {}
    for i in range(n):
        among = [j for j in range(n) if j != i] if circles else list(range(i))
        refs[places[i]] = [places[j] for j in draw(st.lists(st.sampled_from(among), max_size=3))] if among else []
    return refs


def nodes_of(refs):
    return [Node(i, i + 1, f"r{i}", tuple(f"r{j}" for j in dict.fromkeys(refs[i]))) for i in sorted(refs)]


def rows_of(refs):
    return [
        Row(node.n, node.line, node.id, Prompt(f"p {node.n}" + "".join(f"\0{name}\0" for name in node.refs)))
        for node in nodes_of(refs)
    ]


def built(refs):
    nodes = nodes_of(refs)
    return graph_of([node for node in nodes if node.refs], {node.id: node for node in nodes})


@given(graphs(), st.randoms(use_true_random=False), st.dictionaries(st.integers(0, 13), st.integers(-3, 3)))
def test_every_order_is_topological(refs, rng, priorities):
    graph, bad = built(refs)
    assert bad == []
    n = len(refs)
    flow = Flow(graph, inherited({i: (p, None) for i, p in priorities.items() if i < n and p}, graph), n_rows=n)
    going, done = [], []
    for row in flow.arranged(lambda: iter(rows_of(refs))):
        if row.refs:
            flow.park(row)
        else:
            going.append(row.n)
    while going:
        ended = going.pop(rng.randrange(len(going)))
        assert set(refs[ended]) <= set(done)
        done.append(ended)
        flow.ended(ended, "ok")
        going += [row.n for row in flow.ready(rng.randint(1, 3))]
        while not going and flow.has_ready:
            going += [row.n for row in flow.ready(2)]
    assert sorted(done) == list(range(n)), "none is left, and none goes twice"


@given(graphs())
def test_levels_and_heights(refs):
    graph, _ = built(refs)
    for n, parents in graph.parents.items():
        assert graph.depth[n] == 1 + max(graph.depth[parent] for parent in parents)
        assert all(graph.height[parent] >= 1 + graph.height[n] for parent in parents)
    order = graph.order
    assert all(order.index(parent) < order.index(n) for n, parents in graph.parents.items() for parent in parents)


@given(graphs(circles=True))
def test_what_is_bad_is_on_a_circle_or_below_one(refs):
    graph, bad = built(refs)

    def above(n):
        seen, left = set(), list(refs[n])
        while left:
            at = left.pop()
            if at not in seen:
                seen.add(at)
                left += refs[at]
        return seen

    circles = {n for n in refs if n in above(n)}
    below = {n for n in refs if above(n) & circles}
    assert {each.n for each in bad} == circles | below
    assert {each.n for each in bad if "waits for its own answer" in each.reason} <= circles
    assert not set(graph.ids) & (circles | below)
