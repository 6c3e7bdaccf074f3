"""`batch -o -`: the answers on standard output as they come, in the rows' order, and nothing of them lost."""

import csv
import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def rows(home):
    """Write rows, each with the arm that is to answer it."""

    def write(*arms):
        path = home.parent / "work" / "in.jsonl"
        lines = [json.dumps({"id": f"r{i}", "prompt": f"prompt {i}", "arm": arm}) for i, arm in enumerate(arms)]
        path.write_text("".join(f"{line}\n" for line in lines))
        return path

    return write


def answers(out):
    return [json.loads(line) for line in out.splitlines()]


def run_id(scrimp):
    return json.loads(scrimp("batch", "show", "last", "--json").out)["id"]


def test_it_is_what_the_file_would_be(scrimp, profile, rows, tmp_path):
    path, given = profile(small="echo"), rows(*["small"] * 30)
    done = scrimp("batch", given, "-o", "-", "-p", path)
    assert done.code == 0, done.err
    assert "30 ok" in done.err
    assert scrimp("batch", given, "-o", tmp_path / "out.jsonl", "-p", path).code == 0
    wanted = answers((tmp_path / "out.jsonl").read_text())
    found = answers(done.out)
    for each in (*wanted, *found):
        del each["decision_id"]
    assert found == wanted
    assert not list((tmp_path / "home").rglob("*.partial"))


@pytest.mark.parametrize(("name", "separator"), [("in.csv", ","), ("in.tsv", "\t")])
def test_a_table_keeps_its_columns(scrimp, profile, tmp_path, name, separator):
    given = tmp_path / name
    given.write_text(separator.join(("prompt", "note")) + "\n" + "".join(f"p {i}{separator}n{i}\n" for i in range(9)))
    done = scrimp("batch", given, "-o", "-", "-p", profile(small="echo"))
    found = list(csv.DictReader(io.StringIO(done.out), delimiter=separator))
    assert [row["note"] for row in found] == [f"n{i}" for i in range(9)]
    assert {row["status"] for row in found} == {"ok"}


def test_openais_shape_is_kept(scrimp, profile, tmp_path):
    given = tmp_path / "in.jsonl"
    body = {"model": "x", "messages": [{"role": "user", "content": "hello"}]}
    line = json.dumps({"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": body})
    given.write_text(f"{line}\n")
    (row,) = answers(scrimp("batch", given, "-o", "-", "-p", profile(small="ok")).out)
    assert (row["custom_id"], row["response"]["status_code"]) == ("a", 200)


@pytest.mark.parametrize(("more", "wanted"), [((), ["r0", "r1", "r2"]), (("--unordered",), ["r1", "r2", "r0"])])
def test_the_order_is_that_of_the_rows_unless_it_is_not_wanted(scrimp, profile, rows, more, wanted):
    path = profile(slow="ok@latency_ms=700", small="ok")
    done = scrimp("batch", rows("slow", "small", "small"), "-o", "-", "-j", "1", "-p", path, *more)
    assert [row["id"] for row in answers(done.out)] == wanted


def test_what_is_private_is_there_again(scrimp, profile, tmp_path):
    given = tmp_path / "in.txt"
    given.write_text("Write to anna.berg@example.com\nWrite to nobody\n")
    done = scrimp("batch", given, "-o", "-", "--private", "redact", "-p", profile(small="echo"))
    assert done.code == 0, done.err
    first, second = answers(done.out)
    assert "anna.berg@example.com" in first["answer"]
    assert "nobody" in second["answer"]


def start(home, *argv):
    env = {key: value for key, value in os.environ.items() if not key.startswith("SCRIMP_")}
    env |= {"SCRIMP_HOME": str(home), "SCRIMP_RESIDENT": "0"}
    return subprocess.Popen(
        [sys.executable, "-m", "scrimp.cli", *map(str, argv)],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env, cwd=ROOT,
    )  # fmt: skip


def test_rows_come_while_others_are_not_answered(home, scrimp, profile, rows, server):
    path = profile(small="ok", large="hang-headers")
    run = start(home, "batch", rows("small", "small", "large"), "-o", "-", "-p", path)
    assert [json.loads(run.stdout.readline())["id"] for _ in range(2)] == ["r0", "r1"]
    assert run.poll() is None
    run.send_signal(signal.SIGINT)
    run.send_signal(signal.SIGINT)
    out, err = run.communicate(timeout=180)
    assert (run.returncode, out) == (130, "")
    assert f"scrimp batch --resume {run_id(scrimp)}" in err


def test_a_reader_who_leaves_stops_the_run_and_loses_nothing(home, scrimp, profile, rows, server):
    path, given = profile(small="ok@latency_ms=30"), rows(*["small"] * 80)
    run = start(home, "batch", given, "-o", "-", "-j", "1", "-p", path)
    first = run.stdout.readline()
    run.stdout.close()
    assert run.wait(180) == 141
    with run.stderr as file:
        err = file.read()
    assert "nobody reads any more" in err
    assert "Traceback" not in err
    n_asked = len(server.chats)
    assert n_asked < 80
    name = run_id(scrimp)
    assert f"scrimp batch --resume {name}" in err
    assert len(json.loads(scrimp("log", "-n", "300", "--json").out)["rows"]) == n_asked, "what was paid for is logged"
    done = scrimp("batch", "--resume", name)
    assert done.code == 0, done.err
    assert done.out.splitlines()[0] + "\n" == first, "from the first row on"
    assert [row["id"] for row in answers(done.out)] == [f"r{i}" for i in range(80)]
    assert len(server.chats) == 80, "nothing is asked twice"


def test_a_kill_loses_nothing(home, scrimp, profile, rows, server):
    path, given = profile(small="echo@latency_ms=30"), rows(*["small"] * 60)
    run = start(home, "batch", given, "-o", "-", "-j", "2", "-p", path)
    for _ in range(10):
        run.stdout.readline()
    run.kill()
    run.communicate(timeout=180)
    done = scrimp("batch", "--resume", "-o", "-", "--retry-unknown")
    assert done.code == 0, done.err
    found = answers(done.out)
    assert [(row["id"], row["status"]) for row in found] == [(f"r{i}", "ok") for i in range(60)]
    assert all(f"prompt {i}" in row["answer"] for i, row in enumerate(found))


def test_rows_that_failed_are_asked_again_and_all_are_written(scrimp, profile, rows):
    path, given = profile(small="ok", large="400-then-ok"), rows("small", "large", "small")
    done = scrimp("batch", given, "-o", "-", "-p", path)
    assert done.code == 6
    assert [row["status"] for row in answers(done.out)] == ["ok", "failed", "ok"]
    name = run_id(scrimp)
    assert f"scrimp batch --resume {name} --retry-errors" in done.err
    done = scrimp("batch", "--resume", name, "--retry-errors")
    assert [(row["id"], row["status"]) for row in answers(done.out)] == [("r0", "ok"), ("r1", "ok"), ("r2", "ok")]


@pytest.mark.parametrize(
    ("argv", "word"),
    [
        (("--json",), "--json"),
        (("--detach",), "Batch API"),
        (("--lane", "batch"), "Batch API"),
        (("--deadline", "24h"), "Batch API"),
    ],
)
def test_what_does_not_go_with_it_is_said_in_one_line(scrimp, profile, rows, server, argv, word):
    done = scrimp("batch", rows("small"), "-o", "-", "-p", profile(small="ok"), *argv)
    assert (done.code, done.out, server.chats) == (2, "", [])
    assert [word in line for line in done.err.splitlines()] == [True]


def test_an_output_of_its_own_cannot_be_given_later(scrimp, profile, rows, tmp_path):
    path, given = profile(small="ok", large="400-then-ok"), rows("large")
    assert scrimp("batch", given, "-o", "-", "-p", path).code == 6
    done = scrimp("batch", "--resume", "last", "-o", tmp_path / "x.jsonl", "--retry-errors")
    assert (done.code, "writes -, not" in done.err) == (2, True)


def test_nothing_is_sent_where_it_is_only_estimated(scrimp, profile, rows, server):
    done = scrimp("batch", rows("small"), "-o", "-", "--dry-run", "--json", "-p", profile(small="ok"))
    assert (done.code, json.loads(done.out)["n_rows"], server.chats) == (0, 1, [])


def test_pipes(home, profile, rows):
    path, given = profile(small="ok"), rows(*["small"] * 8)
    reading = "import json, sys; print(*(json.loads(line)['id'] for line in sys.stdin))"
    script = (
        f'"{sys.executable}" -m scrimp.cli batch - -q -o - -p "{path}" < "{given}" | "{sys.executable}" -c "{reading}"'
    )
    env = {**os.environ, "SCRIMP_HOME": str(home), "SCRIMP_RESIDENT": "0"}
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, env=env, timeout=180, cwd=ROOT)
    assert (done.stdout.split(), done.stderr) == ([f"r{i}" for i in range(8)], "")
