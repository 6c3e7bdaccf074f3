"""The kinds of plans from the command line: `ask`, its money, its log; what is shown, and what is forgotten."""

import contextlib
import json
import sqlite3
import time

import pytest

from scrimp.routing.ledger.packing import unpack

QUESTION = "How many regions do 9 chords cut a disc into?"
KINDS = {
    "merge": (
        "small + medium => large",
        {"small": ["It is 41"], "medium": ["It is 42"], "large": ["It is 43"]},
        ["ask small", "ask medium", "merge large"],
        "It is 43",
    ),
    "refine": (
        "small => large",
        {"small": ["It is 41"], "large": ["Off by one.", "It is 42"]},
        ["ask small", "feedback large", "merge large"],
        "It is 42",
    ),
    "lead": (
        "large leads small + medium",
        {"small": ["Forty-two."], "large": ['<ask arm="small">9 chords?</ask>', "<answer>It is 42</answer>"]},
        ["lead large", "work small", "lead large"],
        "It is 42",
    ),
    "bid": (
        "small + medium bid",
        {"small": ["Count them.", "A: 7; B: 7"], "medium": ["Use a formula.", "A: 7; B: 7", "It is 42"]},
        ["bid small", "bid medium", "judge small", "judge medium", "ask medium"],
        "It is 42",
    ),
    "knockout": (
        "small + medium knockout large",
        {"small": ["It is 41"], "medium": ["It is 42"], "large": ["A"]},
        ["ask small", "ask medium", "drop large"],
        None,
    ),
}


def tell(server, says):
    """Tell the server what each arm says, in order."""
    for arm, texts in says.items():
        server.script([f"say@text={text.replace(' ', '_')}" for text in texts], model=arm)


def billed(server):
    """Return what the server's calls cost at the arms' prices, in nano-USD."""
    prices = {"small": (1, 4), "medium": (3, 12), "large": (10, 40)}
    counts = [(prices[chat.model], chat.input_tokens, chat.output_tokens) for chat in server.chats]
    return sum(1000 * (price_in * n_in + price_out * n_out) for (price_in, price_out), n_in, n_out in counts)


@pytest.fixture
def arms(profile):
    """Write a profile whose models are called as its arms are."""

    def write(**more):
        return profile(small="small", medium="medium", large="large", **{"caps": "per_day_usd = 20", **more})

    return write


def steps(rows):
    return [f"{row['kind']} {row['arm']}" for row in rows]


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_runs_and_is_on_record(scrimp, arms, server, kind):
    plan, says, expected, answer = KINDS[kind]
    tell(server, says)
    done = scrimp("ask", "--json", "-p", arms(), "--plan", plan, QUESTION)
    assert done.code == 0, done.err
    data = json.loads(done.out)
    assert steps(data["steps"]) == expected
    if answer is not None:
        assert data["answer"] == answer
    assert sum(step["taken"] for step in data["steps"]) == 1
    assert round(data["total_charged_usd"] * 1e9) == billed(server)
    row = json.loads(scrimp("log", "show", "last", "--json").out)
    assert row["answer"] == data["answer"]
    assert steps(row["steps"]) == expected
    for step in row["steps"]:
        own = step["kind"] != "ask" or kind == "bid"
        assert (step["asked"] is not None, step["asked_sha256"] is not None) == (own, own)
        assert not own or any(chat.prompt.endswith(step["asked"]) for chat in server.chats)
    text = scrimp("log", "show", "last").out
    for word, of in (each.split() for each in expected):
        assert word in text
        assert of in text


def test_what_no_text_is_kept_of_keeps_none_of_it(scrimp, arms, server, home):
    plan, says, *_ = KINDS["lead"]
    for keep in ("features", "money"):
        server.reset()
        tell(server, says)
        path = arms(extra=f'[log]\nkeep = "{keep}"\n')
        assert scrimp("ask", "-p", path, "--plan", plan, QUESTION).code == 0
    with contextlib.closing(sqlite3.connect(home / "scrimp.db")) as db:
        rows = db.execute("SELECT asked, asked_sha256 IS NOT NULL, answer FROM steps ORDER BY id").fetchall()
    assert rows == [(None, 1, None)] * 3
    marks = (b"9 chords", b"Forty", b"It is 42")
    assert not [path for path in home.rglob("*") if path.is_file() and any(mark in path.read_bytes() for mark in marks)]


def test_forgetting_a_request_forgets_what_its_steps_were_asked(scrimp, arms, server, home):
    plan, says, *_ = KINDS["merge"]
    tell(server, says)
    answer = json.loads(scrimp("ask", "--json", "-p", arms(), "--plan", plan, QUESTION).out)
    assert scrimp("log", "rm", answer["id"], "--yes").code == 0
    with contextlib.closing(sqlite3.connect(home / "scrimp.db")) as db:
        assert db.execute("SELECT count(*) FROM steps").fetchone() == (0,)
    assert scrimp("log", "purge", "--yes").code == 0
    assert b"Others have answered this" not in (home / "scrimp.db").read_bytes()


def test_a_planner_without_an_answer_is_a_clear_failure(scrimp, arms, server):
    tell(server, {"large": ["<answer></answer>"]})
    done = scrimp("ask", "-p", arms(), "--plan", "large leads small", QUESTION)
    assert (done.code, done.out) == (5, "")
    assert "no answer: large, which led, gave no answer" in done.err
    assert "Traceback" not in done.err


def test_a_label_on_a_merged_answer_says_nothing_of_what_its_arm_does_alone(scrimp, arms, server, home):
    from scrimp.routing.ledger.labels import labels_of_profile
    from scrimp.routing.ledger.store import open_ledger

    plan, says, *_ = KINDS["merge"]
    tell(server, says)
    path = arms()
    assert scrimp("ask", "-p", path, "--plan", plan, "--check", "number:43", QUESTION).code == 0
    row = json.loads(scrimp("log", "show", "last", "--json").out)
    assert [(label["arm"], label["reward"]) for label in row["labels"]] == [("large", 1.0)]
    server.reset()
    tell(server, {"small": ["It is 43"]})
    assert scrimp("ask", "-p", path, "-m", "small", "--check", "number:43", QUESTION).code == 0
    with open_ledger(home / "scrimp.db") as ledger:
        assert [label["arm"] for label in labels_of_profile(ledger, "test")] == ["small"]


def test_a_plan_is_told_in_plain_words(scrimp, arms, server):
    told = {
        "small + medium => large => medium": "ask small and medium, have large, then medium write one answer from that",
        "large leads small + medium": "large answers, and may first ask small and medium what it likes",
        "small + medium bid": "ask small and medium for a short plan each, have the best one for its price carried out",
        "small + medium knockout large": "ask small and medium, have large drop the worst until one is left",
    }
    for plan, words in told.items():
        done = scrimp("ask", "--dry-run", "-x", "-p", arms(), "--plan", plan, QUESTION)
        assert done.code == 0, done.err
        assert words in " ".join((done.out + done.err).split())
    assert server.chats == []


@pytest.mark.parametrize(
    ("kind", "nth", "stands"),
    [
        ("merge", 1, "It is 41"),
        ("merge", 2, "It is 42"),
        ("refine", 1, "It is 41"),
        ("refine", 2, "It is 41"),
        ("lead", 1, None),
        ("lead", 2, "Forty-two."),
        ("bid", 1, None),
        ("bid", 4, None),
        ("knockout", 1, "It is 41"),
        ("knockout", 2, "It is 42"),
    ],
)
def test_a_cap_that_is_lowered_in_the_middle_leaves_what_was_got(scrimp, arms, server, home, kind, nth, stands):
    from scrimp.routing.ledger.caps import set_shared_cap
    from scrimp.routing.ledger.store import open_ledger

    plan, says, *_ = KINDS[kind]
    tell(server, says)

    def lower(n):
        if n == nth:
            with open_ledger(home / "scrimp.db") as ledger:
                set_shared_cap(ledger, "shared:day", 1, now=time.time())

    server.on_chat = lower
    done = scrimp("ask", "-p", arms(), "--plan", plan, QUESTION)
    assert len(server.chats) == nth
    assert (done.code, done.out) == ((3, "") if stands is None else (0, f"{stands}\n")), done.err
    assert ("the plan ended early" in done.err) == (stands is not None)
    row = json.loads(scrimp("log", "show", "last", "--json").out)
    assert [step["outcome"] for step in row["steps"]][: nth + 1] == ["answered"] * nth + ["refused"]
    assert sum(attempt["charged_nano"] for attempt in row["attempts"]) == billed(server)


def test_a_file_of_all_kinds_comes_to_what_the_server_bills(scrimp, arms, server, home, tmp_path):
    tell(server, {arm: ["A: 5; B: 5"] for arm in ("small", "medium", "large")})
    plans = [plan for plan, *_ in KINDS.values()]
    rows = [{"id": f"r{n}", "prompt": f"{QUESTION} ({n})", "plan": plans[n % len(plans)]} for n in range(15)]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = scrimp("batch", path, "-o", tmp_path / "out.jsonl", "-p", arms(caps="per_day_usd = 100"), "-j", "4")
    assert done.code == 0, done.err
    out = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert {row["id"]: row["status"] for row in out} == {row["id"]: "ok" for row in rows}
    with contextlib.closing(sqlite3.connect(home / "scrimp.db")) as db:
        (charged,) = db.execute("SELECT sum(charged_nano) FROM reservations").fetchone()
        (n_taken,) = db.execute("SELECT count(*) FROM steps WHERE taken = 1").fetchone()
        traces = [unpack(trace) for (trace,) in db.execute("SELECT decision FROM requests")]
        kept = [trace for trace in traces if '"bids"' in trace]
    assert (charged, n_taken, len(kept)) == (billed(server), 15, 3)
