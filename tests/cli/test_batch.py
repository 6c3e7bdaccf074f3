"""`scrimp batch` from the command line, against the loopback server."""

import contextlib
import csv
import gzip
import json
import os
import socket
import sqlite3
import threading
from collections import Counter
from pathlib import Path

import pytest

from scrimp.profiles.files import replacing
from scrimp.routing.text.spreadsheet import quoted


def jsonl(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def rows_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def prompts(home):
    return jsonl(home.parent / "work" / "in.jsonl", [{"id": f"r{i}", "prompt": f"prompt {i}"} for i in range(12)])


@pytest.fixture
def out(home):
    return home.parent / "work" / "out.jsonl"


def test_a_file_is_answered(scrimp, profile, prompts, out, server):
    done = scrimp("batch", prompts, "-o", out, "-p", profile(small="echo"))
    assert done.code == 0, done.err
    assert done.out == ""
    rows = rows_of(out)
    assert [row["id"] for row in rows] == [f"r{i}" for i in range(12)]
    assert [row["status"] for row in rows] == ["ok"] * 12
    assert all("prompt" in row["answer"] for row in rows)
    assert abs(sum(row["cost_usd"] for row in rows) * 1e9 - server.cost_nano) < 1
    assert "12 ok" in done.err
    assert not out.with_name("out.jsonl.partial").exists()
    spent = json.loads(scrimp("spend", "--json").out)
    assert spent["rows"]


def test_the_summary_as_json(scrimp, profile, prompts, out):
    done = scrimp("batch", prompts, "-o", out, "-p", profile(), "--json", "--quiet")
    data = json.loads(done.out)
    assert data["schema_version"] == 1
    assert (data["rows"], data["ok"], data["status"]) == (12, 12, "finished")
    assert done.err == ""


def test_an_estimate_sends_nothing_and_makes_nothing(scrimp, profile, prompts, out, server, home):
    done = scrimp("batch", prompts, "-o", out, "--dry-run", "-p", profile(small="ok", large="ok"))
    assert done.code == 0
    for word in ("likely", "low", "high", "predicted quality", "time", "what money buys"):
        assert word in done.out
    data = json.loads(scrimp("batch", prompts, "--dry-run", "-p", profile(small="ok", large="ok"), "--json").out)
    assert (
        data["cost_usd"]["low"]
        <= data["cost_usd"]["likely"]
        <= data["cost_usd"]["high"]
        <= data["cost_usd"]["at_limits"]
    )
    assert sum(arm["rows"] for arm in data["arms"]) == data["n_rows"] == 12
    qualities = [point["predicted_quality"] for point in data["frontier"]]
    assert qualities == sorted(qualities)
    assert server.chats == []
    assert not out.exists()
    assert not (home / "scrimp.db").exists()


def likely(scrimp, prompts, path, *flags):
    done = scrimp("batch", prompts, "--dry-run", "-p", path, "--json", *flags)
    assert done.code == 0, done.err
    return json.loads(done.out)["cost_usd"]["likely"]


def test_an_estimate_counts_every_call_of_a_plan(scrimp, profile, prompts, server):
    path = profile(small="ok", large="ok")
    one = likely(scrimp, prompts, path, "--plan", "large")
    assert likely(scrimp, prompts, path, "--plan", "large + large + large vote") == pytest.approx(3 * one)
    escalating = likely(scrimp, prompts, path, "--plan", "small ? checks > large", "--check", "number:42")
    assert (
        likely(scrimp, prompts, path, "-m", "small") < escalating < likely(scrimp, prompts, path, "-m", "small") + one
    )
    assert server.chats == []


def test_an_estimate_counts_judges_and_samples(scrimp, profile, prompts):
    path = profile(small="ok", large="ok")
    one = likely(scrimp, prompts, path, "-m", "small")
    assert likely(scrimp, prompts, path, "-m", "small", "--check", "judge:large") > 1.2 * one
    assert likely(scrimp, prompts, path, "-m", "small", "--check", "agree:small,small") > 2.0 * one


def test_an_estimate_knows_the_plans_of_rows(scrimp, profile, home):
    rows = [{"prompt": f"prompt {i}"} | ({"plan": "large + large + large vote"} if i % 2 else {}) for i in range(4)]
    mixed = jsonl(home.parent / "work" / "mixed.jsonl", rows)
    plain = jsonl(home.parent / "work" / "plain.jsonl", [{"prompt": row["prompt"]} for row in rows])
    path = profile(small="ok", large="ok")
    assert likely(scrimp, mixed, path) > likely(scrimp, plain, path)


def test_a_dear_vote_is_confirmed_first(scrimp, profile, prompts, out, server):
    path = profile(small="ok", large="ok", caps="per_run_usd = 0.05")
    done = scrimp("batch", prompts, "-o", out, "-p", path, "--plan", "large + large + large vote")
    assert (done.code, server.chats) == (2, [])
    assert "say --yes" in done.err


def test_a_plan_that_cannot_be_read_stops_everything(scrimp, profile, prompts, out, server):
    done = scrimp("batch", prompts, "-o", out, "-p", profile(small="ok"), "--plan", "small > nosuch")
    assert (done.code, server.chats) == (2, [])
    assert "no arm 'nosuch'" in done.err
    assert not out.exists()


def test_standard_input_is_kept_for_the_run(scrimp, profile, out, home):
    done = scrimp("batch", "-", "-o", out, "-p", profile(small="echo"), stdin="one\ntwo\n")
    assert done.code == 0, done.err
    assert [row["id"] for row in rows_of(out)] == ["1", "2"]
    assert list((home / "batches").iterdir()) == []


def test_a_packed_table_in_and_out(scrimp, profile, home):
    path = home.parent / "work" / "mails.csv.gz"
    path.write_bytes(gzip.compress(b'id,body\na,"one, two"\nb,three\n'))
    out = path.with_name("out.csv")
    done = scrimp("batch", path, "-o", out, "-t", "Sort: {{body}}", "-p", profile(small="echo"))
    assert done.code == 0, done.err
    head, *rows = csv.reader(out.read_text().splitlines())
    assert head[:4] == ["id", "body", "status", "answer"]
    assert [row[:3] for row in rows] == [["a", "one, two", "ok"], ["b", "three", "ok"]]
    assert "Sort: one, two" in rows[0][3]


def test_openais_batch_shape_in_and_out(scrimp, profile, home):
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 9}
    row = {"custom_id": "c1", "method": "POST", "url": "/v1/chat/completions", "body": body}
    path = jsonl(home.parent / "work" / "b.jsonl", [row])
    out = path.with_name("o.jsonl")
    assert scrimp("batch", path, "-o", out, "-p", profile(small="echo")).code == 0
    (answer,) = rows_of(out)
    assert answer["custom_id"] == "c1"
    assert answer["response"]["body"]["choices"][0]["message"]["content"]
    assert answer["scrimp"]["status"] == "ok"


# ---- what is refused before anything is sent


def refused(done, server, code, *words):
    assert done.code == code, done.err
    for word in words:
        assert word in done.err
    assert server.chats == []
    assert "Traceback" not in done.err


def test_malformed_lines_stop_everything_unless_left_out(scrimp, profile, prompts, out, server):
    prompts.write_text(prompts.read_text() + '{"prompt": \n{"prompt": "last"}\n')
    path = profile()
    refused(scrimp("batch", prompts, "-o", out, "-p", path), server, 78, "line 13", "--skip-bad", "nothing was sent")
    done = scrimp("batch", prompts, "-o", out, "-p", path, "--skip-bad")
    assert done.code == 0
    assert "line 13" in done.err
    assert len(rows_of(out)) == 13


def test_an_output_that_is_there(scrimp, profile, prompts, out, server):
    out.write_text("precious")
    path = profile()
    refused(scrimp("batch", prompts, "-o", out, "-p", path), server, 2, "--overwrite", "--resume")
    assert out.read_text() == "precious"
    assert scrimp("batch", prompts, "-o", out, "-p", path, "--overwrite").code == 0
    assert len(rows_of(out)) == 12


def test_the_output_is_the_input(scrimp, profile, prompts, server):
    before = prompts.read_text()
    link = prompts.with_name("link.jsonl")
    link.symlink_to(prompts)
    for name in (prompts, link):
        refused(scrimp("batch", prompts, "-o", name, "-p", profile(), "--overwrite"), server, 2, "is the input")
    assert prompts.read_text() == before


FORMULAS = [
    "=1+1", "+1+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1", " =1", '"=1', "\uff1d1", "\uff0b1", "- a point", "=HYPERLINK(0)",
]  # fmt: skip
HARMLESS = ["-5", "+3.2", "-1e-5", "+49", "1-2", "a=b", "'=1", "x@y", "", "5%"]


@pytest.mark.parametrize("ending", ["csv", "tsv"])
def test_a_table_holds_no_formula(scrimp, profile, home, ending):
    """In no cell: the input's own, the answer, the error; ids are matched all the same when a run is taken up again."""
    path, out = home.parent / "work" / f"in.{ending}", home.parent / "work" / f"out.{ending}"
    separator = "\t" if ending == "tsv" else ","
    with path.open("w", newline="") as file:
        writer = csv.writer(file, delimiter=separator, lineterminator="\n", quoting=csv.QUOTE_ALL)
        writer.writerows(
            [["id", "prompt", "=head"], *([f"={n}", text or "x", text] for n, text in enumerate(FORMULAS + HARMLESS))]
        )
    first = profile(small="400", large="400")
    assert scrimp("batch", path, "-o", out, "-p", first, "-m", "small").code == 6
    profile(small="echo", large="echo")
    assert scrimp("batch", "-o", out, "--resume", "--retry-errors", "-p", first).code == 0
    with out.open(newline="") as file:
        head, *rows = csv.reader(file, delimiter=separator)
    assert head[:3] == ["id", "prompt", "'=head"]
    assert [row[0] for row in rows] == [f"'={n}" for n in range(len(FORMULAS + HARMLESS))]
    assert [row[2] for row in rows] == [f"'{cell}" for cell in FORMULAS] + HARMLESS
    assert all(quoted(cell) == cell for row in rows for cell in row)
    assert rows[0][head.index("answer")][0] == "'"
    assert all(float(row[head.index("cost_usd")]) > 0 for row in rows)
    before = [row[:3] for row in rows]
    again = out.with_name(f"again.{ending}")
    assert scrimp("batch", out, "-o", again, "-p", first).code == 0
    with again.open(newline="") as file:
        assert [row[:3] for row in csv.reader(file, delimiter=separator)][1:] == before


@pytest.mark.parametrize("flag", [(), ("--overwrite",)])
@pytest.mark.parametrize(
    "what", ["device", "pipe", "socket", "link", "dangling link", "link to a device", "/dev/stdout"]
)
def test_an_output_that_is_no_regular_file(scrimp, profile, prompts, server, what, flag):
    """A file is renamed into its place: the device would be gone, for everybody."""
    out, real = prompts.with_name("it"), prompts.with_name("real")
    if what == "pipe":
        os.mkfifo(out)
    elif what == "socket":
        bound = socket.socket(socket.AF_UNIX)
        bound.bind(str(out))
        bound.close()
    elif "link" in what:
        out.symlink_to("/dev/null" if "device" in what else real)
        if what == "link":
            real.write_text("precious")
    else:
        out = Path("/dev/stdout" if "std" in what else "/dev/null")
    before = out.lstat()
    done = scrimp("batch", prompts, "-o", out, "-p", profile(), *flag)
    refused(done, server, 2, "symbolic link" if "link" in what or "std" in what else "is no file but a")
    assert (out.lstat().st_ino, out.lstat().st_mode) == (before.st_ino, before.st_mode)
    assert not real.exists() or real.read_text() == "precious"


def test_what_appears_in_the_outputs_place_meanwhile_is_left_alone(tmp_path):
    place = replacing(tmp_path / "it")
    place.__enter__().write(b"answers")
    os.mkfifo(tmp_path / "it")
    with pytest.raises(OSError, match="named pipe"):
        place.__exit__(None, None, None)
    assert [path.name for path in tmp_path.iterdir()] == ["it"]
    with pytest.raises(OSError, match="a device"), replacing(Path("/dev/null")):
        pass
    assert Path("/dev/null").is_char_device()


def test_a_journal_that_is_no_file(scrimp, profile, prompts, out, server):
    os.mkfifo(out.with_name(out.name + ".partial"))
    refused(scrimp("batch", prompts, "-o", out, "-p", profile()), server, 2, "it is a named pipe")


@pytest.mark.parametrize(
    ("argv", "code", "word"),
    [
        ((), 2, "INPUT"),
        (("none.jsonl", "-o", "o"), 2, "is not there"),
        ((".", "-o", "o"), 2, "is a folder"),
        (("in.jsonl",), 2, "-o OUTPUT"),
        (("in.jsonl", "-o", "."), 2, "is a folder"),
        (("in.jsonl", "-o", "no/such/o"), 2, "there is no folder"),
        (("in.jsonl", "in.jsonl", "-o", "o"), 2, "one input"),
        (("in.jsonl", "-o", "o", "-m", "smal"), 2, "did you mean 'small'"),
        (("in.jsonl", "-o", "o", "--format", "xml"), 2, "jsonl"),
        (("in.jsonl", "-o", "o", "--column", "a", "-t", "{{a}}"), 2, "one of them"),
        (("in.jsonl", "-o", "o", "-t", "nothing"), 2, "neither a template"),
        (("in.jsonl", "-o", "o", "--cache", "soon"), 2, "--cache"),
        (("in.jsonl", "-o", "o", "--check", "nonsense"), 2, "nonsense"),
        (("in.jsonl", "-o", "o", "--schema", "{"), 78, "schema"),
        (("in.jsonl", "-o", "o", "--max-cost", "much"), 2, "--max-cost"),
        (("in.jsonl", "-o", "o", "--retry-errors"), 2, "--resume"),
        (("in.jsonl", "-o", "o", "--resume", "--overwrite"), 2, "one of them"),
        (("--resume",), 2, "no run to go on with"),
        (("show",), 2, "no run yet"),
        (("cancel",), 2, "which run"),
        (("show", "abcd"), 2, "no run"),
        (("cancel", "abcd"), 2, "no run"),
        (("list", "x"), 2, "no argument"),
    ],
)
def test_flags_that_cannot_be(scrimp, profile, prompts, server, argv, code, word):
    assert prompts.exists()
    flags = ("-p", profile()) if argv and argv[0] not in ("show", "cancel", "list") else ()
    refused(scrimp("batch", *argv, *flags), server, code, word)


@pytest.mark.parametrize("wrong", [("--cache", "soon"), ("--check", "nonsense"), ("--cache", "7d", "--no-log")])
def test_a_wrong_flag_replaces_nothing_and_leaves_no_run(scrimp, profile, prompts, out, wrong):
    flags = ("batch", prompts, "-o", out, "-p", profile(), "--overwrite")
    assert scrimp(*flags).code == 0
    assert scrimp(*flags, *wrong).code == 2
    (run,) = json.loads(scrimp("batch", "list", "--json").out)["runs"]
    assert (run["status"], run["counts"]) == ("finished", {"ok": 12})
    assert not out.with_name("out.jsonl.partial").exists()


def test_a_run_whose_output_is_replaced_stays_on_record(scrimp, profile, prompts, out):
    flags = ("batch", prompts, "-o", out, "-p", profile(), "--overwrite")
    assert [scrimp(*flags).code for _ in range(2)] == [0, 0]
    first, second = sorted(json.loads(scrimp("batch", "list", "--json").out)["runs"], key=lambda run: run["created_at"])
    assert (first["status"], first["counts"]) == ("replaced", {"ok": 12})
    assert (second["status"], second["counts"]) == ("finished", {"ok": 12})
    assert "given up before" in scrimp("batch", "cancel", first["id"]).err
    assert "is finished" in scrimp("batch", "cancel", second["id"]).err
    assert "finished" in scrimp("batch", "show", second["id"]).out


def test_a_quality_out_of_reach_is_said_and_the_best_is_done(scrimp, profile, prompts, out):
    path = profile(small="ok", large="ok")
    flags = ("batch", prompts, "-p", path, "--min-quality", "1.0")
    assert "min_quality 1 is out of reach: the best plan for these rows is predicted" in scrimp(*flags, "--dry-run").err
    assert json.loads(scrimp(*flags, "--dry-run", "--json").out)["min_quality_missed"] is True
    done = scrimp(*flags, "-o", out)
    assert done.code == 0
    assert "min_quality 1 is out of reach: the best plan for these rows is predicted" in done.err


def test_a_dear_arm_asked_for_by_name_needs_a_yes_too(scrimp, profile, prompts, out, server):
    path = profile(small="ok", large="ok", caps="per_run_usd = 20")
    path.write_text(path.read_text().replace("output_usd_per_mtok = 40", "output_usd_per_mtok = 40_000"))
    done = scrimp("batch", prompts, "-o", out, "-p", path, "-m", "large")
    assert done.code == 2, done.err
    assert "--yes" in done.err
    assert not server.requests


def test_an_empty_file(scrimp, profile, prompts, out, server):
    prompts.write_text("\n")
    refused(scrimp("batch", prompts, "-o", out, "-p", profile()), server, 78, "no rows")


def test_a_folder_that_cannot_be_written(scrimp, profile, prompts, server, tmp_path):
    import os

    folder = tmp_path / "shut"
    folder.mkdir(mode=0o500)
    if os.access(folder, os.W_OK):
        pytest.skip("this user can write anywhere")
    refused(scrimp("batch", prompts, "-o", folder / "o", "-p", profile()), server, 2, "cannot write")


def test_an_expensive_run_needs_a_yes_or_a_limit(scrimp, profile, home, server):
    rows = [{"prompt": f"prompt {i}"} for i in range(400)]
    path = jsonl(home.parent / "work" / "many.jsonl", rows)
    dear = profile(caps="per_run_usd = 0.001\nper_day_usd = 1", large="ok")
    refused(scrimp("batch", path, "-o", "o", "-p", dear), server, 3, "cheapest arm")
    dear = profile(caps="per_run_usd = 0.05\nper_day_usd = 1", large="ok")
    refused(scrimp("batch", path, "-o", "o", "-p", dear), server, 2, "--yes")


def test_no_arm_can_take_it(scrimp, profile, prompts, out, server):
    tight = profile(caps="per_call_usd = 0.000001")
    refused(scrimp("batch", prompts, "-o", out, "-p", tight), server, 3, "no row can be sent")
    keyless = profile(key_env="NO_SUCH_KEY_VARIABLE")
    refused(scrimp("batch", prompts, "-o", out, "-p", keyless), server, 4, "NO_SUCH_KEY_VARIABLE")
    refused(
        scrimp("batch", prompts, "-o", out, "-p", profile(), "--local-only", "--need", "flying"), server, 2, "flying"
    )


# ---- runs that go wrong, and on


def test_failed_rows_exit_6_and_can_be_asked_again(scrimp, profile, prompts, out, server):
    path = profile(small="ok")
    server.script(["400"] * 3)
    done = scrimp("batch", prompts, "-o", out, "-p", path, "-j", "1")
    assert done.code == 6
    assert Counter(row["status"] for row in rows_of(out)) == {"ok": 9, "failed": 3}
    assert "--retry-errors" in done.err
    n = len(server.chats)
    assert scrimp("batch", "--resume", "-o", out).code == 6, "finished: nothing is sent"
    assert len(server.chats) == n
    assert scrimp("batch", "--resume", "--retry-errors").code == 0
    assert len(server.chats) == n + 3
    assert [row["status"] for row in rows_of(out)] == ["ok"] * 12
    assert scrimp("batch", "--resume", "--retry-errors").code == 2, "none is left"


def test_an_estimate_of_what_is_left_changes_nothing(scrimp, profile, prompts, out, server):
    server.script(["400"] * 3)
    scrimp("batch", prompts, "-o", out, "-p", profile(small="ok"), "-j", "1")
    before = scrimp("batch", "list", "--json").out
    n = len(server.chats)
    again = scrimp("batch", "--resume", "--retry-errors", "--dry-run", "--json")
    assert json.loads(again.out)["n_rows"] == 3
    assert scrimp("batch", "list", "--json").out == before
    assert len(server.chats) == n
    assert not out.with_name("out.jsonl.partial").exists()


def test_a_cost_that_is_not_known_is_not_nothing(scrimp, profile, prompts, out):
    done = scrimp("batch", prompts, "-o", out, "-p", profile(small="no-usage"), "--json")
    data = json.loads(done.out)
    assert data["ok"] == 12
    assert (data["cost_usd"], data["cost_unknown"]) == (None, 12)
    assert data["charged_usd"] > 0
    assert "not known for certain" in done.err
    assert {row["cost_usd"] for row in rows_of(out)} == {None}


def test_a_refused_key_ends_the_run_with_4(scrimp, profile, prompts, out):
    done = scrimp("batch", prompts, "-o", out, "-p", profile(small="401"))
    assert done.code == 4
    assert not out.exists()
    assert "sk-" not in done.err


def test_a_cap_leaves_rows_out_and_exits_6(scrimp, profile, home, server):
    rows = [{"prompt": f"prompt {i}"} for i in range(60)]
    path = jsonl(home.parent / "work" / "many.jsonl", rows)
    done = scrimp("batch", path, "-o", "o.jsonl", "-p", profile(small="fill"), "--max-cost", "0.006", "-j", "4")
    assert done.code == 6, done.err
    states = Counter(row["status"] for row in rows_of(path.with_name("o.jsonl")))
    assert states["skipped"] > 0
    assert states["cut"] > 0  # `fill` answers to its limit
    assert server.cost_nano <= 6_000_000


def test_a_profile_of_two_arms_under_one_budget(scrimp, profile, home, server):
    rows = [{"prompt": f"prompt {i}"} for i in range(80)]
    path = jsonl(home.parent / "work" / "many.jsonl", rows)
    both = profile(small="ok@tokens=20", large="ok@tokens=20")
    done = scrimp("batch", path, "-o", "o.jsonl", "-p", both, "--max-cost", "0.03", "--json")
    assert done.code == 0, done.err
    data = json.loads(done.out)
    assert set(data["arms"]) == {"small", "large"}
    assert data["charged_usd"] <= 0.03
    assert sum(data["arms"].values()) == len(server.chats) == 80


def test_checks_know_the_prompt_and_weigh_as_they_do_in_ask(scrimp, profile, prompts, out):
    jsonl(prompts, [{"prompt": "In at most two words: hello"}])
    flags = ("--check", "instructions", "--check", "has:well")
    assert scrimp("batch", prompts, "-o", out, "-p", profile(small="say@text=well_well_well"), *flags).code == 6
    (row,) = rows_of(out)
    assert "3 words" in row["error"]
    labels = {
        label["note"].partition(":")[0]: label
        for label in json.loads(scrimp("log", "show", row["decision_id"], "--json").out)["labels"]
    }
    assert {note: label["reward"] for note, label in labels.items()} == {"instructions": 0.0, "has": 1.0}
    assert 0.9 <= labels["instructions"]["weight"] < 1.0


def test_a_schema_and_a_pattern_are_checked(scrimp, profile, prompts, out):
    done = scrimp("batch", prompts, "-o", out, "-p", profile(small="echo"), "--check", "re:prompt 1")
    assert done.code == 6
    assert Counter(row["status"] for row in rows_of(out)) == {"ok": 3, "failed": 9}
    assert rows_of(out)[0]["answer"]
    done = scrimp(
        "batch", prompts, "-o", out, "--overwrite", "-p", profile(small="echo"), "--schema", '{"type": "object"}'
    )
    assert {row["status"] for row in rows_of(out)} == {"failed"}
    assert "JSON" in rows_of(out)[0]["error"]


def test_a_changed_input_is_not_gone_on_with(scrimp, profile, prompts, out, server):
    server.script(["400"] * 12)
    assert scrimp("batch", prompts, "-o", out, "-p", profile(), "--max-errors", "2", "-j", "1").code == 6
    assert not out.exists()
    prompts.write_text(prompts.read_text() + '{"prompt": "more"}\n')
    done = scrimp("batch", "--resume")
    assert done.code == 2
    assert "has changed" in done.err


def test_an_unfinished_run_is_in_the_way_until_it_is_resumed_or_dropped(scrimp, profile, prompts, out, server):
    path = profile()
    server.script(["400"] * 12)
    scrimp("batch", prompts, "-o", out, "-p", path, "--max-errors", "1", "-j", "1")
    server.reset()
    done = scrimp("batch", prompts, "-o", out, "-p", path)
    assert done.code == 2
    assert "--resume" in done.err
    assert scrimp("batch", prompts, "-o", out, "-p", path, "--overwrite").code == 0
    assert [row["status"] for row in rows_of(out)] == ["ok"] * 12


def test_killed_before_its_last_word_a_run_is_finished_by_resuming(scrimp, profile, prompts, out, server, home):
    """Its journal goes once the output stands, and only then is it called finished: a kill may come between."""
    at = profile()
    assert scrimp("batch", prompts, "-o", out, "-p", at).code == 0
    n = len(server.requests)

    def forget_its_end():
        with contextlib.closing(sqlite3.connect(home / "scrimp.db")) as ledger, ledger:
            ledger.execute("UPDATE batch_runs SET status = 'running', finished_at = NULL")

    forget_its_end()
    done = scrimp("batch", "--resume", "-o", out)
    assert done.code == 0, done.err
    assert "is finished: 12 ok" in done.err
    assert len(server.requests) == n
    out.unlink()
    forget_its_end()
    done = scrimp("batch", "--resume", "-o", out)
    assert done.code == 2
    assert "journal" in done.err


def test_list_show_and_cancel(scrimp, profile, prompts, out, server):
    assert "no runs yet" in scrimp("batch", "list").out
    server.script(["400"] * 12)
    scrimp("batch", prompts, "-o", out, "-p", profile(), "--max-errors", "1", "-j", "1")
    listed = json.loads(scrimp("batch", "list", "--json").out)["runs"]
    assert [(run["status"], run["rows"]) for run in listed] == [("stopped", 12)]
    run_id = listed[0]["id"]
    shown = scrimp("batch", "show", run_id[:8])
    assert "1 failed; 11 to do" in shown.out
    data = json.loads(scrimp("batch", "show", run_id, "--json").out)
    assert data["counts"] == {"failed": 1}
    assert scrimp("batch", "cancel", run_id).code == 0
    assert not out.with_name("out.jsonl.partial").exists()
    assert scrimp("batch", "--resume").code == 2
    assert run_id in scrimp("batch", "list").out


def test_unordered_rows_are_all_there(scrimp, profile, prompts, out):
    assert scrimp("batch", prompts, "-o", out, "-p", profile(), "--unordered").code == 0
    assert {row["id"] for row in rows_of(out)} == {f"r{i}" for i in range(12)}


def test_the_cache_spares_a_second_run_its_money(scrimp, profile, prompts, out, server):
    path = profile(small="echo")
    assert scrimp("batch", prompts, "-o", out, "-p", path, "--cache", "1h").code == 0
    first = rows_of(out)
    n = len(server.chats)
    done = scrimp("batch", prompts, "-o", out, "-p", path, "--cache", "1h", "--overwrite")
    assert done.code == 0
    assert len(server.chats) == n
    assert [row["answer"] for row in rows_of(out)] == [row["answer"] for row in first]
    assert "12 from the cache" in done.err


def test_hostile_ids_reach_the_output_and_nothing_else(scrimp, profile, home):
    names = ["../../x", "a\0b", "x" * 10_000, "\x1b[2J", "-rf"]
    path = jsonl(
        home.parent / "work" / "in.jsonl", [{"id": name, "prompt": "p" + str(i)} for i, name in enumerate(names)]
    )
    before = {each.name for each in path.parent.iterdir()}
    done = scrimp("batch", path, "-o", "o.jsonl", "-p", profile())
    assert done.code == 0
    assert [row["id"] for row in rows_of(path.with_name("o.jsonl"))] == names
    assert {each.name for each in path.parent.iterdir()} == before | {"o.jsonl"}
    assert "\x1b" not in done.err


def test_help_shows_examples(scrimp):
    done = scrimp("batch", "--help")
    assert done.code == 0
    assert "Examples:" in done.out
    for flag in ("--max-cost", "--min-quality", "--dry-run", "--resume", "--retry-unknown"):
        assert flag in done.out


SUMS = Path(__file__).parents[2] / "docs/examples/sums.jsonl"


@pytest.mark.parametrize(
    ("flags", "arms", "n_calls"),
    [
        (("--plan", "local ? checks > strong"), ["strong", "strong", "strong"], [1, 2, 2]),
        (("--plan", "local + local + strong ? most > strong"), ["strong", "strong", "strong"], [1, 4, 4]),
        (("-m", "local"), ["strong", "local", "local"], [1, 1, 1]),
    ],
    ids=["a plan", "a quorum", "an arm by name"],
)
def test_the_manuals_rows_take_the_plan_of_the_run_or_their_own(scrimp, profile, server, out, flags, arms, n_calls):
    two = profile(local="say@text=It_is_2153.", strong="say@text=2193")
    scrimp("batch", SUMS, "-o", out, "-p", two, "--check", "number:2193", *flags)
    rows = rows_of(out)
    assert [row["id"] for row in rows] == ["a", "b", "c"]
    assert [row["arm"] for row in rows] == arms
    assert [row["status"] for row in rows] == ["ok" if arm == "strong" else "failed" for arm in arms]
    logged = [json.loads(scrimp("log", "show", row["decision_id"], "--json").out) for row in rows]
    assert [len(request["steps"]) for request in logged] == n_calls
    assert len(server.requests) == sum(n_calls)
    assert abs(sum(row["cost_usd"] for row in rows) * 1e9 - server.cost_nano) < 1


# ---- inputs as they come


@pytest.mark.parametrize(
    ("name", "data", "head"),
    [
        ("s.csv", "\ufeffid;prompt\r\n1;eins\r\n2;zwei\r\n", "\ufeffid;prompt;status;answer;"),
        ("t.tsv", "id\tprompt\n1\teins\n2\tzwei\n", "id\tprompt\tstatus\tanswer\t"),
        ("x.csv", "sep=;\r\nid;prompt;\r\n1;eins;\r\n2;zwei;\r\n", "sep=;\r\nid;prompt;;status;answer;"),
    ],
)
def test_a_table_goes_out_as_it_came_in(scrimp, profile, home, name, data, head):
    path = home.parent / "work" / name
    path.write_bytes(data.encode())
    out, again = path.with_name("out-" + name), path.with_name("again-" + name)
    done = scrimp("batch", path, "-o", out, "-p", profile(small="echo"))
    assert done.code == 0, done.err
    written = out.read_bytes().decode()
    assert written.startswith(head)
    assert written.count("\r\n") == (written.count("\n") if "\r\n" in data else 0)
    assert ("separated by semicolons" in done.err) is (";" in data)
    assert scrimp("batch", out, "-o", again, "-p", profile(small="echo"), "-q").code == 0
    assert "scrimp_status" in again.read_bytes().decode()


@pytest.mark.parametrize("kind", ["fifo", "pipe", "file"])
def test_what_can_be_read_only_once_is_kept_and_can_be_resumed(scrimp, profile, home, out, kind):
    rows = b'id,prompt\n"a","one"\n"b","two"\n'
    given = home.parent / "work" / "rows.csv"
    flags = ("--format", "csv")
    with contextlib.ExitStack() as ends:
        if kind == "fifo":
            os.mkfifo(given)
            threading.Thread(target=given.write_bytes, args=(rows,)).start()
            flags = ()  # its name says it
        elif kind == "pipe":
            reader, writer = os.pipe()
            ends.callback(os.close, reader)
            os.write(writer, rows)
            os.close(writer)
            given = f"/dev/fd/{reader}"
        else:
            given.write_bytes(rows)
            given = f"/proc/self/fd/{ends.enter_context(given.open('rb')).fileno()}"
        done = scrimp("batch", given, "-o", out, "-p", profile(small="400"), *flags)
    assert done.code == 6, done.err
    done = scrimp("batch", "--resume", "-o", out, "-p", profile(small="echo"), "--retry-errors")
    assert done.code == 0, done.err
    assert [row[:3] for row in csv.reader(out.read_text().splitlines())][1:] == [["a", "one", "ok"], ["b", "two", "ok"]]
    assert list((home / "batches").iterdir()) == []


@pytest.mark.parametrize(
    ("given", "word"),
    [("/dev/zero", "a device"), ("no/such/file", "not there"), ("x" * 300, "too long"), ("sock", "a socket")],
)
def test_what_cannot_be_read_is_an_error_of_use(scrimp, profile, home, out, server, given, word):
    with socket.socket(socket.AF_UNIX) as end:
        end.bind("sock")
        refused(scrimp("batch", given, "-o", out, "-p", profile()), server, 2, word)
    assert not list((home / "batches").glob("*"))


def test_a_row_goes_to_an_arm_with_the_effort_that_it_asks_for(scrimp, profile, home, out, server):
    body = {"messages": [{"role": "user", "content": "hi"}], "reasoning_effort": "low"}
    path = jsonl(home.parent / "work" / "b.jsonl", [{"custom_id": "c1", "body": body}])
    refused(scrimp("batch", path, "-o", out, "-p", profile(small="ok")), server, 2, 'reasoning_effort is not "low"')
    cheap = profile(small="ok")
    cheap.write_text(
        cheap.read_text() + '\n[[arms]]\nname = "low"\nmodel = "openai/echo"\nreasoning_effort = "low"\n'
        f'api_base = "{server.base_url}"\ntier = "small"\nmax_output_tokens = 99\n'
        "price = { input_usd_per_mtok = 9, output_usd_per_mtok = 9 }\n"
    )
    assert scrimp("batch", path, "-o", out, "-p", cheap).code == 0
    assert [request.body["reasoning_effort"] for request in server.chats] == ["low"]
    assert rows_of(out)[0]["scrimp"]["arm"] == "low"
