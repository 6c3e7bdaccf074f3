"""`scrimp duel` and `report --duels`: two answers without names, a verdict, and what follows from it."""

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time

import pytest
from conftest import CANARY, environment

from scrimp.profiles.errors import LedgerError

SCRIMP = [sys.executable, "-m", "scrimp.cli"]


@pytest.fixture
def at_terminal(on_terminal):
    """Run a command line with all three streams on terminals, `typed` being what is typed, line by line."""
    return lambda *argv, typed="", **options: on_terminal(*argv, typed=typed, **options)


@pytest.fixture
def shown(scrimp):
    """Return a duel's facts from the log: its row of `duels`, and the labels of both requests."""
    from scrimp.profiles.paths import paths
    from scrimp.routing.ledger.store import read_ledger

    def rows():
        ledger = read_ledger(paths().ledger)
        try:
            found = ledger.rows("SELECT * FROM duels ORDER BY at, id")
            for row in found:
                row["labels"] = ledger.rows(
                    "SELECT arm, reward, source, note FROM labels WHERE request_id IN (?, ?) ORDER BY id",
                    (row["left_request"], row["right_request"]),
                )
            return found
        finally:
            ledger.close()

    return rows


def test_a_duel_from_prompt_to_labels(at_terminal, profile, shown, server):
    path = profile(small="say@text=a_small_answer", large="say@text=a_large_answer")
    code, out, err = at_terminal("duel", "-p", path, "what is it?", typed="1 short and right\n\n")
    assert code == 0, err
    assert len(server.chats) == 2
    before, after = out.split("a_large_answer".replace("_", " "))[0], out.split("answer  arm")[1]
    assert "what is it?" in before
    assert "openai/" not in out.split("answer  arm")[0], "no model is named before the verdict"
    assert "small" in after
    assert "large" in after
    (duel,) = shown()
    assert (duel["verdict"], duel["why"]) == ("left", "short and right")
    assert 0.0 < duel["propensity"] <= 0.5
    assert json.loads(duel["chances"]) == {"large": 1.0, "small": 1.0}
    note = f"duel {duel['id']}"
    assert duel["labels"] == [
        {"arm": duel["left_arm"], "reward": 1.0, "source": "audit", "note": note},
        {"arm": duel["right_arm"], "reward": 0.0, "source": "audit", "note": note},
    ]
    first = out.index(f"a {duel['left_arm']} answer")
    assert first < out.index(f"a {duel['right_arm']} answer"), "answer 1 is the left's"


def test_a_duel_about_a_file(at_terminal, profile, shown, server, home):
    """Each arm reads of it what is worth most; the duel is of the arms, its labels say what they read."""
    folder = home.parent / "work" / "data"
    folder.mkdir()
    text = "The committee met again and spoke at length.\n\n" * 600
    (folder / "minutes.txt").write_text(f"{text}The deficit was forty two.\n\n{text}")
    rows = [{"prompt": "What was the deficit?", "file": name} for name in ("minutes.txt", "gone.txt")]
    (folder / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    path = profile(small="say@text=a_small_answer", large="say@text=a_large_answer")
    code, out, err = at_terminal("duel", "-p", path, "-f", folder / "in.jsonl", typed="1\n\n")
    assert code == 0, err
    assert "line 2: file: cannot read" in out + err
    assert [request.prompt.startswith("===== ") for request in server.chats] == [True, True]
    (duel,) = shown()
    assert {duel["left_arm"], duel["right_arm"]} == {"small", "large"}
    labelled = {each["arm"].partition("/")[0]: each["arm"].partition("/")[2] for each in duel["labels"]}
    assert set(labelled) == {"small", "large"}
    assert set(labelled.values()) <= {"whole", "passages"}


@pytest.mark.parametrize(
    ("typed", "verdict", "rewards"),
    [
        ("2\n", "right", [0.0, 1.0]), ("=\n", "tie", [1.0, 1.0]), ("0\n", "neither", [0.0, 0.0]),
        ("what?\n3\n0 both wrong\n", "neither", [0.0, 0.0]), ("s\n", None, []), ("", None, []), ("q\n", None, []),
    ],
)  # fmt: skip
def test_verdicts_and_what_they_say_of_answers(at_terminal, profile, shown, typed, verdict, rewards):
    code, _, err = at_terminal("duel", "-p", profile(small="ok", large="echo"), "what is it?", typed=typed)
    assert code == 0
    (duel,) = shown()
    assert duel["verdict"] == verdict
    assert [label["reward"] for label in duel["labels"]] == rewards
    assert err.count("not understood") == (2 if typed.startswith("what?") else 0)


def test_the_last_verdict_is_taken_back(at_terminal, profile, shown, tmp_path):
    path = profile(small="ok", large="echo")
    code, _, err = at_terminal("duel", "-p", path, "what is it?", typed="1\nu\n")
    assert code == 0
    assert "0 duels judged" in err
    (duel,) = shown()
    assert (duel["verdict"], duel["labels"]) == (None, [])
    file = tmp_path / "prompts.txt"
    file.write_text("one\ntwo\n")
    code, _, err = at_terminal("duel", "-p", path, "-f", file, typed="1\nu\n2\n\n")
    assert [row["verdict"] for row in shown()] == [None, None, "right"]
    code, _, err = at_terminal("duel", "-p", path, "-f", file, typed="q\n")
    assert "1 of 2 prompts were judged before" in err, "what was taken back is asked again"


def test_a_file_goes_on_where_it_was_left(at_terminal, scrimp, profile, shown, tmp_path, server):
    path = profile(small="ok", large="echo", medium="ok")
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps({"id": n, "prompt": f"question {n}"}) + "\n" for n in range(3)))
    code, out, err = at_terminal("duel", "-p", path, "-f", file, typed="1\nq\n")
    assert code == 0, err
    assert "(1 of 3)" in out
    assert "3 duels: about $" in err
    code, out, err = at_terminal("duel", "-p", path, "-f", file, typed="=\n0\n\n")
    assert "(1 of 2)" in out
    assert "question 0" not in out
    assert len(shown()) == 4
    before = len(server.chats)
    code, _, err = at_terminal("duel", "-p", path, "-f", file)
    assert (code, len(server.chats)) == (0, before)
    assert "every prompt" in err
    code, out, _ = at_terminal("duel", "-p", path, "-f", file, "--arms", "small,large", typed="q\n")
    assert "question" in out, "these two have not all met yet"


def test_named_arms_are_no_draw(at_terminal, profile, shown):
    path = profile(small="ok", medium="echo", large="ok")
    sides = set()
    for seed in range(6):
        code, _, err = at_terminal(
            "duel", "-p", path, "--arms", "large, small", "--seed", str(seed), "x", typed="1\n\n"
        )
        assert code == 0, err
    for duel in shown():
        assert (duel["propensity"], duel["chances"]) == (None, None)
        sides.add((duel["left_arm"], duel["right_arm"]))
    assert sides == {("small", "large"), ("large", "small")}


def test_what_may_give_an_arm_away_waits_for_the_verdict(at_terminal, profile, server):
    """A retry is said after the verdict, with the names."""
    path = profile(small="500-1-then-ok", large="echo")
    code, _, err = at_terminal("duel", "-p", path, "x", typed="1\n\n")
    assert code == 0, err
    question = err.index("good: 1, 2")
    assert err.index("trying again") > question
    assert "small" not in err[:question]


def test_one_answer_missing_is_no_duel(at_terminal, profile, shown, tmp_path):
    path = profile(small="say@text=the_one_answer", large="401")
    code, out, err = at_terminal("duel", "-p", path, "x")
    assert code == 4, err
    assert "no duel" in err
    assert "the one answer" in out
    assert shown() == []
    file = tmp_path / "prompts.txt"
    file.write_text("".join(f"prompt {n}\n" for n in range(5)))
    code, out, err = at_terminal("duel", "-p", path, "-f", file)
    assert code == 6
    assert "3 duels failed and none succeeded" in err


def test_answers_that_cannot_be_put_on_record_are_shown(at_terminal, profile, monkeypatch):
    def full(*_args, **_kwargs):
        raise LedgerError("the disk is full")

    monkeypatch.setattr("scrimp.routing.learn.collecting.duel.add_duel", full)
    path = profile(small="say@text=a_small_answer", large="say@text=a_large_answer")
    code, out, err = at_terminal("duel", "-p", path, "x")
    assert code == int(LedgerError("").exit_code)
    assert "no duel: the disk is full" in err
    assert "a small answer" in out
    assert "a large answer" in out


def test_without_a_terminal_nothing_is_asked(scrimp, at_terminal, profile, server):
    path = profile(small="ok", large="echo")
    for argv in (("duel", "-p", path, "x"), ("duel", "-p", path, "--json", "x")):
        done = scrimp(*argv)
        assert done.code == 2
        assert "learn audit --check" in done.err
    code, *_ = at_terminal("duel", "-p", path, "x", out=False)
    assert code == 2, "nobody would see the answers"
    assert server.chats == []


def test_json_leaves_the_screen_on_stderr(at_terminal, profile):
    path = profile(small="ok", large="echo")
    code, out, err = at_terminal("duel", "-p", path, "--json", "what is it?", typed="2 better\n\n", out=False)
    assert code == 0
    data = json.loads(out)
    (duel,) = data["duels"]
    assert (data["n_judged"], duel["verdict"], duel["why"]) == (1, "right", "better")
    assert {duel["left"]["arm"], duel["right"]["arm"]} == {"small", "large"}
    assert duel["left"]["cost_usd"] > 0
    assert "answer 1" in err


def test_a_dry_run_asks_nothing(scrimp, profile, tmp_path, server):
    path = profile(small="ok", medium="ok", large="ok")
    data = json.loads(scrimp("duel", "--dry-run", "-p", path, "--json", "x").out)
    assert sum(pair["chance"] for pair in data["pairs"]) == pytest.approx(1.0)
    assert 0 < data["cost_usd"] < data["bound_usd"]
    file = tmp_path / "p.csv"
    file.write_text("prompt,other\none,1\ntwo,2\n")
    done = scrimp("duel", "--dry-run", "-p", path, "-f", file, "--arms", "small,large")
    assert done.code == 0, done.err
    assert "2 to judge" in done.out
    assert "named" in done.out
    assert server.chats == []


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (("duel",), "a prompt"), (("duel", "-f", "FILE", "x"), "one of the two"), (("duel", "--arms", "small", "x"), "--arms"),
        (("duel", "--arms", "small,small", "x"), "--arms"), (("duel", "--arms", "small,nobody", "x"), "nobody"),
        (("duel", ""), "empty"), (("duel", "-f", "/none"), "/none"), (("duel", "--max-cost", "x", "x"), "--max-cost"),
    ],
)  # fmt: skip
def test_what_does_not_go_together(scrimp, profile, tmp_path, argv, said):
    file = tmp_path / "p.txt"
    file.write_text("one\n")
    words = [str(file) if word == "FILE" else word for word in argv]
    done = scrimp(words[0], "--dry-run", "-p", profile(small="ok", large="ok"), *words[1:])
    assert done.code == 2
    assert said in done.err.lower()


def test_a_duel_takes_two_arms(scrimp, profile):
    done = scrimp("duel", "--dry-run", "-p", profile(small="ok"), "x")
    assert done.code == 2
    assert "two arms" in done.err
    away = profile(small="ok", large="ok", extra='[[arms]]\nname = "away"\nmodel = "openai/none"\n', name="away")
    done = scrimp("duel", "--dry-run", "-p", away, "--arms", "small,away", "x")
    assert done.code in (2, 4)
    assert "away" in done.err


def test_arms_may_be_aliases_and_models_with_a_price(at_terminal, scrimp, profile, server):
    path = profile(small="ok")
    here = "local/smollm2-135m-instruct"
    assert scrimp("alias", "set", "tiny", here).code == 0
    code, out, err = at_terminal("duel", "-p", path, "--arms", "small,tiny", "Name a colour.", typed="1\n\n")
    assert code == 0, err
    assert "smollm2-135m-instruct" in out.split("answer  arm")[1]
    assert len(server.chats) == 1
    done = scrimp("duel", "--dry-run", "-p", path, "--arms", f"tiny,{here}", "x")
    assert done.code == 2
    assert f"tiny and {here} are the same arm, smollm2-135m-instruct" in done.err


# ---- money


def test_both_answers_are_paid_under_the_caps(at_terminal, scrimp, profile):
    path = profile(small="ok", large="ok")
    at_terminal("duel", "-p", path, "x", typed="1\n\n")
    spent = json.loads(scrimp("spend", "--json", "--by", "source", "-p", path).out)["rows"]
    assert [(row["name"], row["n_calls"]) for row in spent] == [("duel", 2)]


@pytest.mark.parametrize("how", ["run", "day", "flag"])
def test_a_duel_that_cannot_be_paid_to_its_end_is_not_begun(at_terminal, profile, server, how):
    """One answer of the large arm fits the cap, two answers do not."""
    limit = "0.0100"
    caps = {"run": f"per_run_usd = {limit}", "day": f"per_day_usd = {limit}", "flag": "per_day_usd = 1.0"}[how]
    path = profile(small="fill", large="fill", caps=caps)
    more = ("--max-cost", limit) if how == "flag" else ()
    code, _, err = at_terminal("duel", "-p", path, *more, "--arms", "small,large", "a question")
    assert code == 3, err
    assert "two answers" in err
    assert server.chats == []
    assert at_terminal("ask", "-p", path, "-m", "large", "a question")[0] == 0, "one of them alone can be paid"


def test_a_session_ends_at_its_cap(at_terminal, profile, shown, tmp_path, server):
    file = tmp_path / "prompts.txt"
    file.write_text("".join(f"prompt {n}\n" for n in range(50)))
    path = profile(small="fill", large="fill")
    code, _, err = at_terminal("duel", "-p", path, "-f", file, "--max-cost", "0.03", typed="1\n" * 60)
    assert code == 3, err
    assert "--max-cost" in err
    assert 1 <= len(shown()) < 10
    paid = sum(request.cost_nano for request in server.chats)
    assert 0 < paid <= 30_000_000


def test_no_text_is_kept_where_none_is_to_be(at_terminal, profile, shown, home):
    for keep in ("features", "money"):
        path = profile(small="ok", large="echo", extra=f'[log]\nkeep = "{keep}"\n')
        at_terminal("duel", "-p", path, "x", typed=f"1 {CANARY}\n\n")
        assert [row["why"] for row in shown()] == [None] * len(shown())
        assert (shown()[-1]["prompt_key"] is None) == (keep == "money")
        assert not any(CANARY.encode() in file.read_bytes() for file in home.glob("scrimp.db*"))


def test_forgetting_forgets_the_duel(at_terminal, scrimp, profile, shown):
    at_terminal("duel", "-p", profile(small="ok", large="echo"), "x", typed="1 a reason\n\n")
    (duel,) = shown()
    assert scrimp("log", "rm", duel["right_request"], "--yes").code == 0
    assert shown() == []


# ---- a process of its own, on a real terminal


class Session:
    """`scrimp duel` on a pseudo-terminal of its own."""

    def __init__(self, home, *argv, columns=100):
        self.leader, follower = pty.openpty()
        self.process = subprocess.Popen(
            [*SCRIMP, "duel", *map(str, argv)],
            stdin=follower, stdout=follower, stderr=follower, start_new_session=True,
            env=environment(home, TERM="xterm", COLUMNS=str(columns)),
        )  # fmt: skip
        os.close(follower)
        self.text = ""

    def until(self, words, seconds=60):
        deadline = time.monotonic() + seconds
        while words not in self.text and time.monotonic() < deadline:
            if select.select([self.leader], [], [], 0.2)[0]:
                try:
                    data = os.read(self.leader, 65_536)
                except OSError:
                    break
                self.text += data.decode()
        assert words in self.text, self.text

    def type(self, line):
        os.write(self.leader, f"{line}\n".encode())

    def end(self):
        code = self.process.wait(60)
        while select.select([self.leader], [], [], 0.2)[0]:
            try:
                self.text += os.read(self.leader, 65_536).decode()
            except OSError:
                break
        os.close(self.leader)
        return code


@pytest.mark.parametrize("columns", [100, 60])
def test_both_are_shown_when_both_are_there(home, profile, columns):
    """Side by side, or on a narrow terminal one under the other; neither before the slower one has come."""
    path = profile(small="say@text=the_quick_one", large="say@text=the_slow_one,latency_ms=1500")
    session = Session(home, "-p", path, "what is it?", columns=columns)
    session.until("answer 2")
    session.until("good: 1, 2")
    lines = session.text.splitlines()
    together = any("the quick one" in line and "the slow one" in line for line in lines)
    assert together == (columns == 100)
    assert "small" not in session.text
    session.type("1")
    session.until("Enter ends")
    session.type("")
    assert session.end() == 0
    assert "1 duel judged" in session.text


def test_escapes_of_a_model_do_not_reach_the_screen(home, profile):
    session = Session(home, "-p", profile(small="escape", large="escape"), "x")
    session.until("good: 1, 2")
    drawn = session.text.replace("\x1b[1m", "").replace("\x1b[0m", "").replace("\r\x1b[K", "")
    assert "before" in drawn
    assert not {"\x1b", "\x07", "\u202e"} & set(drawn)
    session.type("q")
    assert session.end() == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_while_both_are_asked(home, scrimp, profile, server, shown, number):
    """What may have been paid stays on record; there is no duel, and no label."""
    path = profile(small="hang-headers@hang_s=30", large="hang-headers@hang_s=30")
    session = Session(home, "-p", path, "x")
    deadline = time.monotonic() + 60
    while len(server.chats) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    session.process.send_signal(number)
    assert session.end() == 128 + number, session.text
    assert "Traceback" not in session.text
    rows = json.loads(scrimp("log", "--json").out)["rows"]
    assert [(row["status"], row["command"]) for row in rows] == [("interrupted", "duel")] * 2
    (spent,) = json.loads(scrimp("spend", "--json", "-p", path).out)["rows"]
    assert spent["n_calls"] == 2
    assert spent["unverified_usd"] > 0
    assert shown() == []


def test_ctrl_c_at_the_question(home, profile, server, shown):
    session = Session(home, "-p", profile(small="ok", large="echo"), "x")
    session.until("good: 1, 2")
    session.process.send_signal(signal.SIGINT)
    assert session.end() == 130
    (duel,) = shown()
    assert (duel["verdict"], duel["labels"]) == (None, [])


# ---- the report


def test_what_duels_say(at_terminal, scrimp, profile, tmp_path):
    done = scrimp("report", "--duels")
    assert (done.code, "no duel" in done.out) == (0, True)
    path = profile(small="say@text=worse", large="say@text=better")
    file = tmp_path / "prompts.txt"
    file.write_text("".join(f"prompt {n}\n" for n in range(12)))
    for n in range(12):
        prompt = f"prompt {n}"
        # Typed blind it cannot be: whoever wins is read off the screen of a first duel that is not judged.
        code, out, _ = at_terminal("duel", "-p", path, "--seed", str(n), prompt, typed="s\n")
        key = "1" if out.index("better") < out.index("worse") else "2"
        code, _, err = at_terminal("duel", "-p", path, "--seed", str(n), prompt, typed=f"{key}\n\n")
        assert code == 0, err
    data = json.loads(scrimp("report", "--duels", "--json").out)
    first, second = data["strengths"]
    assert (first["arm"], first["won"], second["lost"], data["n"]) == ("large", 12, 12, 12)
    assert first["low"] < first["strength"] < first["high"]
    assert first["low"] > 0
    assert first["above_next"] > 0.98
    assert second["above_next"] is None
    assert first["usd_per_answer"] > second["usd_per_answer"] > 0
    assert (first["input_usd_per_mtok"], first["output_usd_per_mtok"]) == (10.0, 40.0)
    assert data["side"]["low"] < 0 < data["side"]["high"]
    text = scrimp("report", "--duels", "-p", "test").out
    assert "12 duels judged" in text
    assert "no kind of prompt has 30 duels yet" in text
    assert json.loads(scrimp("report", "--duels", "--json", "-p", "other").out)["n"] == 0


def test_an_audit_has_the_same_screen(at_terminal, scrimp, profile):
    path = profile(small="say@text=a_small_answer", large="say@text=a_large_answer")
    asked = [json.loads(scrimp("ask", "--json", "-p", path, "-m", "small", f"question {n}").out) for n in range(3)]
    code, out, err = at_terminal(
        "learn",
        "audit",
        "--max-cost",
        "0.5",
        "-m",
        "large",
        "-p",
        path,
        "--seed",
        "3",
        typed="1 no reason here\n1\nq\n",
    )
    assert code == 0, err
    assert err.count("not understood") == 1
    assert "stopped: as you said" in err
    assert "2 labels" in err
    labels = {}
    for each in asked:
        shown = json.loads(scrimp("log", "show", each["id"], "--json").out)
        labels |= {label["arm"]: label["reward"] for label in shown["labels"]}
    first = out.index("a small answer") < out.index("a large answer")
    assert labels["small"] == float(first)
