"""`scrimp learn export`: the best answers as chat rows and pairs, without what is private, and read back."""

import json
import sqlite3
import time

import pytest

from scrimp.profiles.paths import paths
from scrimp.routing.learn.data.export import Export
from scrimp.routing.ledger.store import instant, open_ledger

CARD = "4111 1111 1111 1111"


def rows_of(text):
    return [json.loads(line) for line in text.splitlines()]


def labels(path=None):
    with sqlite3.connect(path or paths().ledger) as db:
        return sorted(db.execute("SELECT arm, reward FROM labels"))


@pytest.fixture
def rated(scrimp, profile):
    """A log of two prompts: one answered by two arms, good and bad, one rated bad."""
    path = profile(small="echo", large="fill")
    scrimp("ask", "-p", path, "-m", "small", "--tag", "work", f"My card is {CARD}, I am ann@example.com")
    assert scrimp("rate", "0.4").code == 0
    assert scrimp("redo", "-m", "large", "-p", path).code == 0
    assert scrimp("rate", "good").code == 0
    scrimp("ask", "-p", path, "-m", "small", "What is rust?")
    assert scrimp("rate", "bad").code == 0
    scrimp("ask", "-p", path, "-m", "small", "Nobody rated this")
    return path


def test_the_best_answers_leave_as_chat_rows(scrimp, rated):
    done = scrimp("learn", "export", "-p", rated, "--yes")
    assert done.code == 0, done.err
    (row,) = rows_of(done.out)
    assert [message["role"] for message in row["messages"]] == ["user", "assistant"]
    assert CARD in row["messages"][0]["content"]
    about = row["metadata"]
    assert (about["arm"], about["model"], about["reward"], about["label"], about["judge"]) == (
        "large", "openai/fill", 1.0, 1.0, None,
    )  # fmt: skip
    assert about["id"] != about["prompt_id"]
    with sqlite3.connect(paths().ledger) as db:
        ids = {each for (each,) in db.execute("SELECT id FROM requests")}
    assert not any(each in done.out for each in ids), "ids of the log leave salted"
    assert "1 answer to 1 prompt of" in done.err
    assert "1 (no answer to it is good)" in done.err
    assert "1 (no answer to it has been rated)" in done.err
    assert scrimp("learn", "export", "-p", rated, "--yes").out == done.out, "ids are the same in every export"


def test_pairs_have_a_better_and_a_worse_answer(scrimp, rated):
    (row,) = rows_of(scrimp("learn", "export", "-p", rated, "--yes", "--preferences").out)
    assert [each["role"] for each in (*row["prompt"], *row["chosen"], *row["rejected"])] == [
        "user",
        "assistant",
        "assistant",
    ]
    assert row["chosen"] != row["rejected"]
    about = row["metadata"]
    assert (about["chosen"]["arm"], about["chosen"]["reward"]) == ("large", 1.0)
    assert (about["rejected"]["arm"], about["rejected"]["reward"]) == ("small", 0.4)


def test_scrubbed_text_has_placeholders(scrimp, rated):
    done = scrimp("learn", "export", "-p", rated, "--scrub", "--tag", "work", "--preferences")
    assert done.code == 0, done.err
    assert CARD not in done.out
    assert "ann@example.com" not in done.out
    (row,) = rows_of(done.out)
    assert row["prompt"][0]["content"] == "My card is <CARD_1>, I am <EMAIL_1>"
    assert "<CARD_1>" in row["rejected"][0]["content"], "the same text has the same placeholder in the answer"
    assert "CARD" in done.err


def test_a_key_of_an_arm_never_leaves(scrimp, profile, monkeypatch):
    key = "fancy-key-9f8e7d6c5b4a"
    monkeypatch.setenv("MINE", key)
    path = profile(small="echo", key_env="MINE")
    scrimp("ask", "-p", path, "-m", "small", f"Is {key} a good key?")
    scrimp("rate", "good")
    done = scrimp("learn", "export", "-p", path, "--yes")
    assert len(rows_of(done.out)) == 1
    assert key not in done.out


def test_it_asks_before_the_whole_log_leaves(scrimp, rated, tmp_path):
    refused = scrimp("learn", "export", "-p", rated)
    assert (refused.code, refused.out) == (2, "")
    assert "--yes" in refused.err
    assert "--tag" in refused.err
    file = tmp_path / "out.jsonl"
    assert scrimp("learn", "export", "-p", rated, "--since", "2020-01-01", "-o", file).code == 0
    assert len(rows_of(file.read_text())) == 1
    again = scrimp("learn", "export", "-p", rated, "--yes", "-o", file)
    assert (again.code, "exists" in again.err) == (2, True)
    assert scrimp("learn", "export", "-p", rated, "--since", "2099-01-01").out == ""
    assert "expected a date" in scrimp("learn", "export", "-p", rated, "--since", "soon").err


def test_an_export_read_back_gives_the_same_labels(scrimp, rated, tmp_path, monkeypatch):
    files = []
    for name, options in (("pairs", ["--preferences"]), ("single", ["--top", "3"])):
        files.append(tmp_path / f"{name}.jsonl")
        assert scrimp("learn", "export", "-p", rated, "--yes", *options, "-o", files[-1]).code == 0
    monkeypatch.setenv("SCRIMP_HOME", str(tmp_path / "elsewhere"))
    for file, wanted in zip(files, ([("large", 1.0), ("small", 0.4)], [("large", 1.0), ("small", 0.4)]), strict=True):
        done = scrimp("learn", "import", file, "-p", rated, "--json")
        assert done.code == 0, done.err
        assert json.loads(done.out)["kind"] == "exported answers"
        assert labels() == wanted, "what was imported before is not doubled"


def test_a_broken_export_is_told_by_line(scrimp, rated, tmp_path):
    file = tmp_path / "broken.jsonl"
    good = scrimp("learn", "export", "-p", rated, "--yes").out
    file.write_text(good + good.replace('"reward": 1.0', '"reward": 7'))
    done = scrimp("learn", "import", file, "-p", rated)
    assert (done.code, "broken.jsonl:2" in done.err) == (78, True)
    file.write_text('{"messages": [{"role": "user", "content": "hi"}], "metadata": {}}\n')
    done = scrimp("learn", "import", file, "-p", rated)
    assert (done.code, "broken.jsonl:1" in done.err) == (78, True)


def test_a_judges_score_ranks_and_both_needs_both(scrimp, profile):
    path = profile(small="echo", large="say@text=Score:_8_of_10")
    assert scrimp("ask", "-p", path, "-m", "small", "--check", "judge:large", "Say how tides work").code in (0, 7)
    by_judge = rows_of(scrimp("learn", "export", "-p", path, "--yes", "--by", "judge").out)
    scores = [each["metadata"]["judge"] for each in by_judge]
    none = scrimp("learn", "export", "-p", path, "--yes", "--by", "both")
    assert none.out == ""
    scrimp("rate", "good")
    both = rows_of(scrimp("learn", "export", "-p", path, "--yes", "--by", "both").out)
    assert [each["metadata"]["reward"] for each in both] == [(1.0 + score) / 2 for score in scores]
    assert scores == [each["metadata"]["reward"] for each in by_judge]
    assert scores == [pytest.approx(0.8)]


def test_answers_without_text_are_counted(scrimp, profile):
    path = profile(small="echo", extra='[log]\nkeep = "features"\n')
    scrimp("ask", "-p", path, "-m", "small", "Kept nowhere")
    done = scrimp("learn", "export", "-p", path, "--yes")
    assert (done.code, done.out) == (0, "")
    assert "1 request has no text any more" in done.err
    assert scrimp("learn", "export", "-p", path, "--yes").err == done.err


def test_tool_calls_and_turns_stay_in_chat_form(scrimp, rated):
    tools = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]
    called = [{"id": "a", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Oslo"}'}}]
    said = [
        {"role": "user", "content": "Weather?"},
        {"role": "assistant", "content": None, "tool_calls": called},
        {"role": "tool", "tool_call_id": "a", "content": "Rain"},
        {"role": "user", "content": "And in Bergen?"},
    ]
    with open_ledger(paths().ledger) as ledger, ledger.transaction():
        ledger.insert(
            "requests",
            {
                "id": "chat", "created_at": instant(time.time()), "command": "serve", "profile": "test", "arm": "small",
                "status": "ok", "system": "Be brief.", "prompt": "And in Bergen?", "answer": json.dumps(called),
                "messages": json.dumps({"messages": said, "tools": tools}), "tag": "tools",
            },
        )  # fmt: skip
        ledger.insert(
            "labels",
            {"request_id": "chat", "arm": "small", "reward": 1.0, "source": "rating", "at": instant(time.time())},
        )
    (row,) = rows_of(scrimp("learn", "export", "-p", rated, "--tag", "tools").out)
    assert row["messages"] == [
        {"role": "system", "content": "Be brief."},
        *said,
        {"role": "assistant", "content": None, "tool_calls": called},
    ]
    assert row["tools"] == tools


def test_a_long_log_is_not_held_in_memory(home):
    import tracemalloc

    n, at = 6_000, instant(time.time())
    with open_ledger(paths().ledger) as ledger:
        with ledger.transaction():
            ledger.conn.executemany(
                "INSERT INTO requests (id, created_at, command, profile, arm, status, prompt, answer) "
                "VALUES (?, ?, 'ask', 'test', 'small', 'ok', ?, ?)",
                ((f"r{k}", at, f"prompt {k % (n // 2)} " + "x" * 1000, f"answer {k} " + "y" * 1000) for k in range(n)),
            )
            ledger.conn.executemany(
                "INSERT INTO labels (request_id, arm, reward, source, at) VALUES (?, 'small', ?, 'rating', ?)",
                ((f"r{k}", 0.5 + (k >= n // 2) / 2, at) for k in range(n)),
            )
        run = Export(ledger, top=1)
        tracemalloc.start()
        best = sum(row["metadata"]["reward"] == 1.0 for row in run.rows())
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert (run.n_rows, best) == (n // 2, n // 2)
    assert peak < 6_000_000, "the log has 12 MB of text"
