"""Outcome files: what is read, and what is refused by file and line."""

from __future__ import annotations

import gzip
import json

import numpy as np
import pytest

from scrimp.profiles.errors import DataError
from scrimp.routing.learn.data.outcomes import read_outcomes


def row(key="a", score=1.0, **more):
    return {
        "id": key,
        "source": "s",
        "prompt": f"prompt {key}",
        "models": {"m": {"score": score}, "k": {"score": 0}},
    } | more


def write(tmp_path, *rows, name="o.jsonl"):
    path = tmp_path / name
    path.write_text("".join((r if isinstance(r, str) else json.dumps(r)) + "\n" for r in rows))
    return path


def test_rows_are_read_in_order(tmp_path):
    cell = {"score": 0.5, "input_tokens": 3, "output_tokens": None, "cost_usd": 0.001, "answer": "B"}
    path = write(tmp_path, row("a"), "", row("b", models={"k": cell}, gold="B", extra=[1]))
    o = read_outcomes([path])
    assert o.ids == ("a", "b")
    assert o.models == ("m", "k")
    assert o.score[0].tolist() == [1, 0]
    assert np.isnan(o.score[1, 0])
    assert o.score[1, 1] == 0.5
    assert np.isnan(o.output_tokens).all()
    assert o.cost_usd[1, 1] == 0.001
    assert o.answers[1] == {"k": "B"}
    assert o.gold == (None, "B")
    assert o.take([1]).ids == ("b",)
    assert o.only(["k"]).score.shape == (2, 1)


def test_gzip_is_told_by_its_content(tmp_path):
    path = tmp_path / "o.jsonl"
    path.write_bytes(gzip.compress(json.dumps(row()).encode()))
    assert len(read_outcomes([path])) == 1


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ([row("a"), "{"], "o.jsonl:2: not an outcome row"),
        ([row("a"), "[1]"], "o.jsonl:2"),
        ([row("a", score=1.5)], "o.jsonl:1"),
        ([row("a", score=-0.1)], "o.jsonl:1"),
        ([row("a", score="1")], "o.jsonl:1"),
        (['{"id":"a","source":"s","prompt":"p","models":{"m":{"score":NaN}}}'], "o.jsonl:1"),
        ([row("a"), row("b"), row("a")], "o.jsonl:3: the id 'a' was given before, at"),
        ([{"id": "a", "prompt": "p"}], "o.jsonl:1"),
        ([row("a", models={})], "names no models"),
        ([row("a", prompt=" ")], "is empty"),
        ([row("a", models={"m": {"score": 1, "cost_usd": -1}})], "o.jsonl:1"),
        ([row("a", models={"m": {"score": 1, "cost_usd": 1e12}})], "o.jsonl:1"),
        ([row("a", models={"m": {"score": 1, "input_tokens": 10**15}})], "o.jsonl:1"),
        ([], "holds no outcomes"),
        (["\ud83d"[:0] + "\x00"], "o.jsonl:1"),
    ],
)
def test_bad_lines_are_named(tmp_path, lines, says):
    with pytest.raises(DataError) as caught:
        read_outcomes([write(tmp_path, *lines)])
    assert says in str(caught.value)


def test_bad_files_are_named(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        read_outcomes([tmp_path / "none.jsonl"])
    cut = tmp_path / "cut.jsonl.gz"
    cut.write_bytes(gzip.compress(json.dumps(row()).encode() * 50)[:-20])
    with pytest.raises(DataError, match=r"cut\.jsonl\.gz"):
        read_outcomes([cut])
    with pytest.raises(DataError, match="cannot be read"):
        read_outcomes([tmp_path])
    binary = tmp_path / "binary.jsonl"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match=r"binary\.jsonl:1"):
        read_outcomes([binary])


def test_an_id_given_in_two_files_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"two\.jsonl:1: the id 'a' was given before, at .*one\.jsonl:1"):
        read_outcomes([write(tmp_path, row(), name="one.jsonl"), write(tmp_path, row(), name="two.jsonl")])


def test_a_model_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match="no outcomes of a model named 'z'"):
        read_outcomes([write(tmp_path, row())]).only(["z"])
