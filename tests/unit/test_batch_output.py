"""The journal and the outputs made of it."""

import csv
import gzip
import io
import json
import os
import stat

import pytest

from scrimp.profiles.errors import DataError, TryAgainError, UsageError
from scrimp.routing.batch.files.output import Journal, Result, render, result_of, table_columns, write_output
from scrimp.routing.batch.state import recovery

OK = Result(
    0, "../../x", "ok", "d1", answer='a "b"\nc', arm="small", cost_nano=1500, input_tokens=3, output_tokens=2,
    finish_reason="stop", model="m", at=7, cells=("in", "put"),
)  # fmt: skip
BAD = Result(1, 2, "failed", "d2", error="no")


def entry(result):
    return recovery.entry(result.n, result.decision_id, (), result)


def test_a_json_lines_row_has_the_promised_keys():
    row = json.loads(render(OK, "jsonl"))
    promised = {"id", "status", "answer", "arm", "cost_usd", "input_tokens", "output_tokens", "decision_id", "error"}
    assert promised <= set(row)
    assert (row["id"], row["cost_usd"], row["error"]) == ("../../x", 1.5e-06, None)
    bad = json.loads(render(BAD, "jsonl"))
    assert (bad["status"], bad["answer"], bad["cost_usd"]) == ("failed", None, None)


def test_an_openai_row_has_openais_shape():
    row = json.loads(render(OK, "openai"))
    assert row["custom_id"] == "../../x"
    assert row["error"] is None
    body = row["response"]["body"]
    assert row["response"]["status_code"] == 200
    assert body["choices"][0]["message"] == {"role": "assistant", "content": 'a "b"\nc'}
    assert body["usage"] == {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    bad = json.loads(render(BAD, "openai"))
    assert bad["response"] is None
    assert bad["error"] == {"code": "failed", "message": "no"}
    checked = json.loads(render(Result(1, 2, "failed", "d2", answer="x", arm="small", error="no"), "openai"))
    assert checked["response"]["body"]["choices"][0]["message"]["content"] == "x"
    assert checked["error"] == {"code": "failed", "message": "no"}


def test_a_table_keeps_its_columns():
    head, row = csv.reader(io.StringIO(table_columns(["q", "answer"], "csv") + render(OK, "csv")))
    assert head[:4] == ["q", "answer", "status", "scrimp_answer"]
    assert row[:6] == ["in", "put", "ok", 'a "b"\nc', "small", "0.0000015"]
    assert len(row) == len(head)


def test_text_that_no_file_can_hold_is_replaced(tmp_path):
    result = Result(0, "a", "ok", "d", answer="x\ud800y", cells=())
    for shape in ("jsonl", "csv", "openai"):
        journal = Journal.open(tmp_path / f"{shape}.partial", new=True)
        spans = journal.append([entry(result)])
        write_output(tmp_path / shape, journal, spans, shape)
        assert "x" in (tmp_path / shape).read_text(encoding="utf-8")
        journal.close()


def test_the_journal_keeps_what_it_was_given(tmp_path):
    path = tmp_path / "o.partial"
    journal = Journal.open(path, new=True)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    spans = journal.append([entry(OK), entry(BAD)])
    assert [result_of(journal.read(*span)) for span in spans] == [OK, BAD]
    with pytest.raises(TryAgainError, match="still going"):
        Journal.open(path, new=False)
    journal.close()
    with pytest.raises(UsageError, match="not finished"):
        Journal.open(path, new=True)


@pytest.mark.parametrize("torn", [b'{"state": "ok", "resu', b"not json\n", b"\0\0\0"])
def test_a_torn_line_at_the_end_is_cut(tmp_path, torn):
    path = tmp_path / "o.partial"
    journal = Journal.open(path, new=True)
    journal.append([entry(OK)])
    size = journal.size
    journal.close()
    with path.open("ab") as file:
        file.write(torn)
    journal = Journal.open(path, new=False)
    assert len(list(journal.tail(0))) == 1
    assert journal.size == size == path.stat().st_size
    (span,) = journal.append([entry(BAD)])
    assert result_of(journal.read(*span)) == BAD
    journal.close()


def test_a_link_is_not_followed(tmp_path):
    (tmp_path / "o.partial").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match="cannot write"):
        Journal.open(tmp_path / "o.partial", new=False)
    assert not (tmp_path / "elsewhere").exists()


def test_the_output_appears_whole_and_packed_where_its_name_says_so(tmp_path):
    journal = Journal.open(tmp_path / "o.partial", new=True)
    spans = journal.append([entry(BAD), entry(OK)])
    assert write_output(tmp_path / "o.jsonl.gz", journal, reversed(spans), "jsonl") == 2
    rows = gzip.decompress((tmp_path / "o.jsonl.gz").read_bytes()).decode().splitlines()
    assert [json.loads(row)["id"] for row in rows] == ["../../x", 2]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["o.jsonl.gz", "o.partial"]
    journal.close()


def test_an_output_that_cannot_be_written_leaves_nothing_behind(tmp_path, monkeypatch):
    journal = Journal.open(tmp_path / "o.partial", new=True)
    spans = journal.append([entry(OK)])

    def full(_fd):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DataError, match="No space left"):
        write_output(tmp_path / "o", journal, spans, "jsonl")
    assert [path.name for path in tmp_path.iterdir()] == ["o.partial"]
    size = journal.size
    with pytest.raises(DataError, match="No space left"):
        journal.append([b"x\n"])
    assert journal.size == size == (tmp_path / "o.partial").stat().st_size
    journal.close()


def test_journals_of_earlier_versions_are_read():
    """They know neither the state `cut` nor remarks."""
    old = {
        "n": 3, "id": "a", "status": "ok", "decision_id": "d", "answer": "half", "arm": "small", "cost_nano": 7,
        "input_tokens": 1, "output_tokens": 2, "error": None, "source": "asked", "finish_reason": "length", "model": "m",
        "at": 1, "cells": None,
    }  # fmt: skip
    row = json.loads(render(result_of({"result": old}), "jsonl"))
    assert (row["status"], row["finish_reason"], row["note"]) == ("ok", "length", None)
