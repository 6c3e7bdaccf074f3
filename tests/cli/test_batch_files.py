"""`scrimp batch` over rows that are asked about files."""

import contextlib
import csv
import json
import shutil
import sqlite3
import textwrap
from collections import Counter

import pytest

MARK = {"type": "ephemeral"}


def jsonl(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def rows_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def minutes(word, n=120):
    """A text of some 6,000 tokens with one line about `word`: more than passages of it come to."""
    filler = "The committee met again and spoke at length about the roof, the garden and the choir.\n\n"
    return filler * n + f"The {word} of the year was forty two in all.\n\n" + filler * n


def asked(server):
    """What each call was asked, in order, as one text."""
    return [request.prompt for request in server.chats]


def ledger(home, sql):
    with contextlib.closing(sqlite3.connect(home / "scrimp.db")) as db:
        return db.execute(sql).fetchall()


@pytest.fixture
def work(home):
    return home.parent / "work"


@pytest.fixture
def out(work):
    return work / "out.jsonl"


@pytest.fixture
def shelf(work):
    """Two files beside the input, in a folder that is not the working directory."""
    folder = work / "data"
    folder.mkdir()
    (folder / "minutes.txt").write_text(minutes("deficit"))
    (folder / "short.txt").write_text("The cat sat.")
    return folder


@pytest.fixture
def claude(tmp_path, server):
    """Return the path of a profile whose arm is of Claude's kind: it keeps what is marked, for a price."""

    def write(*, reply="ok", prices="cache_read_usd_per_mtok = 0.3, cache_write_usd_per_mtok = 3.75, ", model=None):
        server.script([reply], model="claude-sonnet-4.5")
        path = tmp_path / "claude.toml"
        path.write_text(
            textwrap.dedent(f"""
                name = "claude"
                [caps]
                per_day_usd = 5
                [[arms]]
                name = "claude"
                model = "{model or "openrouter/anthropic/claude-sonnet-4.5"}"
                api_base = "{server.base_url}"
                tier = "small"
                max_output_tokens = 200
                context_window = 100000
                price = {{ {prices}input_usd_per_mtok = 3, output_usd_per_mtok = 15 }}
                """)
        )
        return path

    return write


def test_each_row_is_asked_about_its_file(scrimp, profile, shelf, out, server, home):
    rows = [{"prompt": "What was the deficit?", "file": "minutes.txt"}, {"prompt": "Who sat?", "file": ["short.txt"]}]
    path = jsonl(shelf / "in.jsonl", [*rows, {"prompt": "No file?"}, {"prompt": "None?", "file": None}])
    done = scrimp("batch", path, "-o", out, "-p", profile(small="echo"))
    assert done.code == 0, done.err
    one, two, three, four = rows_of(out)
    assert one["arm"] == "small/passages"
    assert "PASSAGE of minutes.txt" in one["answer"]
    assert "deficit of the year was forty two" in one["answer"]
    assert two["answer"].split("\n\n") == ["===== FILE short.txt\nThe cat sat.\n===== END", "Who sat?"]
    assert (two["arm"], three["answer"], four["answer"]) == ("small", "No file?", "None?")
    kept = ledger(home, "SELECT prompt, sources IS NOT NULL, readings IS NOT NULL, arm FROM requests ORDER BY prompt")
    assert kept == [
        ("No file?", 0, 0, "small"),
        ("None?", 0, 0, "small"),
        ("What was the deficit?", 1, 1, "small/passages"),
        ("Who sat?", 1, 0, "small"),
    ]


def test_a_column_of_a_table_names_the_file(scrimp, profile, shelf, out, server):
    path = shelf / "in.csv"
    path.write_text("question,file\nWho sat?,short.txt\nWho stood?,\n")
    out = out.with_suffix(".csv")
    done = scrimp("batch", path, "-o", out, "-p", profile(small="echo"))
    assert done.code == 0, done.err
    rows = list(csv.DictReader(out.read_text().splitlines()))
    assert [row["file"] for row in rows] == ["short.txt", ""]
    assert ["The cat sat." in row["answer"] for row in rows] == [True, False]


@pytest.mark.parametrize("given", [("--file-column", "where"), ()])
def test_another_column_names_it_where_that_is_said(scrimp, profile, shelf, out, server, given):
    path = jsonl(shelf / "in.jsonl", [{"prompt": "Who sat?", "where": "short.txt"}])
    assert scrimp("batch", path, "-o", out, "-p", profile(small="echo"), *given).code == 0
    assert ("The cat sat." in asked(server)[0]) == bool(given)


def test_a_key_of_the_template_is_text_and_no_file(scrimp, profile, shelf, out, server):
    path = jsonl(shelf / "in.jsonl", [{"file": "nowhere.txt"}])
    done = scrimp("batch", path, "-o", out, "-p", profile(small="echo"), "-t", "Describe {{file}}")
    assert done.code == 0, done.err
    assert asked(server) == ["Describe nowhere.txt"]


def test_many_questions_of_one_file(scrimp, profile, shelf, out, server, work, monkeypatch):
    (work / "in.txt").write_text("Who sat?\nWhere?\nWhen?\n")
    done = scrimp("batch", "in.txt", "-f", shelf / "short.txt", "-o", out, "-p", profile(small="echo"))
    assert done.code == 0, done.err
    assert sorted(each.rpartition("\n")[2] for each in asked(server)) == ["When?", "Where?", "Who sat?"]
    assert all(each.startswith("===== FILE short.txt\nThe cat sat.") for each in asked(server))


@pytest.mark.parametrize(
    ("flags", "arm", "words"),
    [
        (("--read", "whole"), "small/whole", "FILE minutes.txt"),
        (("--read", "passages"), "small/passages", "PASSAGE of minutes.txt"),
        (("--read", "none"), "small/none", ""),
        (("-m", "small/whole"), "small/whole", "FILE minutes.txt"),
    ],
)
def test_how_much_is_read_can_be_said(scrimp, profile, shelf, out, server, flags, arm, words):
    path = jsonl(shelf / "in.jsonl", [{"prompt": "What was the deficit?", "file": "minutes.txt"}])
    done = scrimp("batch", path, "-o", out, "-p", profile(small="echo", large="echo"), *flags)
    assert done.code == 0, done.err
    assert (rows_of(out)[0]["arm"], words in asked(server)[0]) == (arm, True)
    assert ("committee" in asked(server)[0]) == bool(words)


def test_passages_are_as_many_as_is_said(scrimp, profile, shelf, out, server):
    path = jsonl(shelf / "in.jsonl", [{"prompt": "What was the deficit?", "file": "minutes.txt"}])
    flags = ("-o", out, "-p", profile(small="echo"), "--read", "passages")
    assert scrimp("batch", path, *flags).code == 0
    assert scrimp("batch", path, *flags, "--overwrite", "--read-tokens", "800").code == 0
    many, few = asked(server)
    assert len(few) < 4_000 < len(many)


def test_an_unknown_reading_is_refused(scrimp, profile, shelf, out, server):
    path = jsonl(shelf / "in.jsonl", [{"prompt": "Who?", "file": "short.txt"}])
    done = scrimp("batch", path, "-o", out, "-p", profile(), "--read", "half")
    assert (done.code, server.chats) == (2, [])
    assert "'half' is not one of" in done.err


def test_a_plan_reads_more_where_little_does_not_do(scrimp, profile, shelf, out, server):
    rows = [
        {"id": i, "prompt": f"What was the deficit of {i}?", "file": "minutes.txt"}
        | ({"plan": "small/passages ? found > large/whole"} if i else {})
        for i in (0, 1)
    ]
    where = profile(small="say@text=The_text_does_not_say.", large="say@text=Forty_two.")
    done = scrimp("batch", jsonl(shelf / "in.jsonl", rows), "-o", out, "-p", where, "-m", "small/whole")
    assert done.code == 0, done.err
    assert [row["arm"] for row in rows_of(out)] == ["small/whole", "large/whole"]
    assert [row["answer"] for row in rows_of(out)] == ["The text does not say.", "Forty two."]
    assert ["PASSAGE of" in each for each in asked(server)].count(True) == 1
    again = scrimp(
        "batch",
        shelf / "in.jsonl",
        "-o",
        out,
        "-p",
        where,
        "--plan",
        "small/passages ? found > large/whole",
        "--overwrite",
    )
    assert again.code == 0, again.err
    assert {row["arm"] for row in rows_of(out)} == {"large/whole"}


def test_a_file_is_split_for_each_row(scrimp, profile, shelf, out, server):
    path = jsonl(shelf / "in.jsonl", [{"prompt": "List every decision.", "file": "minutes.txt"}])
    done = scrimp("batch", path, "-o", out, "-p", profile(small="say@text=None."), "--read", "split")
    assert done.code == 0, done.err
    read = [each.count("committee") for each in asked(server)]
    assert max(read) < 240 <= sum(read)  # every piece is read by some call, and all of it by none


# -- files that cannot be read


def test_rows_fail_whose_files_cannot_be_read(scrimp, profile, shelf, out, server):
    (shelf / "photo.png").write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0")
    (shelf / "empty").mkdir()
    names = ["short.txt", "gone.txt", "photo.png", "empty", ["short.txt", "gone.txt"]]
    path = jsonl(shelf / "in.jsonl", [{"prompt": f"{i}?", "file": name} for i, name in enumerate(names)])
    done = scrimp("batch", path, "-o", out, "-p", profile(small="echo"))
    assert done.code == 6, done.err
    rows = rows_of(out)
    assert [row["status"] for row in rows] == ["ok", *["failed"] * 4]
    assert len(server.chats) == 1
    for line, row in list(enumerate(rows, start=1))[1:]:
        assert row["error"].startswith(f"line {line}, file: ")
        assert row["error"] in done.err.replace(f"{path}, line {line}: ", f"line {line}, ")
    assert ["gone.txt" in rows[i]["error"] for i in (1, 4)] == [True, True]
    assert "photo.png" in rows[2]["error"]
    (shelf / "gone.txt").write_text("It is back.")
    again = scrimp("batch", "--resume", "-o", out, "--retry-errors")
    assert again.code == 6, again.err
    assert [row["status"] for row in rows_of(out)] == ["ok", "ok", "failed", "failed", "ok"]


def test_where_no_file_can_be_read_nothing_is_begun(scrimp, profile, shelf, out, server, home):
    path = jsonl(shelf / "in.jsonl", [{"prompt": "Who?", "file": "gone.txt"}])
    done = scrimp("batch", path, "-o", out, "-p", profile())
    assert (done.code, server.chats, out.exists()) == (78, [], False), done.err
    assert "line 1: file: " in done.err
    assert "gone.txt" in done.err


@pytest.mark.parametrize("odd", [3, {"a": 1}, ["short.txt", 3], "a\0b"])
def test_what_is_no_name_is_a_bad_row(scrimp, profile, shelf, out, server, odd):
    path = jsonl(shelf / "in.jsonl", [{"prompt": "Who?", "file": odd}, {"prompt": "Who?"}])
    done = scrimp("batch", path, "-o", out, "-p", profile())
    assert (done.code, server.chats) == (78, [])
    assert f"{path}, line 1: file: " in done.err
    assert scrimp("batch", path, "-o", out, "-p", profile(), "--skip-bad").code == 0


# -- identity


def test_equal_questions_share_an_answer_only_about_equal_files(scrimp, profile, shelf, out, server):
    shutil.copy(shelf / "short.txt", shelf / "copy.txt")
    (shelf / "other.txt").write_text("The dog sat.")
    names = ["short.txt", "copy.txt", "other.txt", "short.txt", None]
    path = jsonl(shelf / "in.jsonl", [{"prompt": "Who sat?", "file": name} for name in names])
    done = scrimp("batch", path, "-o", out, "-p", profile(small="echo", extra="params = { temperature = 0 }\n"))
    assert done.code == 0, done.err
    rows = rows_of(out)
    assert Counter(row["source"] for row in rows) == {"asked": 3, "same": 2}
    assert ["dog" in row["answer"] for row in rows] == [False, False, True, False, False]
    assert rows[4]["answer"] == "Who sat?"


def test_the_cache_of_answers_knows_files_and_readings(scrimp, profile, shelf, out, server):
    path = jsonl(shelf / "in.jsonl", [{"prompt": "What was the deficit?", "file": "minutes.txt"}])
    flags = ("-o", out, "-p", profile(small="echo"), "--cache", "1h", "--overwrite")
    n_calls = []
    for more in ((), (), ("--read", "whole"), ("--read", "whole")):
        assert scrimp("batch", path, *flags, *more).code == 0
        n_calls.append(len(server.chats))
    (shelf / "minutes.txt").write_text(minutes("surplus"))
    assert scrimp("batch", path, *flags).code == 0
    assert [*n_calls, len(server.chats)] == [1, 1, 2, 2, 3]


def test_a_file_that_changed_since_the_run_began_is_said(scrimp, profile, shelf, out, server):
    rows = [{"prompt": f"{name}?", "file": name} for name in ("short.txt", "other.txt")]
    (shelf / "other.txt").write_text("The dog sat.")
    path = jsonl(shelf / "in.jsonl", rows)
    path_of = profile(small="400")
    assert scrimp("batch", path, "-o", out, "-p", path_of).code == 6
    server.script(["echo"], model="400")
    (shelf / "short.txt").write_text("The cat stood.")
    again = scrimp("batch", "--resume", "-o", out, "--retry-errors")
    assert again.code == 6, again.err
    one, two = rows_of(out)
    assert (one["status"], two["status"]) == ("failed", "ok")
    assert one["error"].startswith("line 1, file: ")
    assert "short.txt has changed since the run began" in one["error"]
    assert not any("stood" in each for each in asked(server))
    (shelf / "short.txt").write_text("The cat sat.")
    assert scrimp("batch", "--resume", "-o", out, "--retry-errors").code == 0


# -- the plan


def test_an_estimate_says_what_each_reading_comes_to(scrimp, profile, shelf, out, server, home):
    rows = [{"prompt": f"What was the deficit of {i}?", "file": "minutes.txt"} for i in range(4)]
    path = jsonl(shelf / "in.jsonl", [*rows, {"prompt": "gone", "file": "gone.txt"}])
    where = profile(small="ok", large="ok")
    done = scrimp("batch", path, "--dry-run", "-p", where)
    assert done.code == 0, done.err
    assert "what is read" in done.out
    assert "1 row" in done.out
    data = json.loads(scrimp("batch", path, "--dry-run", "-p", where, "--json").out)
    readings = {each["arm"]: each for each in data["readings"]}
    assert set(readings) == {"small/whole", "small/passages", "large/whole", "large/passages"}
    assert all(each["rows"] == data["n_rows"] == 4 for each in readings.values())
    for arm in ("small", "large"):
        whole, passages = readings[f"{arm}/whole"], readings[f"{arm}/passages"]
        assert whole["input_tokens"] > 1.5 * passages["input_tokens"]
        assert whole["cost_usd"] > 1.3 * passages["cost_usd"]
    assert sum(each["rows"] for each in data["arms"]) == 4
    assert server.chats == []


def test_under_a_budget_the_plan_chooses_what_is_read_of_an_arm_by_name(scrimp, profile, shelf, out, server):
    rows = [{"prompt": f"What was the deficit of {i}?", "file": "minutes.txt"} for i in range(6)]
    path = jsonl(shelf / "in.jsonl", rows)
    flags = ("-p", profile(small="ok"), "--max-cost", "0.05", "--json")
    free = json.loads(scrimp("batch", path, "--dry-run", "-m", "small", *flags).out)
    fixed = json.loads(scrimp("batch", path, "--dry-run", "-m", "small/whole", *flags).out)
    assert (free["planned"], fixed["planned"]) == (True, False)
    assert {each["arm"] for each in fixed["arms"]} == {"small/whole"}
    done = scrimp("batch", path, "-o", out, "-m", "small", *flags, "--quiet")
    assert done.code == 0, done.err
    assert {row["arm"] for row in rows_of(out)} <= {"small/whole", "small/passages"}
    assert json.loads(done.out)["charged_usd"] <= 0.05


# -- prompt caches


def test_a_shared_file_is_marked_for_who_wants_that(scrimp, claude, shelf, out, server, home):
    (shelf / "in.txt").write_text("One?\nTwo?\nThree?\n")
    flags = ("-f", shelf / "minutes.txt", "--read", "whole", "-o", out, "-p", claude())
    done = scrimp("batch", shelf / "in.txt", *flags)
    assert done.code == 0, done.err
    contents = [request.body["messages"][-1]["content"] for request in server.chats]
    assert len(contents) == 3
    for content in contents:
        block, question = content
        assert block == {"type": "text", "text": contents[0][0]["text"], "cache_control": MARK}
        assert block["text"].endswith("===== END")
        assert "cache_control" not in question
        assert question["text"].strip() in ("One?", "Two?", "Three?")
    # What is reserved carries a cache that is written anew, to the last token.
    held = ledger(
        home, "SELECT a.input_bound, a.output_limit, r.reserved_nano FROM attempts a JOIN reservations r USING (id)"
    )
    assert [nano >= n_in * 3_750 + n_out * 15_000 for n_in, n_out, nano in held] == [True] * 3


@pytest.mark.parametrize(
    ("given", "rows"),
    [
        ({"prices": ""}, ["One?", "Two?"]),  # what a write costs is not known
        ({"model": "openai/claude-sonnet-4.5"}, ["One?", "Two?"]),  # behind a server that knows no marks
        ({}, ["One?"]),  # nobody else asks
    ],
)
def test_nothing_is_marked_where_it_does_not_pay(scrimp, claude, shelf, out, server, given, rows):
    (shelf / "in.txt").write_text("\n".join(rows))
    flags = ("-f", shelf / "minutes.txt", "--read", "whole", "-o", out, "-p", claude(**given))
    done = scrimp("batch", shelf / "in.txt", *flags)
    assert done.code == 0, done.err
    assert [type(request.body["messages"][-1]["content"]) for request in server.chats] == [str] * len(rows)


def test_passages_and_small_files_are_not_marked(scrimp, claude, shelf, out, server):
    path = claude()
    (shelf / "in.txt").write_text("One?\nTwo?\n")
    for file, reading in (("minutes.txt", "passages"), ("short.txt", "whole")):
        flags = ("-f", shelf / file, "--read", reading, "-o", out, "--overwrite", "-p", path)
        assert scrimp("batch", shelf / "in.txt", *flags).code == 0
    assert "cache_control" not in json.dumps([request.body for request in server.chats])


def test_the_first_of_a_file_goes_alone(scrimp, claude, shelf, out, server):
    (shelf / "in.txt").write_text("".join(f"{i}?\n" for i in range(6)))
    together = []
    server.on_chat = lambda n: together.append((n, server.in_flight))
    try:
        flags = ("-f", shelf / "minutes.txt", "--read", "whole", "-o", out, "-p", claude(reply="ok@latency_ms=200"))
        assert scrimp("batch", shelf / "in.txt", *flags).code == 0
    finally:
        server.on_chat = None
    # While the first was on its way, no other was: the second came when nothing else was in flight.
    assert [n for n, _ in together] == [1, 2, 3, 4, 5, 6]
    assert together[1][1] == 1


def test_rows_that_share_a_file_are_forecast_with_its_cache(scrimp, claude, shelf, server):
    path = claude()

    def likely(n, *flags):
        (shelf / "in.txt").write_text("".join(f"Question {i}?\n" for i in range(n)))
        done = scrimp("batch", shelf / "in.txt", "--dry-run", "--json", "-f", shelf / "minutes.txt", "-p", path, *flags)
        return {each["arm"]: each["cost_usd"] for each in json.loads(done.out)["readings"]}

    one, many = likely(1), likely(20)
    assert many["claude/whole"] < 0.35 * 20 * one["claude/whole"]  # a tenth for what is read again
    assert many["claude/passages"] == pytest.approx(20 * one["claude/passages"], rel=0.05)  # other passages each time


def test_a_budget_below_every_bound_buys_nothing(scrimp, profile, shelf, server):
    path = jsonl(shelf / "in.jsonl", [{"prompt": "What was the deficit?", "file": "minutes.txt"}])
    done = scrimp("batch", path, "--dry-run", "--json", "-p", profile(small="ok", large="ok"), "--max-cost", "0.0001")
    data = json.loads(done.out)
    assert (data["arms"], data["n_skipped"], data["cost_usd"]["likely"]) == ([], 1, 0.0)
