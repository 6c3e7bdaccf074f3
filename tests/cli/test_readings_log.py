"""What the log keeps of files that go with a prompt, shows of them, and asks again with."""

import json

import pytest

import scrimp as face
from scrimp.profiles.paths import paths
from scrimp.routing.ledger.store import open_ledger
from scrimp.routing.retrieval.passages_kept import KEPT_FILE

FILLER = "Nothing of note happened in this part of the year, and the board met as it always does on such a day. "
NEEDLE = "The net loss of Quagga Mining in the first quarter was 4,711 dollars after impairment of the okapi herd. "
TEXT = "\n\n".join([FILLER * 12] * 12 + [NEEDLE + FILLER * 8] + [FILLER * 12] * 12)
"""Some 7,600 tokens: more than the passages that may be sent."""

QUESTION = "What was the net loss of Quagga Mining in the first quarter?"
SHORT = "Quagga Mining lost 4,711 dollars in the first quarter.\n"


@pytest.fixture
def filing(home, tmp_path):
    path = tmp_path / "work" / "10k.txt"
    path.write_text(TEXT)
    return path


@pytest.fixture
def path(profile):
    return profile(small="say@text=4711", large="say@text=4,711")


@pytest.fixture
def asked(scrimp, path, filing):
    """Ask of the filing in passages; return the answer's JSON."""

    def do(*flags, arm="small/passages"):
        done = scrimp("ask", "--json", "-p", path, "-f", filing, "-m", arm, *flags, QUESTION)
        assert done.code == 0, done.err
        return json.loads(done.out)

    return do


def sent(server):
    return [chat.body["messages"] for chat in server.chats]


def rows(sql, *parameters):
    with open_ledger(paths().ledger) as ledger:
        return ledger.rows(sql, parameters)


# ---- asked again


@pytest.mark.parametrize("kind", ["whole", "passages"])
def test_a_redo_sends_byte_for_byte_what_was_sent(scrimp, server, path, asked, filing, kind):
    asked(arm=f"small/{kind}")
    filing.write_text("another text altogether")
    done = scrimp("redo", "-p", path, "-m", f"large/{kind}")
    assert done.code == 0, done.err
    first, second = sent(server)
    assert first == second
    assert (NEEDLE.strip() in first[-1]["content"], len(first[-1]["content"]) < len(TEXT)) == (True, kind != "whole")
    told = rows("SELECT arm, sources, readings FROM requests ORDER BY n")
    assert [row["arm"] for row in told] == [f"small/{kind}", f"large/{kind}"]
    assert told[0]["sources"] == told[1]["sources"]
    assert json.loads(told[0]["readings"])["passages"] == json.loads(told[1]["readings"])["passages"]
    assert rows("SELECT count(*) AS n FROM documents") == [{"n": 1}]
    assert rows("SELECT arm, source FROM labels") == [{"arm": f"small/{kind}", "source": "redo"}]


def test_a_redo_may_read_more_and_no_arm_answers_twice(scrimp, server, path, asked):
    asked()
    again = scrimp("redo", "-p", path, "-m", "small")
    assert (again.code, "small/passages has answered this already" in again.err) == (2, True)
    assert "-m small/whole" in again.err
    done = scrimp("redo", "-p", path, "-m", "small/whole")
    assert done.code == 0, done.err
    assert "asking small/whole what small/passages answered" in done.err
    assert FILLER * 12 + "\n\n" + NEEDLE in sent(server)[1][-1]["content"]


def test_a_redo_of_what_had_no_choice_has_none(scrimp, server, path, filing):
    """Whatever was allowed then: more was read than is by default."""
    argv = ("ask", "-p", path, "-f", filing, "-m", "small", "--read-tokens", "20000", QUESTION)
    assert scrimp(*argv).code == 0
    assert scrimp("redo", "-p", path).code == 0
    first, second = sent(server)
    assert first == second
    assert rows("SELECT arm, readings FROM requests ORDER BY n") == [
        {"arm": "small", "readings": None},
        {"arm": "large", "readings": None},
    ]


@pytest.mark.parametrize("then", ["same", "changed", "gone"])
def test_what_is_too_long_for_the_log_is_read_where_it_is(scrimp, server, path, asked, filing, monkeypatch, then):
    monkeypatch.setattr("scrimp.routing.asking.log_rows.MAX_KEPT", 1_000)
    asked()
    assert rows("SELECT count(*) AS n FROM documents") == [{"n": 0}]
    if then == "changed":
        filing.write_text(TEXT + "more")
    elif then == "gone":
        filing.unlink()
    done = scrimp("redo", "-p", path)
    if then == "same":
        assert done.code == 0, done.err
        assert len(sent(server)) == 2
    else:
        assert (done.code, len(sent(server))) == (2, 1)
        assert "10k.txt" in done.err
        assert ("has changed" if then == "changed" else "cannot read") in done.err


# ---- a conversation goes on


def test_a_conversation_goes_on_with_its_files(scrimp, server, path, asked, filing):
    asked()
    filing.unlink()
    done = scrimp("ask", "-c", "-p", path, "-m", "small/passages", "And how did the board spend such a day?")
    assert done.code == 0, done.err
    assert "scrimp: reads 10k.txt again" in done.err
    *history, last = sent(server)[1]
    assert history == [{"role": "user", "content": QUESTION}, {"role": "assistant", "content": "4711"}]
    assert last["content"].endswith("And how did the board spend such a day?")
    assert "PASSAGE of 10k.txt" in last["content"]
    assert rows("SELECT count(*) AS n FROM documents") == [{"n": 1}]


def test_other_files_take_their_place_until_others_do(scrimp, server, path, asked, tmp_path):
    asked()
    other = tmp_path / "work" / "other.txt"
    other.write_text(SHORT)
    done = scrimp("ask", "-c", "-p", path, "-m", "small", "-f", other, "And in this one?")
    assert (done.code, "reads " in done.err) == (0, False), done.err
    done = scrimp("ask", "-c", "-p", path, "-m", "small", "--read", "none", "In general?")
    assert (done.code, "reads " in done.err) == (0, False), done.err
    assert sent(server)[2][-1]["content"] == "In general?"
    done = scrimp("ask", "-c", "-p", path, "-m", "small", "Once more?")
    assert "reads other.txt again" in done.err
    assert SHORT.strip() in sent(server)[3][-1]["content"]


def test_a_conversation_whose_files_are_lost_says_so(scrimp, server, path, asked, filing, monkeypatch):
    monkeypatch.setattr("scrimp.routing.asking.log_rows.MAX_KEPT", 0)
    asked()
    filing.unlink()
    done = scrimp("ask", "-c", "-p", path, "And then?")
    assert (done.code, len(sent(server))) == (2, 1)
    assert "10k.txt" in done.err
    assert "--read none" in done.err


# ---- shown


def test_the_line_after_an_answer_says_what_was_read_and_what_it_saved(scrimp, path, filing):
    done = scrimp("ask", "-p", path, "-f", filing, "-m", "small/passages", QUESTION)
    answer = json.loads(scrimp("log", "show", "--json").out)
    told = done.err.rpartition("[")[2]
    assert told.startswith("small · passages of 10k.txt, ")
    assert " tokens · $" in told
    assert " instead of about $" in told
    assert " whole · " in told
    assert answer["reading"] == "passages"
    done = scrimp("ask", "-p", path, "-f", filing, "-m", "small/whole", QUESTION)
    assert "[small · all of 10k.txt, " in done.err
    assert "instead of" not in done.err
    done = scrimp("ask", "-p", path, "-f", filing, "-m", "small/none", QUESTION)
    assert "[small · nothing of 10k.txt · " in done.err
    done = scrimp("ask", "-p", path, "-f", filing, "-m", "large/passages", QUESTION)
    assert " whole · predicted" in done.err, "what it saved against the whole is said once"


def test_json_tells_what_was_read(asked, filing):
    got = asked()
    assert (got["arm"], got["reading"]) == ("small/passages", "passages")
    assert 0 < got["read_tokens"] <= 3_500 < got["whole_tokens"]
    assert [each["name"] for each in got["files"]] == ["10k.txt"]
    assert got["files"][0]["path"] == str(filing)
    assert any(NEEDLE.strip() in TEXT[each["start"] : each["end"]] for each in got["passages"])
    # At the arm's price (USD 1 a million) the rest of the file is what it did not cost.
    more = (got["whole_tokens"] - got["read_tokens"]) * 1e-6
    assert got["whole_cost_usd"] - got["cost_usd"] == pytest.approx(more, rel=0.05)
    # And the best arm (USD 10 and 40) would have read all of it.
    assert got["saved_against"] == "large/whole"
    assert got["saved_usd"] == pytest.approx(10e-6 * got["whole_tokens"], rel=0.2)


def test_without_files_nothing_was_read(scrimp, path):
    got = json.loads(scrimp("ask", "--json", "-p", path, "-m", "small", QUESTION).out)
    assert {key: got[key] for key in ("reading", "read_tokens", "whole_tokens", "passages", "whole_cost_usd")} == {
        "reading": None, "read_tokens": None, "whole_tokens": None, "passages": None, "whole_cost_usd": None,
    }  # fmt: skip
    assert got["files"] == []


def test_the_python_face_tells_the_same(path, filing):
    with face.Scrimp(path) as scrimp:
        answer = scrimp.ask(QUESTION, files=filing, arm="small/passages")
        again = scrimp.ask("And then?", conversation=answer, arm="small/passages")
    told = answer.to_dict()
    assert (answer.reading, answer.read_tokens, answer.whole_tokens) == (
        told["reading"], told["read_tokens"], told["whole_tokens"],
    )  # fmt: skip
    assert [(each.file, each.start, each.end) for each in answer.passages] == [
        (each["file"], each["start"], each["end"]) for each in told["passages"]
    ]
    assert [each.name for each in answer.files] == ["10k.txt"]
    assert answer.whole_cost_usd > answer.cost_usd
    assert (again.reading, "reads 10k.txt again" in again.said) == ("passages", True)


def test_the_log_marks_files_and_shows_passages(scrimp, asked):
    asked()
    listed = scrimp("log")
    assert f"[10k.txt] {QUESTION[:40]}" in listed.out
    assert json.loads(scrimp("log", "--json").out)["rows"][0]["files"] == ["10k.txt"]
    shown = scrimp("log", "show").out
    assert "file 10k.txt: " in shown
    assert "reads passages, " in shown
    assert " tokens; on offer: whole, passages\n" in shown
    assert "passage of\tcharacters\tscore\tbegins\n10k.txt\t" in shown
    assert NEEDLE.strip() not in shown
    texts = scrimp("log", "show", "--passages").out
    assert NEEDLE.strip() in texts
    data = json.loads(scrimp("log", "show", "--passages", "--json").out)
    assert all(TEXT[each["start"] : each["end"]] == each["text"] for each in data["passages"])
    show = json.loads(scrimp("log", "show", "--json").out)
    assert [[0, each["start"], each["end"], each["score"]] for each in data["passages"]] == show["readings"]["passages"]
    assert show["sources"][0]["name"] == "10k.txt"
    (line,) = scrimp("log", "export").out.splitlines()
    assert (json.loads(line)["readings"], NEEDLE.strip() in line) == (show["readings"], False)


def test_what_has_no_passages_says_why(scrimp, path, tmp_path):
    assert scrimp("ask", "-p", path, "-m", "small", QUESTION).code == 0
    done = scrimp("log", "show", "--passages")
    assert (done.code, "of no files" in done.err) == (2, True)
    short = tmp_path / "work" / "short.txt"
    short.write_text(SHORT)
    assert scrimp("ask", "-p", path, "-m", "small", "-f", short, QUESTION).code == 0
    done = scrimp("log", "show", "--passages")
    assert (done.code, "read whole" in done.err) == (2, True)


def test_an_explanation_shows_each_reading_in_eighty_columns(on_terminal, path, filing):
    argv = ("ask", "-x", "-p", path, "-f", filing, "-m", "small", QUESTION)
    code, _, err = on_terminal(*argv, columns=80)
    assert code == 0, err
    lines = err.replace("\r", "").splitlines()
    assert max(len(line) for line in lines if "\x1b" not in line) <= 80
    for name in ("small/whole", "small/passages", "large/whole", "large/passages"):
        assert any(name in line and "$" in line for line in lines), err
    assert "tokens in" in lines[0], "beside the cost, for each reading"
    assert any(line.strip().startswith("10k.txt") for line in lines)


# ---- by arm


def test_an_arm_is_found_with_and_without_its_reading(scrimp, path, asked):
    first = asked()["id"]
    second = asked(arm="small/whole")["id"]

    def found(arm):
        return [row["id"] for row in json.loads(scrimp("log", "list", "--json", "-m", arm).out)["rows"]]

    assert found("small") == [second, first]
    assert found("small/passages") == [first]
    assert found("small/whole") == [second]
    assert found("large") == found("smal") == []
    by_arm = json.loads(scrimp("spend", "--by", "arm", "--json", "-p", path).out)["rows"]
    assert [(row["name"], row["n_calls"]) for row in by_arm] == [("test/small", 2)]


def test_a_rating_is_of_the_reading(scrimp, path, asked):
    first = asked()["id"]
    assert json.loads(scrimp("rate", "good", "--json").out)["arm"] == "small/passages"
    assert rows("SELECT request_id, arm FROM labels") == [{"request_id": first, "arm": "small/passages"}]
    report = scrimp("report", "-p", "test")
    assert (report.code, "small/passages" in report.out) == (0, True), report.err


def test_one_arm_alone_would_have_read_all(scrimp, path, asked):
    got = asked()
    data = json.loads(scrimp("spend", "--vs", "small", "-p", path, "--json").out)
    assert data["n"] == 1
    assert data["arm_cost_usd"] == pytest.approx(got["whole_cost_usd"], rel=0.02)


# ---- learnt from


def test_an_audit_reads_the_same_files(scrimp, server, path, asked, filing):
    asked()
    filing.unlink()
    done = scrimp("learn", "audit", "-p", path, "-m", "large", "--max-cost", "0.5", "-n", "1", "--check", "has:4")
    assert done.code == 0, done.err + done.out
    assert NEEDLE.strip() in sent(server)[1][-1]["content"]
    told = rows("SELECT arm FROM labels WHERE source = 'audit' ORDER BY id")
    assert told[0] == {"arm": "small/passages"}
    assert told[1]["arm"] in ("large/whole", "large/passages")


def test_a_replay_says_that_it_leaves_readings_out(scrimp, path, asked):
    asked()
    assert scrimp("ask", "-p", path, "-m", "small", "What is 3 plus 4?").code == 0
    done = scrimp("replay", "--json", "-p", path)
    assert done.code == 0, done.err
    data = json.loads(done.out)
    assert data["n"] == 1
    assert any("1 answer from long files left out" in note for note in data["notes"])


def test_an_export_of_answers_has_no_text_of_files(scrimp, path, asked):
    asked()
    assert scrimp("rate", "good").code == 0
    assert scrimp("ask", "-p", path, "-m", "small", QUESTION).code == 0
    assert scrimp("rate", "good").code == 0
    done = scrimp("learn", "export", "-p", path, "--yes")
    assert done.code == 0, done.err
    (line,) = done.out.splitlines()
    assert [each["content"] for each in json.loads(line)["messages"]] == [QUESTION, "4711"]
    assert "asked of files" in done.err


def test_a_probe_asks_of_the_files_of_the_log(scrimp, server, path, asked, filing):
    asked("--check", "has:4711", arm="small/whole")
    filing.unlink()
    done = scrimp("probe", "large", "-p", path, "--from-log", "--limit", "0", "--max-cost", "0.5", "--no-place")
    assert done.code in (0, 6), done.err + done.out
    assert len(sent(server)) == 2, done.err + done.out
    assert NEEDLE.strip() in sent(server)[1][-1]["content"]


# ---- forgotten


@pytest.mark.parametrize("keep", ["features", "money"])
def test_a_log_without_text_has_no_files(scrimp, profile, asked, filing, home, keep):
    profile(small="say@text=4711", large="say@text=4,711", extra=f'[log]\nkeep = "{keep}"\n')
    asked()
    assert rows("SELECT count(*) AS n FROM documents") == [{"n": 0}]
    kept = rows("SELECT sources FROM requests")
    assert [sorted(json.loads(row["sources"])[0]) for row in kept] == (
        [["n_chars", "n_tokens", "sha256"]] if keep == "features" else []
    )
    assert not any(b"10k.txt" in each.read_bytes() for each in home.rglob("*") if each.is_file())
    if keep == "features":
        assert "[a file] (not kept)" in scrimp("log").out
        assert "(name not kept)" in scrimp("log", "show").out


def test_words_of_files_in_the_cache_go_too(scrimp, path, asked, home):
    kept = home / "cache" / KEPT_FILE
    asked("--no-log")
    assert not kept.exists()
    first = asked()["id"]
    assert kept.exists()
    assert scrimp("log", "rm", "-y", first).code == 0
    assert not kept.exists()
    asked()
    with open_ledger(paths().ledger) as ledger, ledger.transaction() as conn:
        conn.execute("UPDATE requests SET created_at = '2020-01-01T00:00:00.000000Z'")
    assert scrimp("ask", "-p", path, "-m", "small", "What is 3 plus 4?").code == 0
    assert not kept.exists(), "it was older than the profile keeps anything"
    asked()
    assert scrimp("log", "purge", "-y").code == 0
    assert not kept.exists()


def test_texts_go_with_the_log(scrimp, asked):
    first = asked()["id"]
    second = asked(arm="small/whole")["id"]
    assert scrimp("log", "rm", "-y", first).code == 0
    assert rows("SELECT count(*) AS n FROM documents") == [{"n": 1}]
    assert scrimp("log", "rm", "-y", second).code == 0
    assert rows("SELECT count(*) AS n FROM documents") == [{"n": 0}]
    asked()
    assert "the texts of 1 file (" in scrimp("doctor").out
    assert scrimp("log", "purge", "-y").code == 0
    assert rows("SELECT count(*) AS n FROM documents") == [{"n": 0}]
