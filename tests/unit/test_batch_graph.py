"""References between rows: what is a place, what the graph refuses, and in which order rows go."""

import json

import pytest

from scrimp.profiles.errors import UsageError
from scrimp.routing.batch.files.graph import Node, graph_of
from scrimp.routing.batch.files.places import answered
from scrimp.routing.batch.files.rows import BadRow, Row, content_key
from scrimp.routing.batch.files.scan import good_rows, read_rows, scan
from scrimp.routing.batch.files.source import Source
from scrimp.routing.batch.planning.flow_outlook import Foreseen, flow_outlook
from scrimp.routing.batch.planning.stand_ins import stand_in
from scrimp.routing.prompts.context import approx_tokens
from scrimp.routing.prompts.prompt import Prompt


def source_of(path, rows, **how):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return Source.of(path, **how)


def one(path, row, **how):
    (found,) = read_rows(source_of(path, [row], **how))
    return found


@pytest.fixture
def path(tmp_path):
    return tmp_path / "in.jsonl"


# -- places ---------------------------------------------------------------------------------------------------------


def test_what_is_given_goes_before_a_rows_own_values(path):
    row = one(path, {"prompt": "{{a}} {{ b }} {{c}}", "a": "own", "b": "own"}, given={"a": "given"})
    assert row.prompt.text == "given own {{c}}"
    assert one(path, {"a": "own"}, template="{{a}} {{d}}", given={"a": "given", "d": "e"}).prompt.text == "given e"


def test_values_that_are_no_text_stand_as_json(path):
    assert one(path, {"prompt": "{{n}} {{l}}", "n": 2, "l": ["ä", None]}).prompt.text == '2 ["ä", null]'


@pytest.mark.parametrize(
    "text", ["{{x}}", "{{ x }}", "{x}", "{{}}", "{{ }}", "{{{{", "}}", "{{a{b}}", "{{#each}} {{/each}}", "{{" * 40_000]
)
def test_a_place_that_nobody_fills_stays_as_it_is(path, text):
    row = one(path, {"prompt": f"say {text}"})
    assert (row.prompt.text, row.refs) == (f"say {text}", ())


@pytest.mark.parametrize("key", ["prompt", "system", "file", "id", "arm", "plan", "schema", "priority", "check"])
def test_keys_with_a_meaning_are_no_values(path, key):
    value = {"schema": {"type": "object"}, "priority": 3, "file": "a.md"}.get(key, "words")
    row = one(path, {"prompt": f"say {{{{{key}}}}}", **({} if key == "prompt" else {key: value})})
    assert row.prompt.text == f"say {{{{{key}}}}}"


def test_what_is_put_in_is_data(path):
    row = one(path, {"prompt": "{{a}} {{@p}}", "a": "{{b}} {{@q}}", "b": "no"})
    assert row.refs == ("p",)
    made = answered(row.prompt, {"p": "{{a}} {{@p}} \\1"})
    assert made.text == "{{b}} {{@q}} {{a}} {{@p}} \\1"


def test_references_stand_in_the_system_prompt_and_in_messages_too(path):
    messages = [
        {"role": "system", "content": "By {{@a}}"},
        {"role": "user", "content": "{{@b}}"},
        {"role": "assistant", "content": "{{@c}} {{who}}"},
        {"role": "user", "content": "{{@a}} {{@d}}"},
    ]
    row = one(path, {"messages": messages, "who": "me", "id": "x"})
    assert row.refs == ("a", "b", "c", "d")
    made = answered(row.prompt, {name: name.upper() for name in row.refs})
    assert (made.system, made.history[0].prompt, made.history[0].answer, made.text) == ("By A", "B", "C me", "A D")
    assert one(path, {"prompt": "hello", "system": "By {{@a}}"}).refs == ("a",)


def test_a_template_names_the_row_by_a_column(path, tmp_path):
    row = one(path, {"id": "x", "parent": "y"}, template="Go on: {{@parent}}")
    assert row.refs == ("y",)
    assert one(path, {"id": "x", "parent": ""}, template="Go on: {{@parent}}").prompt.text == "Go on: "
    table = tmp_path / "in.csv"
    table.write_text("id,parent,prompt\na,,hello\nb,a,{{@a}} again\n")
    assert [row.refs for row in read_rows(Source.of(table))] == [(), ("a",)]
    rows = list(read_rows(Source.of(table, template="{{prompt}} {{@parent}}")))
    assert [(row.refs, row.prompt.text) for row in rows] == [
        ((), "hello "), (("a",), "{{@a}} again \0a\0"),
    ]  # fmt: skip


def test_an_answer_that_makes_a_prompt_too_long_is_said(path, monkeypatch):
    from scrimp.routing.batch.files import places

    monkeypatch.setattr(places, "MAX_PROMPT_BYTES", 2 * 1024 * 1024)
    row = one(path, {"prompt": "{{@a}}"})
    with pytest.raises(UsageError, match="over 2 MB"):
        answered(row.prompt, {"a": "ä" * (1024 * 1024 + 1)})
    with pytest.raises(UsageError, match="empty"):
        answered(row.prompt, {"a": " "})


def test_rows_with_the_same_answers_in_them_are_equal(path):
    a, b = (one(path, {"prompt": text}) for text in ("{{@a}} now", "{{@b}} now"))
    filled = [answered(row.prompt, {"a": "same", "b": "same"}) for row in (a, b)]
    assert content_key(Row(0, 1, "1", filled[0])) == content_key(Row(1, 2, "2", filled[1]))
    assert content_key(a) != content_key(b)


# -- keys of a row --------------------------------------------------------------------------------------------------


def test_what_a_row_says_of_itself(path):
    row = one(
        path,
        {
            "prompt": "hello", "arm": "small/passages", "schema": {"type": "object"}, "check": "number:4",
            "checks": ["re:x", "number:4"], "priority": 5.0, "deadline_s": 1.5, "max_output_tokens": 7,
        },
    )  # fmt: skip
    assert (row.arm, row.checks, row.priority, row.deadline_s) == ("small/passages", ("number:4", "re:x"), 5, 1.5)
    assert (row.prompt.schema, row.schema, row.max_output_tokens) == ({"type": "object"}, {"type": "object"}, 7)
    assert "json" in row.prompt.required


def test_the_lower_limit_holds(path):
    messages = [{"role": "user", "content": "hello"}]
    assert one(path, {"messages": messages, "max_tokens": 9, "max_output_tokens": 4}).max_output_tokens == 4
    assert one(path, {"messages": messages, "max_tokens": 3, "max_output_tokens": 4}).max_output_tokens == 3


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"arm": 3}, "arm: expected the name"),
        ({"arm": " "}, "arm: expected"),
        ({"schema": "a.json"}, "schema: expected a JSON Schema"),
        ({"schema": {"type": 3}}, "schema: not a JSON Schema"),
        ({"check": 3}, "check: expected a check"),
        ({"checks": ["x", ""]}, "checks: expected a check"),
        ({"priority": "high"}, "priority: expected a whole number"),
        ({"priority": True}, "priority: expected"),
        ({"priority": 1.5}, "priority: expected"),
        ({"priority": 10**9}, "priority: expected"),
        ({"deadline_s": 0}, "deadline_s: expected"),
        ({"deadline_s": -1}, "deadline_s: expected"),
        ({"deadline_s": True}, "deadline_s: expected"),
        ({"deadline_s": "60"}, "deadline_s: expected"),
        ({"max_output_tokens": 0}, "max_output_tokens: expected"),
        ({"max_output_tokens": "9"}, "max_output_tokens: expected"),
        ({"arm": "small", "plan": "small"}, "arm and plan both say"),
    ],
)
def test_a_value_that_cannot_be_is_a_bad_row(path, more, said):
    row = one(path, {"prompt": "hello", **more})
    assert isinstance(row, BadRow)
    assert said in row.reason


def test_null_says_nothing_and_unknown_keys_are_ignored(path):
    keys = ("arm", "schema", "check", "checks", "priority", "deadline_s", "max_output_tokens", "colour")
    row = one(path, {"prompt": "hello", **dict.fromkeys(keys)})
    assert content_key(row) == content_key(one(path, {"prompt": "hello", "colour": "red"}))


@pytest.mark.parametrize("how", [{"template": "Again: {{answer}}"}, {"column": "answer"}])
def test_an_earlier_output_says_nothing_of_how_its_rows_are_asked(path, how):
    row = one(path, {"id": "a", "answer": "yes", "arm": "large", "priority": 3, "check": 9}, **how)
    assert (row.arm, row.priority, row.checks) == (None, 0, ())


# -- the graph ------------------------------------------------------------------------------------------------------


def bad_of(path, rows):
    found = scan(source_of(path, rows))
    return {each.line: each.reason for each in found.bad}, found


def test_a_reference_may_point_forward(path):
    bad, found = bad_of(path, [{"id": "b", "prompt": "{{@a}}"}, {"id": "a", "prompt": "hello"}])
    assert bad == {}
    assert (found.graph.parents, found.graph.children) == ({0: (1,)}, {1: (0,)})
    assert (found.graph.height, found.graph.depth) == ({1: 1, 0: 0}, {0: 1, 1: 0})


def test_an_id_may_be_a_number(path):
    bad, found = bad_of(path, [{"id": 7, "prompt": "hello"}, {"prompt": "{{@7}}"}, {"prompt": "{{@2}}"}])
    assert bad == {}
    assert found.graph.parents == {1: (0,), 2: (1,)}


def test_references_that_lead_nowhere_are_named_by_line(path):
    bad, found = bad_of(
        path,
        [
            {"id": "a", "prompt": "{{@nobody}}"},
            {"id": "b", "prompt": "me: {{@b}}"},
            {"id": "c", "prompt": "{{@a}}"},
            {"id": "d", "prompt": "fine"},
            {"id": "e", "prompt": "{{@d}}"},
        ],
    )
    assert list(bad) == [1, 2, 3]
    assert "no row that can be asked has the id 'nobody'" in bad[1]
    assert "wait for its own answer" in bad[2]
    assert "row a (line 1) cannot be asked" in bad[3]
    assert (found.n_good, [row.id for row in good_rows(source_of(path, []), found)]) == (2, [])


def test_rows_left_out_stay_left_out(path):
    source = source_of(path, [{"id": "a", "prompt": "{{@x}}"}, {"id": "b", "prompt": "hi"}])
    assert [row.id for row in good_rows(source, scan(source))] == ["b"]


def test_circles_are_named_with_lines_and_ids(path):
    rows = [
        {"id": "a", "prompt": "{{@b}}"}, {"id": "b", "prompt": "{{@c}}"}, {"id": "c", "prompt": "{{@a}} {{@d}}"},
        {"id": "d", "prompt": "hello"}, {"id": "e", "prompt": "{{@c}}"},
        {"id": "f", "prompt": "{{@g}}"}, {"id": "g", "prompt": "{{@f}}"},
    ]  # fmt: skip
    bad, _ = bad_of(path, rows)
    circle = "a (line 1) waits for b (line 2) waits for c (line 3) waits for a"
    assert [circle in bad[line] for line in (1, 2, 3)] == [True] * 3
    assert "row c (line 3) cannot be asked" in bad[5]
    assert "f (line 6) waits for g (line 7) waits for f" in bad[7]
    assert 4 not in bad


def test_a_duplicate_is_no_parent_and_no_child(path):
    bad, found = bad_of(path, [{"id": "a", "prompt": "x"}, {"id": "a", "prompt": "{{@a}}"}, {"prompt": "{{@a}}"}])
    assert list(bad) == [2]
    assert "stands on line 1" in bad[2]
    assert found.graph.parents == {2: (0,)}


def test_a_long_chain_needs_no_deep_stack():
    n = 20_000
    nodes = [Node(i, i + 1, f"r{i}", (f"r{i + 1}",)) for i in range(n - 1)]
    named = {node.id: node for node in [*nodes, Node(n - 1, n, f"r{n - 1}")]}
    graph, bad = graph_of(nodes, named)
    assert bad == []
    assert (graph.height[n - 1], graph.depth[0]) == (n - 1, n - 1)
    nodes.append(Node(n - 1, n, f"r{n - 1}", ("r0",)))
    _, bad = graph_of(nodes, {node.id: node for node in nodes})
    assert len(bad) == n
    assert "more waits for" in bad[0].reason


def test_a_file_without_references_has_no_graph(path):
    assert scan(source_of(path, [{"prompt": f"p {i}"} for i in range(9)])).graph is None


# -- what is foreseen -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tokens", [1, 7, 50, 4000])
def test_a_stand_in_is_as_long_as_is_expected(tokens):
    assert approx_tokens(stand_in(tokens)) == pytest.approx(tokens, abs=1)


def diamond():
    nodes = [Node(1, 2, "b", ("a",)), Node(2, 3, "c", ("a",)), Node(3, 4, "d", ("b", "c"))]
    return graph_of(nodes, {node.id: node for node in [Node(0, 1, "a"), *nodes]})[0]


def test_the_critical_path_is_the_longest_in_seconds():
    rows = {n: Foreseen(0.9, seconds) for n, seconds in enumerate((1.0, 2.0, 5.0, 1.0))}
    found = flow_outlook(diamond(), rows, n_rows=4, spread=1.5, deadlines={3: 6.9, 2: 6.1})
    assert (found.path, found.path_s, found.n_levels, found.n_waiting) == (("a", "c", "d"), 7.0, 3, 3)
    assert found.late == ("d",)
    assert found.all_right == pytest.approx(0.9**4)
    assert found.all_right < found.all_right_shared < 0.9
    rows[0] = Foreseen(0.9, None)
    found = flow_outlook(diamond(), rows, n_rows=4, spread=1.5, deadlines={3: 0.1})
    assert (len(found.path), found.path_s, found.late) == (3, None, ())


def test_what_is_answered_takes_no_time_any_more():
    rows = {n: Foreseen(0.9, 2.0) for n in (2, 3)}
    found = flow_outlook(diamond(), rows, n_rows=2, spread=1.5, deadlines={}, answered={0, 1})
    assert (found.path, found.path_s, found.n_waiting) == (("c", "d"), 4.0, 2)
    assert found.all_right == pytest.approx(0.81)


def test_without_shared_difficulty_rows_err_independently():
    rows = {n: Foreseen(quality, 1.0) for n, quality in enumerate((0.5, 0.8, 0.9, 0.99))}
    found = flow_outlook(diamond(), rows, n_rows=4, spread=0.0, deadlines={})
    assert found.all_right_shared == pytest.approx(found.all_right) == pytest.approx(0.5 * 0.8 * 0.9 * 0.99)


def test_no_difficulty_is_shared_between_flows():
    graph, _ = graph_of([Node(1, 2, "b", ("a",))], {"a": Node(0, 1, "a")})
    rows = {n: Foreseen(0.8, 1.0) for n in range(4)}
    alone = flow_outlook(graph, {n: rows[n] for n in (0, 1)}, n_rows=2, spread=1.5, deadlines={})
    all_four = flow_outlook(graph, rows, n_rows=4, spread=1.5, deadlines={})
    assert all_four.all_right_shared == pytest.approx(alone.all_right_shared * 0.8**2, rel=1e-4)
    twice = flow_outlook(graph, rows, n_rows=8, spread=1.5, deadlines={})
    assert twice.all_right == pytest.approx(all_four.all_right**2)


def test_a_prompt_of_an_answer_alone(path):
    assert answered(Prompt("\0a\0"), {"a": "words"}).text == "words"
