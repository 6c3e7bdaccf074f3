"""`scrimp batch` over rows that take other rows' answers, against the loopback server."""

import json
import sqlite3
from collections import Counter
from contextlib import closing

import pytest
from canaries import FOUND, NAMES, in_home, leaked, sent

from scrimp.routing.ledger.packing import unpack

FLOW = [
    {"id": "all", "prompt": "Merge:\n{{@s1}}\n{{@s2}}"},
    {"id": "outline", "prompt": "Outline {{topic}}", "topic": "tides"},
    {"id": "s1", "prompt": "One of {{@outline}}"},
    {"id": "s2", "prompt": "Two of {{@outline}} in {{place}}"},
]


def jsonl(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def rows_of(path):
    return {row["id"]: row for row in map(json.loads, path.read_text().splitlines())}


@pytest.fixture
def flow(home):
    return lambda rows: jsonl(home.parent / "work" / "in.jsonl", rows)


@pytest.fixture
def out(home):
    return home.parent / "work" / "out.jsonl"


def test_answers_stand_where_they_are_referred_to(scrimp, profile, flow, out, server):
    done = scrimp("batch", flow(FLOW), "-o", out, "-p", profile(small="echo"), "--var", "place=Brest")
    assert done.code == 0, done.err
    rows = rows_of(out)
    assert list(rows) == ["all", "outline", "s1", "s2"], "in the file's order"
    assert rows["outline"]["answer"] == "Outline tides"
    assert rows["s2"]["answer"] == "Two of Outline tides in Brest"
    assert rows["all"]["answer"] == "Merge:\nOne of Outline tides\nTwo of Outline tides in Brest"
    assert len(server.chats) == 4
    assert abs(sum(row["cost_usd"] for row in rows.values()) * 1e9 - server.cost_nano) < 1


def test_a_table_and_lines_may_refer_too(scrimp, profile, home, server):
    work = home.parent / "work"
    (work / "in.csv").write_text("id,parent,prompt\na,,hello\nb,a,{{@a}} again\n")
    (work / "in.txt").write_text("hello\n{{@1}} again\n")
    path = profile(small="echo")
    for name in ("in.csv", "in.txt"):
        assert scrimp("batch", work / name, "-o", work / f"{name}.out", "-p", path, "-q").code == 0
    assert [each.prompt for each in server.chats] == ["hello", "hello again"] * 2
    done = scrimp("batch", work / "in.csv", "-o", work / "o.csv", "-p", path, "-q", "-t", "{{id}}: {{@parent}}")
    assert done.code == 0, done.err
    assert [each.prompt for each in server.chats[4:]] == ["a: ", "b: a: "]


def test_what_leads_nowhere_is_refused_before_anything_is_sent(scrimp, profile, flow, out, server):
    rows = [{"id": "a", "prompt": "{{@b}}"}, {"id": "b", "prompt": "{{@a}}"}, {"id": "c", "prompt": "{{@index}} ok"}]
    done = scrimp("batch", flow([*rows, {"id": "d", "prompt": "fine"}]), "-o", out, "-p", profile())
    assert done.code == 78
    assert "a (line 1) waits for b (line 2) waits for a" in done.err
    assert "line 3: {{@index}}: no row that can be asked has the id 'index'" in done.err
    assert server.chats == []
    done = scrimp("batch", flow([*rows, {"id": "d", "prompt": "fine"}]), "-o", out, "-p", profile(), "--skip-bad")
    assert done.code == 0, done.err
    assert list(rows_of(out)) == ["d"]


def test_text_that_looks_like_a_reference_can_be_sent(scrimp, profile, flow, out, server):
    assert scrimp("batch", flow([{"prompt": "{{t}}", "t": "{{@index}}"}]), "-o", out, "-p", profile()).code == 0
    assert [each.prompt for each in server.chats] == ["{{@index}}"]


def test_a_value_that_stands_nowhere_is_refused(scrimp, profile, flow, out, server):
    for given, said in (("topc=x", "no prompt of"), ("x", "expected NAME=VALUE"), ("@a=x", "expected NAME=VALUE")):
        done = scrimp("batch", flow(FLOW), "-o", out, "-p", profile(), "--var", given)
        assert (done.code, server.chats) == (2, [])
        assert said in done.err


@pytest.mark.parametrize(
    ("behaviour", "status", "why"),
    [("400", "failed", "failed"), ("length", "cut", "was cut")],
)
def test_rows_that_wait_in_vain_are_skipped(scrimp, profile, flow, out, server, behaviour, status, why):
    path = profile(small="ok", large="bad")
    server.script([behaviour], model="bad")
    rows = [
        {"id": "a", "prompt": "hello", "arm": "large", "check": "re:."},
        {"id": "b", "prompt": "{{@a}}", "arm": "small"},
        {"id": "c", "prompt": "{{@b}} {{@d}}", "arm": "small"},
        {"id": "d", "prompt": "other", "arm": "small"},
    ]
    done = scrimp("batch", flow(rows), "-o", out, "-p", path)
    assert done.code == 6
    found = rows_of(out)
    assert [found[each]["status"] for each in "abcd"] == [status, "skipped", "skipped", "ok"]
    assert f"row a, which {why}" in found["b"]["error"]
    assert "row b, which was not sent" in found["c"]["error"]
    assert (found["b"]["cost_usd"], found["b"]["decision_id"]) == (0, None)
    n_before = len(server.chats)
    server.script(["ok"], model="bad")
    server.script(["ok"])
    again = ["--retry-errors"] if status == "failed" else ["--retry-cut"]
    done = scrimp("batch", "--resume", "-o", out, *again)
    assert done.code == 0, done.err
    assert [row["status"] for row in rows_of(out).values()] == ["ok"] * 4
    asked = Counter(each.prompt for each in server.chats[n_before:])
    assert asked["other"] == 0, "what was answered is not asked again"
    assert len(server.chats) == n_before + 3


def test_equal_rows_are_equal_with_the_answers_in_them(scrimp, profile, flow, out, server):
    path = profile(small="echo")
    path.write_text(path.read_text() + "params = { temperature = 0.0 }\n")
    rows = [
        {"id": "a", "prompt": "same"}, {"id": "b", "prompt": "same "}, {"id": "c", "prompt": "{{@a}}!"},
        {"id": "d", "prompt": "{{@a}}!"}, {"id": "e", "prompt": "{{@b}}!"},
    ]  # fmt: skip
    assert scrimp("batch", flow(rows), "-o", out, "-p", path, "-q").code == 0
    found = rows_of(out)
    assert sorted(found[each]["source"] for each in "cd") == ["asked", "same"]
    assert [found[each]["answer"] for each in "cde"] == ["same!", "same!", "same !"]
    assert len(server.chats) == 4


def test_answers_come_from_the_cache_too(scrimp, profile, flow, home, server):
    path, work = profile(small="echo"), home.parent / "work"
    for name in ("one", "two"):
        done = scrimp("batch", flow(FLOW), "-o", work / name, "-p", path, "--var", "place=Brest", "--cache", "1d", "-q")
        assert done.code == 0, done.err
    assert rows_of(work / "one")["all"]["answer"] == rows_of(work / "two")["all"]["answer"]
    assert len(server.chats) == 4


def test_what_a_row_says_of_itself_is_done(scrimp, profile, flow, out, server):
    path = profile(small="say@text=small", large="echo")
    rows = [
        {"id": "a", "prompt": "hello", "arm": "large"},
        {"id": "b", "prompt": "hello", "arm": "small", "max_output_tokens": 17},
        {"id": "c", "prompt": "hello", "arm": "small", "check": "re:^large$"},
        {"id": "d", "prompt": '{"x": 1}', "arm": "large", "schema": {"type": "object", "required": ["x"]}},
        {"id": "e", "prompt": '{"y": 1}', "arm": "large", "schema": {"type": "object", "required": ["x"]}},
        {"id": "f", "prompt": "hello", "arm": "small", "checks": ["re:small", "re:^s"]},
    ]
    done = scrimp("batch", flow(rows), "-o", out, "-p", path, "-m", "small")
    assert done.code == 6, done.err
    found = rows_of(out)
    assert [found[each]["arm"] for each in "abcdef"] == ["large", "small", "small", "large", "large", "small"]
    assert [found[each]["status"] for each in "abcdef"] == ["ok", "ok", "failed", "ok", "failed", "ok"]
    assert "^large$" in found["c"]["error"]
    limits = [each.output_limit for each in server.chats if each.model.startswith("say")]
    assert sorted(limits) == [17, 200, 200]
    forms = ["response_format" in each.body for each in server.chats]
    assert forms.count(True) == 2


def test_an_arm_goes_before_the_runs_plan(scrimp, profile, flow, out, server):
    path = profile(small="say@text=no", large="say@text=yes")
    rows = [{"id": "a", "prompt": "hello"}, {"id": "b", "prompt": "hello there", "arm": "small"}]
    done = scrimp(
        "batch", flow(rows), "-o", out, "-p", path, "--plan", "small ? checks > large", "--check", "re:yes", "-q"
    )
    assert done.code == 6, done.err
    assert [(row["status"], row["arm"]) for row in rows_of(out).values()] == [("ok", "large"), ("failed", "small")]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"arm": "smal"}, "line 2: arm: profile test has no arm 'smal'"),
        ({"check": "nonsense"}, "line 2: check: "),
        ({"checks": ["judge:nobody"]}, "line 2: check: profile test has no arm 'nobody'"),
        ({"deadline_s": -4}, "line 2: deadline_s: "),
    ],
)
def test_what_cannot_be_is_a_bad_row(scrimp, profile, flow, out, server, more, said):
    done = scrimp("batch", flow([{"prompt": "fine"}, {"prompt": "hello", **more}]), "-o", out, "-p", profile())
    assert (done.code, server.chats) == (78, [])
    assert said in done.err


# -- order and deadlines --------------------------------------------------------------------------------------------


def test_what_is_urgent_goes_first_wherever_it_stands(scrimp, profile, flow, out, server):
    rows = [{"id": f"r{i}", "prompt": f"p {i}"} for i in range(30)]
    rows[29]["priority"] = 5
    rows[28]["deadline_s"] = 600
    rows[20]["prompt"] = "{{@r27}}"
    rows[20]["priority"] = 1
    assert scrimp("batch", flow(rows), "-o", out, "-p", profile(small="echo"), "-j", "1", "-q").code == 0
    asked = [each.prompt for each in server.chats]
    assert asked[:3] == ["p 28", "p 29", "p 27"]
    assert asked[3:5].count("p 27") == 1 or asked[4:6].count("p 27") == 1, "the row that waited goes before the rest"
    assert len(asked) == 30


def test_a_row_whose_deadline_has_passed_is_not_sent(scrimp, profile, flow, out, server):
    rows = [{"id": "a", "prompt": "hello"}, {"id": "b", "prompt": "{{@a}}", "deadline_s": 0.05}]
    done = scrimp("batch", flow(rows), "-o", out, "-p", profile(small="ok@latency_ms=200"))
    assert done.code == 6
    found = rows_of(out)
    assert (found["a"]["status"], found["b"]["status"], found["b"]["cost_usd"]) == ("ok", "skipped", 0)
    assert "its deadline" in found["b"]["error"]
    assert len(server.chats) == 1


def test_the_deadline_of_a_file_is_every_rows(scrimp, profile, flow, out, server):
    rows = [{"id": f"r{i}", "prompt": f"p {i}"} for i in range(12)]
    path = profile(small="ok@latency_ms=400")
    done = scrimp("batch", flow(rows), "-o", out, "-p", path, "--deadline", "1s", "-j", "1")
    assert done.code == 6
    states = Counter(row["status"] for row in rows_of(out).values())
    assert states["skipped"] >= 5
    assert states["ok"] == len(server.chats) < 6
    assert scrimp("batch", flow(rows), "-o", out, "-p", path, "--deadline", "soon", "--overwrite").code == 2
    done = scrimp("batch", "--resume", "--retry-errors", "-o", out, "--deadline", "1h")
    assert done.code == 0, done.err
    assert len(server.chats) == 12


# -- what it would cost ---------------------------------------------------------------------------------------------


def test_the_estimate_shows_the_graph(scrimp, profile, flow, server):
    done = scrimp("batch", flow(FLOW), "--dry-run", "-p", profile(), "--var", "place=x")
    assert done.code == 0
    for said in ("levels: 3; rows that take other rows' answers: 3", "critical path: outline > ", "all rows right: "):
        assert said in done.out
    data = json.loads(scrimp("batch", flow(FLOW), "--dry-run", "-p", profile(), "--var", "place=x", "--json").out)
    assert (data["flow"]["levels"], data["flow"]["waiting"], len(data["flow"]["critical_path"])) == (3, 3, 3)
    right = data["flow"]["all_right"]
    assert 0 < right["independent"] < right["shared_difficulty"] < 1
    plain = [{key: item for key, item in row.items() if key != "prompt"} | {"prompt": "short"} for row in FLOW]
    less = json.loads(scrimp("batch", flow(plain), "--dry-run", "-p", profile(), "--json").out)
    assert less["flow"] is None
    assert less["cost_usd"]["likely"] < data["cost_usd"]["likely"], "answers are read, and that costs"
    assert server.chats == []


def test_a_budget_is_kept_with_a_graph(scrimp, profile, flow, out, server):
    rows = [{"id": f"a{i}", "prompt": f"p {i}"} for i in range(10)]
    rows += [{"id": f"b{i}", "prompt": f"go on: {{{{@a{i}}}}}"} for i in range(10)]
    done = scrimp("batch", flow(rows), "-o", out, "-p", profile(small="ok", large="ok"), "--max-cost", "0.004", "-q")
    assert done.code in (0, 6), done.err
    assert server.cost_nano <= 4_000_000
    assert {row["status"] for row in rows_of(out).values()} <= {"ok", "skipped"}
    assert len(rows_of(out)) == 20


# -- what is private ------------------------------------------------------------------------------------------------


GUARD = f'\n[guard]\nprivate = "redact"\nnames = {json.dumps(list(NAMES))}\n'


def private_rows():
    mails, others = ("ann@example.com", "bob@example.com"), [each.value for each in FOUND[:8]]
    return [
        {"id": "a", "prompt": f"Write to {mails[0]} and {mails[1]}"},
        {"id": "b", "prompt": f"Write to {mails[1]} of {others[0]}"},
        # The same placeholder stands for other values in a and in b, and b's second is a's first.
        {"id": "c", "prompt": f"{{{{@b}}}} + {{{{@a}}}} + {mails[0]} + {others[1]}"},
        {"id": "d", "prompt": "{{@c}} / {{@a}} / " + " ".join(others)},
    ]


def expected():
    a, b, c, d = (row["prompt"] for row in private_rows())
    c = c.replace("{{@b}}", b).replace("{{@a}}", a)
    return [a, b, c, d.replace("{{@c}}", c).replace("{{@a}}", a)]


def test_nothing_private_leaves_with_an_answer(scrimp, profile, flow, out, server, home):
    path = profile(small="echo", caps="per_day_usd = 50.0", extra=GUARD)
    done = scrimp("batch", flow(private_rows()), "-o", out, "-p", path, "-q", "-y")
    assert done.code == 0, done.err
    assert [row["answer"] for row in rows_of(out).values()] == expected()
    assert leaked(sent(server)) == []
    assert "@example.com" not in sent(server)
    assert leaked(in_home(home)) == []


def test_nothing_private_leaves_after_a_stop(scrimp, profile, flow, out, server, home, monkeypatch):
    """The answers of an earlier process are in the journal with placeholders, numbered for their rows."""
    from scrimp.routing.batch.rows.desk import Desk

    over = Desk.over

    def stops(desk, n, status):
        over(desk, n, status)
        if n == 2:
            desk.stop("interrupted")

    monkeypatch.setattr(Desk, "over", stops)
    path = profile(small="echo", caps="per_day_usd = 50.0", extra=GUARD)
    assert scrimp("batch", flow(private_rows()), "-o", out, "-p", path, "-q", "-y").code == 130
    assert len(server.chats) == 3
    monkeypatch.setattr(Desk, "over", over)
    done = scrimp("batch", "--resume", "-o", out, "-q")
    assert done.code == 0, done.err
    assert len(server.chats) == 4
    assert [row["answer"] for row in rows_of(out).values()] == expected()
    assert leaked(sent(server)) == []
    assert "@example.com" not in sent(server)
    assert leaked(in_home(home)) == []


def test_an_id_that_is_private_is_not_written_down(scrimp, profile, flow, out, server, home):
    rows = [{"id": "ann@example.com", "prompt": "hello"}, {"id": "b", "prompt": "{{@ann@example.com}} again"}]
    path = profile(small="400", caps="per_day_usd = 50.0", extra=GUARD)
    assert scrimp("batch", flow(rows), "-o", out, "-p", path, "-q").code == 6
    assert "@example.com" not in in_home(home)
    assert rows_of(out)["b"]["status"] == "skipped"


def test_private_values_given_by_flag_are_not_kept(scrimp, profile, flow, out, server, home):
    path = profile(small="echo", caps="per_day_usd = 50.0", extra=GUARD)
    done = scrimp(
        "batch", flow([{"prompt": "Ask {{who}}"}]), "-o", out, "-p", path, "-q", "--var", "who=ann@example.com"
    )
    assert done.code == 0, done.err
    assert [row["answer"] for row in rows_of(out).values()] == ["Ask ann@example.com"]
    assert "ann@example.com" not in sent(server)
    with closing(sqlite3.connect(home / "scrimp.db")) as ledger:
        (options,) = ledger.execute("SELECT options FROM batch_runs").fetchone()
    assert "ann@example.com" not in options


def test_a_duel_takes_no_graph(scrimp, profile, flow, server):
    done = scrimp("duel", "-f", flow([{"id": "a", "prompt": "x"}, {"prompt": "{{@a}}"}]), "-p", profile(large="ok"))
    assert done.code == 2
    assert server.chats == []


def test_rows_that_begin_with_one_long_answer_let_the_first_fill_the_cache(scrimp, profile, flow, out, server):
    latency_s = 0.2
    path = profile(small=f"ok@tokens=1500,latency_ms={latency_s * 1000:.0f}")
    text = path.read_text().replace("max_output_tokens = 200", "max_output_tokens = 2000")
    path.write_text(text.replace("output_usd_per_mtok = 4", "output_usd_per_mtok = 4, cache_read_usd_per_mtok = 0.1"))
    rows = [{"id": "a", "prompt": "hello"}, {"id": "late", "prompt": "{{@a}}\n\nnow", "deadline_s": 600}]
    rows += [{"id": f"b{i}", "prompt": f"{{{{@a}}}}\n\nquestion {i}"} for i in range(4)]
    assert scrimp("batch", flow(rows), "-o", out, "-p", path, "-q", "-y").code == 0
    assert server.chats[1].prompt.endswith("now"), "who has a deadline waits for nobody"
    first, *others = [each.time for each in server.chats if "question" in each.prompt]
    assert len(others) == 3
    assert min(others) - first >= latency_s


def test_rows_beside_a_plan_keep_the_plan_for_the_file(scrimp, profile, flow, out, server, home):
    rows = [{"id": f"r{i}", "prompt": f"p {i}"} for i in range(10)]
    rows[3]["plan"] = "large + large + large vote"
    rows[4]["arm"] = "large"
    rows[5]["prompt"] = "again {{@r4}}"
    path = profile(small="ok", large="ok")
    guess = json.loads(scrimp("batch", flow(rows), "--dry-run", "-p", path, "--max-cost", "0.05", "--json").out)
    assert guess["planned"]
    assert next(each["rows"] for each in guess["arms"] if each["arm"] == "plans") == 1
    assert sum(each["rows"] for each in guess["arms"]) == 10
    done = scrimp("batch", flow(rows), "-o", out, "-p", path, "--max-cost", "0.05", "-q")
    assert done.code == 0, done.err
    assert rows_of(out)["r4"]["arm"] == "large"
    with closing(sqlite3.connect(home / "scrimp.db")) as ledger:
        decisions = [unpack(decision) for (decision,) in ledger.execute("SELECT decision FROM requests")]
    assert sum("taken by the plan for the whole file" in each for each in decisions) == 8
    assert sum('"spelled"' in each for each in decisions) == 1


def test_large_answers_are_taken_in_parts(scrimp, profile, flow, out, server, monkeypatch):
    from scrimp.routing.batch.planning import choosing

    monkeypatch.setattr(choosing, "_WINDOW_BYTES", 64)
    rows = [{"id": "a", "prompt": "x" * 50}, *({"id": f"b{i}", "prompt": f"{{{{@a}}}} {i}"} for i in range(9))]
    assert scrimp("batch", flow(rows), "-o", out, "-p", profile(small="echo"), "-q").code == 0
    assert len(server.chats) == len(rows_of(out)) == 10
