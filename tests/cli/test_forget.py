"""What is to be forgotten, or never kept, is nowhere under SCRIMP_HOME: every file there is searched, byte by byte."""

import json

import pytest

from scrimp.profiles.files import unfinished
from scrimp.profiles.paths import paths
from scrimp.routing.batch.files.output import Journal
from scrimp.routing.ledger.store import open_ledger

# Of three letters each, since the full-text index stores of a word only what differs from the word before it.
PROMPT, ANSWER, SYSTEM, NOTE = "okapiprompt", "quaggaanswer", "zebrasystem", "gnunote"
SAY = f"say@text={ANSWER}"  # queued at the server: the name of a model is kept on purpose
STOPS = (SAY, "400", SAY)
"""Calls of a run that stops after its second row, with --max-errors 1."""


def traces(home, *words):
    """Return where under a folder any of the words stands."""
    return {
        (str(path.relative_to(home)), word)
        for path in home.rglob("*")
        if path.is_file()
        for word in words or (PROMPT, ANSWER, SYSTEM, NOTE)
        if word.encode() in path.read_bytes()
    }


def batch(scrimp, server, path, *argv, calls=("400", SAY, SAY), name="out.jsonl", text=PROMPT):
    """Run a row for each call from standard input; where some fail, journal and input are kept to ask those again."""
    server.script(calls)
    rows = "".join(json.dumps({"prompt": f"{text} number {i}"}) + "\n" for i in range(len(calls)))
    return scrimp(
        "batch", "-", "-o", name, "-p", path, "-j", "1", "--format", "jsonl", "--system", SYSTEM, *argv, stdin=rows
    )


@pytest.fixture
def path(profile):
    return profile(small="ok", large="400-quote", extra="[log]\nretention_days = 30\n")


def fill(scrimp, server, path):
    """Put text wherever scrimp puts any: answers, failures, steps, labels, kept journals and inputs."""
    server.script([SAY])
    assert scrimp("ask", "-p", path, "-m", "small", "--system", SYSTEM, f"{PROMPT} one").code == 0
    assert scrimp("rate", "bad", "--note", NOTE).code == 0
    assert scrimp("ask", "-p", path, "-m", "large", f"{PROMPT} two").code == 5
    server.script([SAY])
    plan = ("--plan", "small ? checks > large", "--check", f"has:{NOTE}")
    assert scrimp("ask", "-p", path, *plan, f"{PROMPT} three").code != 0
    assert batch(scrimp, server, path, "-m", "small").code == 6
    done = batch(scrimp, server, path, "-m", "large", name="out2.jsonl", calls=["400-quote"] * 3)
    assert done.code == 6, done.err


def spent(scrimp):
    return json.loads(scrimp("spend", "--json").out)["rows"]


def files_of_runs(home):
    return sorted(each.suffix for each in (home / "batches").iterdir())


def age(home):
    """Make everything in the ledger years old."""
    with open_ledger(paths().ledger) as ledger, ledger.transaction() as conn:
        for table in ("requests", "batch_runs"):
            conn.execute(f"UPDATE {table} SET created_at = '2020-01-01T00:00:00.000000Z'")


# ---- forgotten on request


def test_a_purge_leaves_no_text_anywhere(scrimp, server, path, home):
    fill(scrimp, server, path)
    assert batch(scrimp, server, path, "-m", "small", "--cache", "7d", name="out3.jsonl", calls=[SAY] * 3).code == 0
    before, n = spent(scrimp), len(server.chats)
    assert {word for _, word in traces(home)} == {PROMPT, ANSWER, SYSTEM, NOTE}
    assert {where.rpartition(".")[2] for where, _ in traces(home)} >= {"db", "journal", "input"}
    assert files_of_runs(home) == [".input", ".input", ".journal", ".journal"]
    done = scrimp("log", "purge", "--yes")
    assert done.code == 0, done.err
    assert traces(home) == set()
    assert "2 finished runs" in done.err
    assert "3 cached answers" in done.err
    assert spent(scrimp) == before
    again = scrimp("batch", "--resume", "--retry-errors", "-o", "out.jsonl")
    assert (again.code, len(server.chats)) == (2, n), again.err
    assert "no row of it can be asked again" in again.err


def test_a_purge_of_what_is_old_leaves_what_is_new(scrimp, server, path, home):
    assert batch(scrimp, server, path, "-m", "small").code == 6
    age(home)
    assert batch(scrimp, server, path, "-m", "small", name="new.jsonl").code == 6
    assert scrimp("log", "purge", "--yes", "--older-than", "30").code == 0
    assert files_of_runs(home) == [".input", ".journal"]
    assert scrimp("batch", "--resume", "--retry-errors", "-o", "out.jsonl").code == 2
    assert scrimp("batch", "--resume", "--retry-errors", "-o", "new.jsonl").code == 0


def test_a_purge_gives_up_unfinished_runs_and_asks_first(scrimp, server, path, home):
    out = home.parent / "work" / "out.jsonl"
    assert batch(scrimp, server, path, "-m", "small", "--max-errors", "1", calls=STOPS).code == 6
    partial = out.with_name("out.jsonl.partial")
    unfinished(out).write_text("half of an output, left by a kill")
    assert partial.exists()
    refused = scrimp("log", "purge")
    assert refused.code == 2
    assert "give up 1 unfinished run" in refused.err
    assert partial.exists()
    assert traces(home)
    assert "gave up run" in scrimp("log", "purge", "--yes").err
    assert not partial.exists()
    assert not unfinished(out).exists()
    assert traces(home) == set()
    assert [run["status"] for run in json.loads(scrimp("batch", "list", "--json").out)["runs"]] == ["cancelled"]


def test_a_purge_leaves_a_run_that_is_going_on(scrimp, server, path, home):
    assert batch(scrimp, server, path, "-m", "small", "--max-errors", "1", calls=STOPS).code == 6
    out = home.parent / "work" / "out.jsonl"
    journal = Journal.open(out.with_name("out.jsonl.partial"), new=False)  # as the process of the run holds it
    done = scrimp("log", "purge", "--yes")
    journal.close()
    assert done.code == 0
    assert "is going on" in done.err
    assert files_of_runs(home) == [".input"]
    assert scrimp("batch", "--resume", "-o", out).code == 6
    assert len(out.read_text().splitlines()) == 3


def test_input_of_a_run_that_never_began_goes_too(scrimp, server, path, home):
    assert scrimp("ask", "-p", path, "-m", "small", "hello").code == 0
    (home / "batches").mkdir()
    (home / "batches" / "01k9xstray.input").write_text(PROMPT)
    assert scrimp("log", "purge", "--yes").code == 0
    assert traces(home) == set()


def test_one_request_of_a_run_forgotten_is_forgotten_everywhere(scrimp, server, path, home):
    assert batch(scrimp, server, path, "-m", "small", text="other").code == 6
    assert batch(scrimp, server, path, "-m", "small", "--cache", "7d", name="out2.jsonl", calls=["400", SAY]).code == 6
    rows = [json.loads(line) for line in (home.parent / "work" / "out2.jsonl").read_text().splitlines()]
    ids = [row["decision_id"] for row in rows]
    done = scrimp("log", "rm", *ids, "--yes")
    assert done.code == 0, done.err
    assert "cannot be asked again" in done.err
    assert "1 cached answer" in done.err
    assert traces(home, PROMPT) == set()
    assert files_of_runs(home) == [".input", ".journal"], "those of the other run"


def test_a_request_of_an_unfinished_run_says_where_it_still_stands(scrimp, server, path, home):
    assert batch(scrimp, server, path, "-m", "small", "--max-errors", "1", calls=STOPS).code == 6
    row = json.loads(scrimp("log", "--json", "-n", "1").out)["rows"][0]
    done = scrimp("log", "rm", row["id"], "--yes")
    assert "out.jsonl.partial still holds it" in done.err
    assert scrimp("batch", "--resume", "-o", "out.jsonl").code == 6, "nothing of the run is lost"


def test_giving_up_what_a_finished_run_kept_spares_a_later_run_of_that_name(scrimp, server, path, home):
    out = home.parent / "work" / "out.jsonl"
    assert batch(scrimp, server, path, "-m", "small").code == 6
    (first,) = json.loads(scrimp("batch", "list", "--json").out)["runs"]
    out.rename(out.with_name("moved.jsonl"))
    assert batch(scrimp, server, path, "-m", "small", "--max-errors", "1", calls=STOPS).code == 6
    assert scrimp("batch", "cancel", first["id"]).code == 0
    assert out.with_name("out.jsonl.partial").exists()
    assert scrimp("batch", "--resume", "-o", out).code == 6


# ---- forgotten by age


def test_retention_leaves_no_text_anywhere(scrimp, server, path, home):
    fill(scrimp, server, path)
    before = spent(scrimp)[0]["charged_usd"]
    age(home)
    assert scrimp("ask", "-p", path, "-m", "small", "--no-log", "hello").code == 0
    assert traces(home) == set()
    assert files_of_runs(home) == []
    assert spent(scrimp)[0]["charged_usd"] > before


def test_retention_gives_up_no_run(scrimp, server, path, home):
    assert batch(scrimp, server, path, "-m", "small", "--max-errors", "1", calls=STOPS).code == 6
    age(home)
    assert scrimp("ask", "-p", path, "-m", "small", "hello").code == 0
    assert scrimp("batch", "--resume", "-o", "out.jsonl").code == 6


# ---- never kept


def test_no_log_keeps_no_text_of_ask(scrimp, server, path, home):
    server.script([SAY])
    assert scrimp("ask", "-p", path, "--no-log", "-m", "small", "--system", SYSTEM, f"{PROMPT} one").code == 0
    assert scrimp("ask", "-p", path, "--no-log", "-m", "large", f"{PROMPT} two").code == 5
    server.script([SAY])
    plan = ("--plan", "small ? checks > large", "--check", f"has:{NOTE}")
    assert scrimp("ask", "-p", path, "--no-log", *plan, f"{PROMPT} three").code != 0
    assert len(server.chats) == 4
    assert traces(home) == set()


@pytest.mark.parametrize("keep", ["--no-log", "money", "features"])
def test_no_log_keeps_no_text_of_a_batch(scrimp, server, profile, home, keep):
    flags = ("--no-log",) if keep == "--no-log" else ()
    path = profile(extra="" if flags else f'[log]\nkeep = "{keep}"\n')
    done = batch(scrimp, server, path, *flags)
    assert done.code == 6
    assert traces(home) == set()
    assert files_of_runs(home) == []
    assert "--retry-errors" not in done.err
    assert "cannot be asked again" in done.err
    n = len(server.chats)
    again = scrimp("batch", "--resume", "--retry-errors", "-o", "out.jsonl")
    assert (again.code, len(server.chats)) == (2, n)
    assert "not kept" in again.err


def test_no_log_runs_go_on_while_they_are_not_finished(scrimp, server, path, home):
    """Until then the journal is needed, and stands beside the output as the user's."""
    done = batch(scrimp, server, path, "-m", "small", "--no-log", "--max-errors", "1", calls=STOPS)
    assert done.code == 6
    assert scrimp("batch", "--resume", "--retry-errors", "-o", "out.jsonl").code == 0
    assert len((home.parent / "work" / "out.jsonl").read_text().splitlines()) == 3
    assert traces(home) == set()


def test_no_log_keeps_no_error_of_a_batch_that_quotes_the_prompt(scrimp, server, path, home):
    assert batch(scrimp, server, path, "-m", "large", "--no-log", calls=["400-quote"]).code == 6
    assert traces(home) == set()
