"""Rows with something private: none of it in a request, the ledger, the journal or the cache, all of it in the output."""

import csv
import json
import sqlite3
import subprocess
import sys
import time
from contextlib import closing

import pytest
from canaries import FOUND, NAMES, TEXTS, in_home, leaked, sent
from conftest import environment

from scrimp.routing.batch.running.work import Work
from scrimp.routing.text import private_names

SCRIMP = [sys.executable, "-m", "scrimp.cli"]
GUARD = f'\n[guard]\nprivate = "redact"\nnames = {json.dumps(list(NAMES))}\n'


@pytest.fixture
def redacting(profile):
    return lambda **behaviours: profile(caps="per_day_usd = 50.0", extra=GUARD, **behaviours)


def write_rows(path, texts):
    path.write_text("".join(json.dumps({"id": f"r{n}", "prompt": text}) + "\n" for n, text in enumerate(texts)))
    return path


def read_rows(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_every_row_comes_back_whole(scrimp, redacting, server, home, tmp_path):
    rows, out = write_rows(tmp_path / "in.jsonl", TEXTS), tmp_path / "out.jsonl"
    done = scrimp("batch", rows, "-o", out, "-p", redacting(small="echo"), "-q", "-y", "--cache", "1d")
    assert done.code == 0, done.err
    assert [row["answer"] for row in read_rows(out)] == TEXTS
    assert server.chats
    assert leaked(sent(server)) == []
    assert leaked(in_home(home)) == []
    n = len(server.chats)
    again = tmp_path / "again.jsonl"
    done = scrimp("batch", rows, "-o", again, "-p", redacting(small="echo"), "-q", "-y", "--cache", "1d")
    assert done.code == 0, done.err
    assert len(server.chats) == n, "the cache knows them by their placeholders"
    assert [row["answer"] for row in read_rows(again)] == TEXTS


def test_equal_placeholders_share_an_answer_and_have_their_own_values(scrimp, redacting, server, tmp_path):
    texts = ["Write to a1@b.io", "Write to c2@d.io", "Write to a1@b.io"]
    rows, out = write_rows(tmp_path / "in.jsonl", texts), tmp_path / "out.jsonl"
    done = scrimp("batch", rows, "-o", out, "-p", redacting(small="echo"), "-q", "--cache", "1d", "-j", "1")
    assert done.code == 0, done.err
    assert [row["answer"] for row in read_rows(out)] == texts


def test_ids_and_cells_of_a_table(scrimp, redacting, server, home, tmp_path):
    rows, out = tmp_path / "in.csv", tmp_path / "out.csv"
    with rows.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "mail", "note"])
        for n, each in enumerate(FOUND[:40]):
            writer.writerow([f"ann{n}@example.com", each.value, TEXTS[n]])
    path = redacting(small="echo")
    done = scrimp("batch", rows, "-o", out, "-p", path, "-t", "Sort this: {{mail}} / {{note}}", "-q", "-y")
    assert done.code == 0, done.err
    with out.open(newline="") as file:
        found = list(csv.DictReader(file))
    assert [row["id"] for row in found] == [f"ann{n}@example.com" for n in range(40)]
    assert [row["mail"].removeprefix("'") for row in found] == [each.value for each in FOUND[:40]]
    assert [row["answer"] for row in found] == [
        f"Sort this: {each.value} / {text}" for each, text in zip(FOUND, TEXTS[:40], strict=False)
    ]
    assert leaked(sent(server)) == []
    assert leaked(in_home(home)) == []


def test_files_of_rows(scrimp, redacting, server, home, tmp_path):
    (tmp_path / "note.md").write_text("\n".join(TEXTS[:50]))
    rows, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    rows.write_text("".join(json.dumps({"prompt": text, "file": "note.md"}) + "\n" for text in TEXTS[50:54]))
    done = scrimp("batch", rows, "-o", out, "-p", redacting(small="echo"), "-q", "-y", "--read", "whole")
    assert done.code == 0, done.err
    assert all("\n".join(TEXTS[:50]) in row["answer"] for row in read_rows(out))
    assert leaked(sent(server)) == []
    assert leaked(in_home(home)) == []


@pytest.mark.parametrize("seed", range(2))
def test_killed_and_resumed(redacting, server, home, tmp_path, seed, scrimp):
    texts = TEXTS[:60]
    rows, out = write_rows(tmp_path / "in.jsonl", texts), tmp_path / "out.jsonl"
    path = redacting(small="echo@latency_ms=150")
    argv = [*SCRIMP, "batch", rows, "-o", out, "-p", path, "-q", "-y", "-j", "4"]
    begun = subprocess.Popen(
        [str(each) for each in argv], env=environment(home), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 120
    while len(server.chats) < 12 + 8 * seed:
        assert begun.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    begun.kill()
    begun.wait()
    journal = tmp_path / "out.jsonl.partial"
    assert journal.exists()
    assert leaked(journal.read_text()) == []
    done = scrimp("batch", "--resume", "--retry-unknown", "-o", out, "-q")
    assert done.code == 0, done.err
    assert [row["answer"] for row in read_rows(out)] == texts
    assert leaked(sent(server)) == []
    assert leaked(in_home(home)) == []


def test_an_input_that_has_changed_gets_no_other_values(scrimp, redacting, server, tmp_path, monkeypatch):
    texts = ["Write to a1@b.io", "Call c2@d.io"]
    rows, out = write_rows(tmp_path / "in.jsonl", texts), tmp_path / "out.jsonl"
    write = Work._write

    def changed(self):
        write_rows(rows, ["Write to somebody else: x9@y.io", "Call c2@d.io"])
        write(self)

    with monkeypatch.context() as patch:
        patch.setattr(Work, "_write", changed)
        done = scrimp("batch", rows, "-o", out, "-p", redacting(small="echo"), "-q")
    assert done.code != 0
    assert "changed" in done.err
    write_rows(rows, texts)
    done = scrimp("batch", "--resume", "-o", out, "-q")
    assert done.code == 0, done.err
    assert [row["answer"] for row in read_rows(out)] == texts
    assert len(server.chats) == 2


def test_a_list_that_has_changed_gives_no_other_values(scrimp, redacting, server, tmp_path, monkeypatch):
    rows = write_rows(tmp_path / "in.jsonl", ["Ann Smith met Jiří Dvořák", "Call c2@d.io"])
    out, path, write = tmp_path / "out.jsonl", redacting(small="echo"), Work._write

    def changed(self):
        with monkeypatch.context() as patch:
            patch.setattr(
                private_names.NameList,
                "find",
                lambda _self, text: [(text.index("Jiří"), len(text))] if "Jiří" in text else [],
            )
            write(self)

    with monkeypatch.context() as patch:
        patch.setattr(Work, "_write", changed)
        done = scrimp("batch", rows, "-o", out, "-p", path, "-q")
    assert done.code == 0, done.err
    assert [row["answer"] for row in read_rows(out)] == ["<NAME_1> met <NAME_2>", "Call c2@d.io"]
    assert "1 row keeps its placeholders" in done.err


def test_what_flags_say_is_not_kept_with_a_run(scrimp, redacting, server, home, tmp_path):
    rows, out = write_rows(tmp_path / "in.jsonl", ["Hello", "There"]), tmp_path / "out.jsonl"
    done = scrimp("batch", rows, "-o", out, "-p", redacting(small="401"), "-q", "-s", "You are of boss1@example.com")
    assert done.code != 0
    assert "boss1@example.com" not in in_home(home)
    done = scrimp("batch", "--resume", "--retry-errors", "-o", out)
    assert done.code == 2
    assert "--system" in done.err


def test_refused_rows_are_skipped_and_the_others_are_asked(scrimp, profile, server, home, tmp_path):
    rows, out = write_rows(tmp_path / "in.jsonl", ["Hello", "Write to a1@b.io"]), tmp_path / "out.jsonl"
    done = scrimp("batch", rows, "-o", out, "-p", profile(small="echo"), "--private", "refuse", "-q")
    assert done.code == 6
    first, second = read_rows(out)
    assert (first["status"], second["status"]) == ("ok", "skipped")
    assert "1 e-mail address" in second["error"]
    assert "a1@b.io" not in sent(server)


def test_the_ledger_has_placeholders(scrimp, redacting, home, tmp_path):
    rows, out = write_rows(tmp_path / "in.jsonl", ["Write to a1@b.io"]), tmp_path / "out.jsonl"
    scrimp("batch", rows, "-o", out, "-p", redacting(small="echo"), "-q")
    with closing(sqlite3.connect(home / "scrimp.db")) as conn:
        assert conn.execute("SELECT prompt, answer FROM requests").fetchall() == [("Write to <EMAIL_1>",) * 2]
