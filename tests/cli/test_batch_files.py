"""`scrimp batch` over rows that are asked about files."""

import csv
import json

import pytest


def jsonl(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def rows_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def long_text(word, n=600):
    """A text of some 15,000 tokens with one line about `word`."""
    filler = "The committee met again and spoke at length about the roof, the garden and the choir.\n\n"
    return filler * n + f"The {word} of the year was forty two in all.\n\n" + filler * n


@pytest.fixture
def work(home):
    return home.parent / "work"


@pytest.fixture
def out(work):
    return work / "out.jsonl"


def test_trial(scrimp, profile, work, out, server):
    (work / "minutes.txt").write_text(long_text("deficit"))
    (work / "short.txt").write_text("The cat sat.")
    rows = [{"id": f"r{i}", "prompt": f"What was the deficit of year {i}?", "file": "minutes.txt"} for i in range(4)]
    rows += [{"id": "s", "prompt": "Who sat?", "file": ["short.txt"]}, {"id": "n", "prompt": "Nothing?"}]
    path = jsonl(work / "in.jsonl", rows)
    done = scrimp("batch", path, "-n", "-p", profile(small="echo", large="ok"))
    print(done.out, done.err)
    done = scrimp("batch", path, "-o", out, "-p", profile(small="echo", large="ok"))
    print(done.out, done.err)
    for row in rows_of(out):
        row["answer"] = (row["answer"] or "")[:80]
        print(row)
    assert 0
