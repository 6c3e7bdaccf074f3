"""Alerts: found in the ledger, delivered to a command or an address, at least once, and never in the way of an answer."""

import json
import sys
import textwrap
from pathlib import Path
from types import SimpleNamespace

import pytest
from conftest import CANARY
from jsonschema import Draft202012Validator
from warm_worker import Worker

from scrimp.routing.ledger.store import open_ledger

SECRET = "what nobody else is to read"


@pytest.fixture
def told(tmp_path):
    """A command that keeps what it is told: stdin, arguments and environment; returns (words, read)."""
    script, log = tmp_path / "tell.py", tmp_path / "told.jsonl"
    script.write_text(
        textwrap.dedent(f"""
        import json, os, sys
        row = {{"stdin": json.loads(sys.stdin.read()), "argv": sys.argv[1:], "env": dict(os.environ)}}
        with open({str(log)!r}, "a") as file:
            file.write(json.dumps(row) + "\\n")
        """)
    )
    words = [sys.executable, str(script), "{kind}", "{message}"]
    return words, lambda: [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


def by_command(words, **more):
    return f"[alerts]\ncmd = {json.dumps(words)}\n" + "".join(f"{key} = {value}\n" for key, value in more.items())


def events(home):
    with open_ledger(home / "scrimp.db") as ledger:
        return ledger.rows("SELECT kind, percent, state, tries, error FROM events ORDER BY id")


@pytest.fixture
def hook(server):
    """An address on the loopback server; `hook.answer` says how it answers, `hook.got` what came."""

    made = SimpleNamespace(url=f"{server.url}/hook/T0P-S3CRET", status=200, headers={}, got=[])

    def answer(request):
        made.got.append(request)
        return made.status, made.headers, b"thanks"

    server.canned["/hook/T0P-S3CRET"] = ("text/plain", answer)
    yield made
    server.canned.clear()


def test_a_cap_that_fills_up_is_told_once_each(scrimp, profile, told, home, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)
    words, read = told
    path = profile(small="ok@tokens=50", caps="per_day_usd = 0.0018", extra=by_command(words, at="[10, 80]"))
    for _ in range(2):
        done = scrimp("ask", "-p", path, SECRET)
        assert done.code == 0, done.err
    (row,) = read()
    event = row["stdin"]
    assert (event["kind"], event["data"]["cap"], event["data"]["percent"]) == ("cap", "day", 10)
    assert event["data"]["limit_usd"] == "0.001800000"
    assert row["argv"] == ["cap", event["message"]]
    assert row["env"]["SCRIMP_ALERT_KIND"] == "cap"
    assert row["env"]["SCRIMP_ALERT_MESSAGE"] == event["message"]
    assert SECRET not in json.dumps(row)
    assert CANARY not in json.dumps(row)
    assert [row["state"] for row in events(home)] == ["delivered"]


def test_what_is_told_is_as_the_page_says(scrimp, profile, told, home):
    page = (Path(__file__).parents[2] / "docs" / "alerts.md").read_text()
    schema = json.loads(page.partition("```json\n")[2].partition("```")[0])
    words, read = told
    path = profile(small="ok", caps="per_day_usd = 0.0011", extra=by_command(words, at="[1]"))
    scrimp("ask", "-p", path, "hello")
    assert scrimp("alerts", "test", "-p", path).code == 0
    validator = Draft202012Validator(schema)
    told_ = [row["stdin"] for row in read()]
    assert [event["kind"] for event in told_] == ["cap", "test"]
    for event in told_:
        validator.validate(event)


def test_batch_and_refit_and_breach_are_told(scrimp, profile, told, tmp_path, home):
    words, read = told
    path = profile(small="ok", extra=by_command(words))
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(json.dumps({"prompt": f"{SECRET} {i}"}) + "\n" for i in range(4)))
    assert scrimp("batch", rows, "-o", tmp_path / "out.jsonl", "-p", path).code == 0
    (row,) = read()
    assert row["stdin"]["kind"] == "batch"
    assert row["stdin"]["data"]["rows"] == {"ok": 4}
    assert row["stdin"]["data"]["status"] == "finished"
    assert SECRET not in json.dumps(row)
    with open_ledger(home / "scrimp.db") as ledger, ledger.transaction() as conn:
        conn.execute("UPDATE reservations SET breach = 1, status = 'settled' WHERE id = 2")
        conn.execute(
            "INSERT INTO refits (at, profile, verdict, version, tested, forced) "
            "VALUES ('2026-01-01', 'test', 'promoted', 'r7', 1, 0), ('2026-01-01', 'test', 'refused', 'r8', 1, 0)"
        )
    scrimp("ask", "-p", path, "hello")
    assert [row["stdin"]["kind"] for row in read()] == ["batch", "breach", "refit"]
    assert read()[1]["stdin"]["data"]["arms"] == ["small"]
    assert read()[2]["stdin"]["data"] == {"version": "r7", "forced": False}


def test_calls_of_a_killed_process_are_told_by_the_next_command(profile, told, tmp_path, home):
    words, read = told
    path = profile(small="ok", extra=by_command(words))
    worker = Worker(tmp_path)
    try:
        worker.run("ask", "-q", "-p", path, "first", home=home, kill="settling:1")
        assert read() == []
        assert worker.run("ask", "-q", "-p", path, "second", home=home)[0] == 0
    finally:
        worker.close()
    (row,) = read()
    assert row["stdin"]["kind"] == "unknown"
    assert row["stdin"]["data"]["calls"] == [1]
    assert "1 call of unknown cost" in row["stdin"]["message"]


def test_a_question_that_fails_is_told_of_too(scrimp, profile, told):
    words, read = told
    path = profile(small="breach", extra=by_command(words))
    scrimp("ask", "-p", path, "--schema", '{"type": "object"}', "hello")
    assert [row["stdin"]["kind"] for row in read()] == ["breach"]
    assert read()[0]["stdin"]["data"]["arms"] == ["small"]


def test_an_address_is_posted_to(scrimp, profile, hook, home):
    path = profile(small="ok", caps="per_day_usd = 0.0011", extra=f'[alerts]\nurl = "{hook.url}"\nat = [1]\n')
    done = scrimp("ask", "-p", path, SECRET)
    assert done.code == 0
    (got,) = hook.got
    assert got.body["kind"] == "cap"
    assert SECRET not in json.dumps(got.body)
    assert got.authorization is None
    assert [row["state"] for row in events(home)] == ["delivered"]


@pytest.mark.parametrize(
    ("status", "headers", "why"),
    [(500, {}, "answers 500"), (302, {"location": "/v1/models"}, "redirects are not followed")],
)
def test_what_is_not_taken_is_tried_again_and_fails_nothing(
    scrimp, profile, hook, home, status, headers, why, monkeypatch
):
    monkeypatch.setattr("scrimp.routing.asking.outbox._said", set())
    hook.status, hook.headers = status, headers
    path = profile(small="ok", caps="per_day_usd = 0.0011", extra=f'[alerts]\nurl = "{hook.url}"\nat = [1]\n')
    done = scrimp("ask", "-p", path, "hello")
    assert done.code == 0
    assert why in done.err
    assert "T0P-S3CRET" not in done.err
    assert [(row["state"], row["tries"]) for row in events(home)] == [("new", 1)]
    assert "1 not delivered" in scrimp("doctor", "-p", path).out.replace("\n", " ")
    hook.status = 204
    assert scrimp("ask", "-p", path, "hello").err.count("not delivered") == 0
    assert [(row["state"], row["tries"]) for row in events(home)] == [("delivered", 2)]


def test_it_is_given_up_after_some_tries(scrimp, profile, hook, home):
    hook.status = 500
    path = profile(small="ok", caps="per_day_usd = 0.01", extra=f'[alerts]\nurl = "{hook.url}"\nat = [1]\n')
    for _ in range(7):
        assert scrimp("ask", "-p", path, "hello").code == 0
    assert len(hook.got) == 5
    assert [row["state"] for row in events(home)] == ["given up"]


@pytest.mark.parametrize(
    ("cmd", "why"),
    [
        ([sys.executable, "-c", "import time; time.sleep(60)"], "took longer than 0.5 s"),
        ([sys.executable, "-c", "raise SystemExit(3)"], "ended with 3"),
        (["no-such-program-here"], "cannot be run"),
    ],
)
def test_a_command_that_fails_fails_nothing_else(scrimp, profile, home, cmd, why, monkeypatch):
    monkeypatch.setattr("scrimp.routing.asking.outbox._said", set())
    path = profile(small="ok@tokens=50", caps="per_day_usd = 0.0011", extra=by_command(cmd, at="[1]", timeout_s=0.5))
    done = scrimp("ask", "-p", path, "hello")
    assert done.code == 0
    assert done.out.strip()
    assert why in done.err
    done = scrimp("alerts", "test", "-p", path)
    assert done.code == 75
    assert why in done.err


def test_no_shell_reads_the_words(scrimp, profile, told, tmp_path):
    words, read = told
    path = profile(small="ok", extra=by_command([*words, "$(touch owned); `touch owned`"]))
    assert scrimp("alerts", "test", "-p", path).code == 0
    assert read()[0]["argv"][-1] == "$(touch owned); `touch owned`"
    assert not list(tmp_path.rglob("owned"))


def test_nothing_leaves_under_offline(scrimp, profile, home):
    path = profile(
        small="ok", caps="per_day_usd = 0.0011", extra='[alerts]\nurl = "https://hooks.invalid/x"\nat = [1]\n'
    )
    done = scrimp("ask", "--offline", "-p", path, "hello")
    assert done.code == 0
    assert "not delivered" not in done.err
    assert [(row["state"], row["tries"]) for row in events(home)] == [("new", 0)]
    assert scrimp("alerts", "test", "--offline", "-p", path).code == 2


def test_what_was_told_is_listed(scrimp, profile, told, home):
    words, _ = told
    assert "nothing has happened" in scrimp("alerts", "list").err
    path = profile(small="ok", caps="per_day_usd = 0.0011", extra=by_command(words, at="[1]"))
    scrimp("ask", "-p", path, "hello")
    (row,) = json.loads(scrimp("alerts", "list", "--json").out)["events"]
    assert (row["kind"], row["subject"], row["state"]) == ("cap", "day", "delivered")


def test_without_alerts_nothing_waits(scrimp, profile, home):
    path = profile(small="ok", caps="per_day_usd = 0.0003")
    done = scrimp("ask", "-p", path, "hello")
    assert {row["state"] for row in events(home)} <= {"kept"}
    assert scrimp("alerts", "test", "-p", path).code == 78
    assert done.code in (0, 3)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('url = "http://example.com/x"', "alerts.url: expected an https:// address"),
        ('url = "https://user:pass@example.com/x"', "got something else"),
        ('cmd = "notify-send x"', "alerts.cmd: expected a list of words"),
        ("at = [0]", "alerts.at: expected"),
        ('cmd = ["true"]\nurl = "https://example.com"', "give cmd or url"),
        ("when = 5", "alerts.when: unknown key"),
    ],
)
def test_a_broken_table_is_named(scrimp, profile, text, says):
    done = scrimp("ask", "-p", profile(small="ok", extra=f"[alerts]\n{text}\n"), "hello")
    assert done.code == 78
    assert says in done.err
    assert "pass@" not in done.err


def test_doctor_names_a_program_that_is_missing(scrimp, profile):
    done = scrimp("doctor", "--json", "-p", profile(small="ok", extra=by_command(["no-such-program-here"])))
    (finding,) = [each for each in json.loads(done.out)["findings"] if each["what"] == "alerts"]
    assert (finding["state"], done.code) == ("problem", 0), "it answers all the same"
    assert "no-such-program-here" in finding["detail"]
