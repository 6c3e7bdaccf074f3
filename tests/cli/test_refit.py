"""Learning from the command line: imports, status, refits, versions, replay; and data that cannot teach."""

import fcntl
import json
import os
import sqlite3

import numpy as np
import pytest

from scrimp.routing.ledger.store import instant, open_ledger
from scrimp.routing.router.in_force import SHIPPED, load_router, shipped_folder
from scrimp.routing.router.learned import ArmLayer
from scrimp.routing.router.versions import write_version

ARMS = ("small", "large")
HARD = "Prove that every group of order p^2 q is solvable, and classify all of them up to isomorphism"


@pytest.fixture(scope="module")
def shipped(tmp_path_factory):
    return load_router(SHIPPED, tmp_path_factory.mktemp("routers"))


@pytest.fixture
def fill(home, shipped):
    """Write prompts with outcomes of both arms into the log, as an import does, without embedding anything."""

    def write(
        n, *, quality=(0.9, 0.9), arms=ARMS, source="import", seed=0, embedder=None, at=1.7e9, step=1.0, text=None
    ):
        rng = np.random.default_rng(seed)
        marks = shipped.weights.landmarks
        x = marks[rng.integers(0, len(marks), n)] + 0.02 * rng.normal(size=(n, marks.shape[1]))
        x = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype("<f4")
        surface = json.dumps([round(float(v), 4) for v in shipped.weights.surface_mean])
        right = (rng.random((n, len(arms))) < np.array(quality)[: len(arms)]).astype(float)
        with open_ledger(home / "scrimp.db") as ledger, ledger.transaction():
            for i in range(n):
                key = f"x{seed}{i:024d}"[:26]
                ledger.insert(
                    "requests",
                    {"id": key, "created_at": instant(at + step * i), "command": "ask" if source != "import" else source,
                     "profile": "test", "status": "ok", "arm": arms[0], "embedding": x[i].tobytes(), "surface": surface,
                     "embedder_id": embedder or shipped.embedder_id, "prompt": text},
                )  # fmt: skip
                for a, arm in enumerate(arms):
                    ledger.insert(
                        "labels",
                        {"request_id": key, "arm": arm, "reward": right[i, a], "source": source, "at": instant(at)},
                    )

    return write


def refit(scrimp, path, *argv):
    done = scrimp("refit", "--json", "-p", path, *argv)
    assert done.code == 0, done.err
    return json.loads(done.out)


def current(scrimp):
    return next(
        each["name"] for each in json.loads(scrimp("router", "list", "--json").out)["versions"] if each["current"]
    )


def test_the_loop(scrimp, profile, fill):
    """Outcomes in, a better router in force, shown, compared, undone."""
    path = profile(small="ok", large="ok", extra="[policy]\nwtp_usd = 0.002\n")
    fill(900, quality=(0.9, 0.5))
    status = json.loads(scrimp("learn", "status", "--json", "-p", path).out)
    assert status["n_labels"] == 1800
    assert [each["n_judges"] for each in status["arms"]] == [900, 900]
    assert sum(each["n"] for each in status["clusters"]) == 900
    data = refit(scrimp, path)
    assert data["verdict"] in ("promoted", "no-change"), data["reasons"]
    assert set(data) >= {"schema_version", "verdict", "reasons", "n_labels", "version", "gain_utility", "certificate"}
    assert set(data["gain_utility"]) >= {"estimate", "low", "high"}
    assert set(status["certificate"]) >= {"status", "n", "n_wrong", "at_most"}
    assert data["certificate"]["by_kind"] == {}, "nothing goes to an arm cheaper than the best"
    route = json.loads(scrimp("route", "--json", "-p", path, "Name a colour of the sky").out)
    assert -1 <= route["similarity"] <= 1
    shown = scrimp("route", "-x", "-p", path, "Name a colour of the sky").out
    assert f"similarity {route['similarity']:.2f} to the nearest training prompt" in shown
    assert data["n_labels"] == 1800


def test_what_cheaper_arms_lose_is_certified_by_kind(scrimp, profile, fill):
    path = profile(small="ok", large="ok", extra="[policy]\nwtp_usd = 0.0005\n")
    fill(400, quality=(0.9, 0.97))
    data = refit(scrimp, path)["certificate"]
    assert data["best_arm"] == "large"
    kinds = data["by_kind"].values()
    assert sum(each["n_sent"] for each in kinds) == data["n_sent"] > 0
    assert sum(each["n_wrong"] for each in kinds) == data["n_wrong"] > 0
    assert all(set(each) >= {"status", "n", "n_wrong", "at_most", "confidence", "text"} for each in kinds)
    status = json.loads(scrimp("learn", "status", "--json", "-p", path).out)["certificate"]
    assert set(status["by_kind"]) == set(data["by_kind"])
    for command in (("learn", "status"), ("refit",)):
        assert "kind of prompt\tsent cheaper\tboth known\tlost\tat most" in scrimp(*command, "-p", path).out


def test_promotion_show_diff_replay_and_rollback(scrimp, profile, fill):
    path = profile(small="ok", large="ok", extra="[policy]\nwtp_usd = 0.1\n")
    fill(1000, quality=(0.92, 0.55))
    data = refit(scrimp, path)
    assert data["verdict"] == "promoted", data["reasons"]
    assert data["gain_utility"]["low"] > 0
    assert data["version"] == current(scrimp) == "r0001"
    shown = json.loads(scrimp("router", "show", "--json").out)
    assert shown["verdict"]["verdict"] == "promoted"
    assert shown["card"]["layers"]
    assert "in force" in scrimp("router", "show").out
    diff = json.loads(scrimp("router", "diff", "shipped", "r0001", "--json", "-p", path).out)
    assert diff["n_changed"] > 0
    replayed = json.loads(scrimp("replay", "--router", "shipped", "--json", "-p", path).out)
    assert replayed["n"] == 1000
    route = json.loads(scrimp("route", "--json", "-p", path, "name a colour").out)
    assert route["router_version"] == "r0001"
    again = refit(scrimp, path)
    assert again["verdict"] in ("refused", "no-change")
    assert scrimp("router", "rollback").code == 0
    assert current(scrimp) == "shipped"
    back = refit(scrimp, path)
    assert (back["verdict"], back["tested"]) == ("refused", False)
    assert "too little is new since the last test" in back["reasons"][0], "the outcomes may judge again, but have"
    assert scrimp("router", "rollback").code == 2
    assert scrimp("router", "promote", "r0001").code == 0
    assert current(scrimp) == "r0001"


def test_quiet_says_one_line_on_change_and_nothing_else(scrimp, profile, fill):
    path = profile(small="ok", large="ok")
    assert scrimp("refit", "-q", "-p", path) == type(scrimp("--version"))(0, "", "")
    fill(1000, quality=(0.92, 0.55))
    done = scrimp("refit", "-q", "-p", path)
    assert (done.code, done.out) == (0, "")
    assert done.err.count("\n") == 1
    assert "r0001 is in force" in done.err


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("empty log", "no labels"),
        ("one label", "1 labelled prompt is too few"),
        ("all good", "labels are good"),
        ("ratings only", "ratings or redos"),
        ("another embedder", "another embedder"),
        ("clock went back", "the clock went back"),
        ("contradictions", "contradict"),
    ],
)
def test_bad_data_is_told_and_changes_nothing(scrimp, profile, fill, home, case, message):
    path = profile(small="ok", large="ok")
    if case == "one label":
        fill(1, arms=("small",))
    elif case == "all good":
        fill(60, quality=(1.0, 1.0))
    elif case == "ratings only":
        fill(60, source="rating", quality=(0.5, 0.5))
    elif case == "another embedder":
        fill(60, embedder="someone-elses@1234")
    elif case == "clock went back":
        fill(60, step=-3600.0)
    elif case == "contradictions":
        fill(60, quality=(1.0, 1.0))
        with open_ledger(home / "scrimp.db") as ledger, ledger.transaction() as conn:
            conn.execute(
                "INSERT INTO labels (request_id, arm, reward, source, at) "
                "SELECT request_id, arm, 0.0, 'import', at FROM labels WHERE arm = 'small'"
            )
    data = refit(scrimp, path)
    assert data["verdict"] != "promoted"
    assert message in " ".join([*data["reasons"], *data["notes"]])
    assert current(scrimp) == data["version"] == "shipped"


def test_error_is_spent_over_refits_and_the_outcomes_count_again(scrimp, profile, fill):
    """Arms that are alike: every test finds nothing, each on all that the log holds."""
    path = profile(small="ok", large="ok", extra="[policy]\nwtp_usd = 0.1\n")
    spent, judged, n_tests = [0.0], [0], 0
    for week in range(3):
        fill(300, quality=(0.7, 0.7), seed=4 + week, at=1.7e9 + 1e6 * week)
        data = refit(scrimp, path)
        assert data["verdict"] == "refused", data["reasons"]
        assert data["against"] == "shipped"
        n_tests += data["tested"]
        spent.append(data["spent"])
        judged.append(data["n_judged"])
        assert sum(block["n_judged"] for block in data["blocks"]) == data["n_judged"] == 300 * (week + 1) - 100
    assert n_tests >= 2, "a test a refit, once there is enough"
    assert spent == sorted(spent)
    assert 0.0 < spent[-1] < 0.05
    assert json.loads(scrimp("learn", "status", "--json", "-p", path).out)["n_tests"] == n_tests
    again = refit(scrimp, path)
    assert (again["verdict"], again["tested"], again["spent"]) == ("refused", False, spent[-1])


def test_one_arm(scrimp, profile, fill):
    path = profile(small="ok")
    fill(60, arms=("small",))
    data = refit(scrimp, path)
    assert (data["verdict"], data["version"]) == ("no-change", "shipped")
    assert "one arm" in data["reasons"][0]


def test_a_corrupt_version_in_force_is_told_and_left(scrimp, profile, fill, home):
    path = profile(small="ok", large="ok")
    fill(1000, quality=(0.92, 0.55))
    assert refit(scrimp, path)["verdict"] == "promoted"
    (home / "routers" / "r0001" / "router.npz").write_bytes(b"not an array")
    data = refit(scrimp, path)
    assert data["verdict"] == "refused"
    assert "cannot be read" in data["reasons"][0]
    assert (home / "routers" / "current").read_text().strip() == "r0001"
    assert "checksum" in scrimp("router", "list").out
    assert scrimp("router", "show").code == 0
    assert scrimp("router", "rollback").code == 0
    assert current(scrimp) == "shipped"


def test_a_clock_that_went_back_by_years_leaves_the_router(scrimp, profile, fill):
    """What came later cannot be told: nothing is judged, however good the new router looks."""
    path = profile(small="ok", large="ok")
    fill(600, quality=(0.92, 0.55))
    fill(400, quality=(0.92, 0.55), seed=1, at=1.4e9)
    data = refit(scrimp, path)
    assert (data["verdict"], data["tested"], current(scrimp)) == ("refused", False, "shipped")
    assert data["reasons"][0].startswith("the clock went back: by their dates 44% of the 900 prompts")
    assert "further labels" in data["reasons"][1]


def test_a_damaged_name_of_the_router_in_force_is_told(scrimp, profile, home):
    path = profile(small="ok", large="ok")
    (home / "routers").mkdir(parents=True)
    (home / "routers" / "current").write_bytes(b"\x00\xff../")
    done = scrimp("refit", "-p", path)
    assert "cannot be read" in done.out
    assert "there is no such folder; the shipped router is used" in done.err
    assert "no such folder" in scrimp("router", "list").out
    assert scrimp("router", "rollback").code == 0
    assert current(scrimp) == "shipped"


def test_two_refits_at_once_give_one_75(scrimp, profile, home):
    path = profile(small="ok", large="ok")
    (home / "routers").mkdir(parents=True)
    handle = os.open(home / "routers" / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(handle, fcntl.LOCK_EX)
    done = scrimp("refit", "-p", path)
    assert done.code == 75
    assert "another refit" in done.err
    os.close(handle)
    assert scrimp("refit", "-p", path).code == 0


def test_force_is_logged_and_shows_in_the_list(scrimp, profile, fill):
    path = profile(small="ok", large="ok")
    fill(60, quality=(0.6, 0.6))
    data = refit(scrimp, path, "--force")
    assert (data["verdict"], data["forced"]) == ("promoted", True)
    assert "FORCED" in scrimp("router", "list").out


def outcome_file(folder, n, *, names=("small", "large"), score=1.0):
    path = folder / "outcomes.jsonl"
    rows = [
        {"id": f"q{i}", "source": "s", "prompt": f"What is {i} plus {i}?",
         "models": {name: {"score": score, "input_tokens": 9, "output_tokens": 5, "cost_usd": 0.001} for name in names}}
        for i in range(n)
    ]  # fmt: skip
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_import_matches_arms_then_models_and_does_not_double(scrimp, profile, tmp_path, home):
    path = profile(small="ok", large="echo")
    file = outcome_file(tmp_path, 5, names=("small", "openai/echo", "nobody"))
    done = json.loads(scrimp("learn", "import", file, "-p", path, "--json").out)
    assert done["matched"] == {"small": "small", "openai/echo": "large"}
    assert done["unmatched"] == ["nobody"]
    assert (done["n_prompts"], done["n_new"], done["n_labels"]) == (5, 5, 10)
    again = json.loads(scrimp("learn", "import", file, "-p", path, "--json").out)
    assert (again["n_new"], again["n_labels"]) == (0, 0)
    changed = json.loads(scrimp("learn", "import", outcome_file(tmp_path, 5, score=0.0), "-p", path, "--json").out)
    assert (changed["n_new"], changed["n_labels"]) == (0, 10)
    assert json.loads(scrimp("log", "--json").out)["rows"] == [], "what was imported was not asked"
    assert json.loads(scrimp("spend", "--json", "-p", path).out)["rows"] == [], "and cost nothing here"
    assert scrimp("log", "purge", "--yes").code == 0
    assert json.loads(scrimp("learn", "status", "--json", "-p", path).out)["n_prompts"] == 0


def test_imports_that_cannot_be_read_write_nothing(scrimp, profile, tmp_path):
    path = profile(small="ok", large="ok")
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"id": "a", "prompt": "x", "models": {"small": {"score": 1}}}\n{"id": "b", "prompt": "y"}\n')
    done = scrimp("learn", "import", bad, "-p", path)
    assert done.code == 78
    assert "bad.jsonl:2" in done.err
    assert json.loads(scrimp("learn", "status", "--json", "-p", path).out)["n_prompts"] == 0
    assert scrimp("learn", "import", tmp_path / "none", "-p", path).code == 2
    stranger = scrimp("learn", "import", outcome_file(tmp_path, 1, names=("nobody",)), "-p", path)
    assert stranger.code == 2
    assert "nobody" in stranger.err


def test_the_log_of_llm(scrimp, profile, tmp_path):
    path = profile(small="ok", large="echo")
    file = tmp_path / "logs.db"
    with sqlite3.connect(file) as conn:
        conn.execute(
            "CREATE TABLE responses (id TEXT, model TEXT, prompt TEXT, system TEXT, response TEXT, "
            "datetime_utc TEXT, input_tokens INTEGER, output_tokens INTEGER)"
        )
        conn.execute("INSERT INTO responses VALUES ('1', 'ok', 'name a fruit', NULL, 'apple', '2026-01-01', 5, 1)")
        conn.execute("INSERT INTO responses VALUES ('2', 'other', 'name a tree', NULL, 'oak', '2026-01-02', 5, 1)")
    conn.close()
    done = json.loads(scrimp("learn", "import", file, "-p", path, "--json").out)
    assert (done["kind"], done["n_new"], done["n_labels"], done["unmatched"]) == ("llm log", 1, 0, ["other"])
    (worth,) = json.loads(scrimp("learn", "status", "--json", "-p", path).out)["worth_labelling"]
    assert worth["prompt"] == "name a fruit"
    assert scrimp("rate", worth["id"], "good").code == 0
    (tmp_path / "no.db").write_bytes(b"SQLite format 3\x00 broken")
    assert scrimp("learn", "import", tmp_path / "no.db", "-p", path).code == 78


LLM_0_36 = """
CREATE TABLE "responses" ("id" TEXT PRIMARY KEY, "model" TEXT, "prompt" TEXT, "system" TEXT, "response" TEXT,
    "datetime_utc" TEXT, "input_tokens" INTEGER, "output_tokens" INTEGER);
CREATE TABLE "fragments" ("id" INTEGER PRIMARY KEY, "hash" TEXT, "content" TEXT);
CREATE TABLE "prompt_fragments" ("response_id" TEXT, "fragment_id" INTEGER, "order" INTEGER);
CREATE TABLE "messages" ("hash" TEXT PRIMARY KEY, "parent_hash" TEXT, "role" TEXT, "provider_metadata" TEXT);
CREATE TABLE "parts" ("id" INTEGER PRIMARY KEY, "message_hash" TEXT, "position" INTEGER, "type" TEXT,
    "tool_name" TEXT, "text" TEXT, "payload" TEXT);
CREATE TABLE "turns" ("id" TEXT PRIMARY KEY, "thread_id" TEXT, "parent_message_hash" TEXT, "tip_message_hash" TEXT,
    "model" TEXT, "input_tokens" INTEGER, "output_tokens" INTEGER, "datetime_utc" TEXT);
INSERT INTO responses VALUES ('a1', 'ok', 'and this?', NULL, 'old answer', '2025-01-02T00:00:00+00:00', 4, 2);
INSERT INTO responses VALUES ('t1', 'ok', 'name a fruit', NULL, 'apple', '2026-01-01T00:00:00+00:00', 5, 1);
INSERT INTO fragments VALUES (1, 'h', 'a page of a book');
INSERT INTO prompt_fragments VALUES ('a1', 1, 0);
INSERT INTO messages VALUES ('m0', NULL, 'system', NULL), ('m1', 'm0', 'user', NULL), ('m2', 'm1', 'assistant', NULL),
    ('m3', 'm2', 'user', NULL), ('m4', 'm3', 'assistant', NULL), ('m5', 'm4', 'tool', NULL), ('m6', NULL, 'user', NULL);
INSERT INTO parts VALUES (1, 'm0', 0, 'text', NULL, 'be brief', NULL), (2, 'm1', 0, 'text', NULL, 'name a fruit', NULL),
    (3, 'm2', 0, 'text', NULL, 'apple', NULL), (5, 'm4', 0, 'text', NULL, 'a summary', NULL),
    (4, 'm3', 0, 'text', NULL, NULL, '{"text_ref": [{"fragment": 1}, {"literal": "\\nsum it up"}]}'),
    (6, 'm5', 0, 'tool_result', 'f', NULL, '{}'), (7, 'm6', 0, 'text', NULL, 'what is this', NULL),
    (8, 'm6', 1, 'attachment', NULL, NULL, '{}');
INSERT INTO turns VALUES ('t1', 'x', 'm1', 'm2', 'ok', 5, 1, '2026-01-01T00:00:00+00:00'),
    ('t2', 'x', 'm3', 'm4', 'ok', 9, 3, '2026-01-02T00:00:00+00:00'),
    ('t3', 'x', 'm5', 'm4', 'ok', 9, 3, '2026-01-03T00:00:00+00:00'),
    ('t4', 'x', 'm6', 'm4', 'ok', 9, 3, '2026-01-04T00:00:00+00:00');
"""
"""The tables that the log of llm 0.36 holds, as far as they are read, and one log that lived through both formats."""


def test_the_log_of_a_newer_llm(scrimp, profile, tmp_path):
    from scrimp.routing.learn.data.llm_log import read_llm_log

    file = tmp_path / "logs.db"
    with sqlite3.connect(file) as conn:
        conn.executescript(LLM_0_36)
    conn.close()
    turns = read_llm_log(file)
    assert [turn.prompt for turn in turns] == [
        "a page of a book\nand this?", "name a fruit", "a page of a book\nsum it up",
    ], "oldest first; none twice; no tools, no attachments"  # fmt: skip
    assert [turn.system for turn in turns] == [None, "be brief", "be brief"]
    assert [turn.answer for turn in turns] == ["old answer", "apple", "a summary"]
    done = json.loads(scrimp("learn", "import", file, "-p", profile(small="ok", large="echo"), "--json").out)
    assert (done["kind"], done["n_new"], done["matched"]) == ("llm log", 3, {"ok": "small"})


def test_an_audit_asks_the_best_arm_and_labels_both(scrimp, profile, server):
    path = profile(small="ok", large="echo")
    for text in ("first question", "second question", "third question"):
        assert scrimp("ask", "-p", path, "-m", "small", text).code == 0
    before = len(server.chats)
    done = scrimp(
        "learn", "audit", "--max-cost", "0.50", "-n", "2", "--check", "re:question", "-m", "large", "-p", path, "--json"
    )
    assert done.code == 0, done.err
    audit = json.loads(done.out)
    assert (audit["n_pool"], audit["n_asked"], audit["n_labelled"], audit["n_lost"]) == (3, 2, 4, 2)
    assert len(server.chats) == before + 2
    assert 0 < audit["charged_usd"] <= 0.5
    status = json.loads(scrimp("learn", "status", "--json", "-p", path).out)
    assert status["sources"] == {"audit": 4}
    assert [each["n_judges"] for each in status["arms"]] == [2, 2]
    rest = json.loads(scrimp("learn", "audit", "--max-cost", "0.5", "-m", "large", "-p", path, "--json").out)
    assert rest["n_pool"] == 1, "what was audited is not drawn again"
    assert json.loads(scrimp("learn", "status", "--json", "-p", path).out)["sources"]["agreement"] == 1


def test_answers_that_come_to_the_same_agree_in_an_audit(scrimp, profile):
    path = profile(small="say@text=42", large="say@text=The_answer_is_42.", other="say@text=43")
    for best, reward in (("large", 1.0), ("other", 0.0)):
        asked = json.loads(scrimp("ask", "--json", "-p", path, "-m", "small", "6 x 7?").out)
        done = scrimp("learn", "audit", "--max-cost", "0.5", "-n", "1", "-m", best, "-p", path, "--json")
        assert json.loads(done.out)["n_labelled"] == 1, done.err
        (label,) = json.loads(scrimp("log", "show", asked["id"], "--json").out)["labels"]
        assert (label["source"], label["reward"], label["note"]) == ("agreement", reward, f"with {best}")


def test_an_audit_asks_the_arm_that_the_router_in_force_holds_for_best(scrimp, profile, home, shipped):
    path = profile(small="ok", large="echo")
    for arm in ("small", "large"):
        assert scrimp("ask", "-p", path, "-m", arm, f"a question to {arm}").code == 0

    def audited():
        done = scrimp("learn", "audit", "--max-cost", "0", "-p", path, "--json")
        assert done.code == 0, done.err
        found = json.loads(done.out)
        return found["arm"], found["n_pool"]

    assert audited() == ("large", 1)
    layer = ArmLayer(np.append(np.zeros(len(shipped.weights.tokens) - 1), 6.0), 100, 0.1, calibrated=True)
    write_version(home / "routers", shipped.with_layers({"small": layer}, "mine"), {})
    assert audited() == ("large", 1), "made, and not in force"
    assert scrimp("router", "promote", "mine").code == 0
    assert audited() == ("small", 1), "what was logged was decided by the router before"
    assert scrimp("router", "rollback").code == 0
    assert audited() == ("large", 1)


def test_an_audit_of_an_empty_log_or_by_no_arm(scrimp, profile):
    path = profile(small="ok", large="ok")
    done = scrimp("learn", "audit", "--max-cost", "1", "-p", path, "--json")
    assert (done.code, json.loads(done.out)["n_pool"]) == (0, 0)
    assert scrimp("learn", "audit", "--max-cost", "1", "-m", "nobody", "-p", path).code == 2


def test_an_audit_stops_at_its_own_cap(scrimp, profile, server):
    path = profile(small="ok", large="ok")
    assert scrimp("ask", "-p", path, "-m", "small", "a question").code == 0
    before = len(server.chats)
    audit = json.loads(scrimp("learn", "audit", "--max-cost", "0.000001", "-m", "large", "-p", path, "--json").out)
    assert audit["n_asked"] == 0
    assert "--max-cost" in audit["stopped"]
    assert len(server.chats) == before


def test_replay_and_explain_of_what_was_asked(scrimp, profile):
    path = profile(small="ok", large="ok")
    for text in (HARD, f"{HARD}, for odd p"):
        assert scrimp("ask", "-p", path, "-m", "small", text).code == 0
    assert scrimp("rate", "good").code == 0
    cheap = json.loads(scrimp("replay", "--json", "--wtp", "0.0000001", "-p", path).out)
    dear = json.loads(scrimp("replay", "--json", "--wtp", "100", "-p", path).out)
    assert (cheap["n"], cheap["n_changed"]) == (2, 0)
    assert dear["n_changed"] == 2
    assert dear["cost_usd"]["estimate"] > 0
    assert dear["quality"]["low"] <= dear["quality"]["estimate"] <= dear["quality"]["high"]
    assert json.loads(scrimp("replay", "--json", "--since", "2999-01-01", "-p", path).out)["n"] == 0
    assert scrimp("replay", "--since", "yesterday", "-p", path).code == 2
    assert scrimp("replay", "--router", "r0009", "-p", path).code == 78
    shown = json.loads(scrimp("log", "show", "last", "--explain", "--json").out)
    assert shown["neighbours"][0]["prompt"] == HARD
    assert "nearest in the log" in scrimp("log", "show", "last", "--explain").out or shown["neighbours"]


def test_a_timer_where_there_is_no_systemd_is_a_line_for_cron(scrimp, profile, home, monkeypatch):
    from scrimp.routing.learn.judging import timer

    monkeypatch.setattr(timer.shutil, "which", lambda name: None)
    done = json.loads(scrimp("refit", "--install-timer", "weekly", "--json", "-p", profile(small="ok")).out)
    assert done["method"] == "cron"
    assert done["lines"][1].startswith("17 4 * * 1 SCRIMP_HOME=")
    assert "refit --quiet" in done["lines"][1]
    assert scrimp("refit", "--install-timer", "hourly").code == 2
    bare = json.loads(scrimp("refit", "--install-timer", "--json").out)
    assert bare["lines"][1].startswith("17 4 * * 1 "), "weekly unless told otherwise"
    assert bare["lines"][1].endswith(" -p local"), "the profile that is in force here, by name"
    assert scrimp("refit", "--install-timer=daily").out.splitlines()[1].startswith("17 4 * * * ")


def test_a_timer_names_profile_and_environment_and_says_what_it_does_not_see(scrimp, home, monkeypatch, tmp_path):
    from scrimp.routing.learn.judging import timer

    monkeypatch.setattr(timer.shutil, "which", lambda name: None)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-canary-Zq7Tn5vX2bLw8Kd4")
    monkeypatch.setenv("SCRIMP_PREFER", "best")
    done = scrimp("refit", "--install-timer")
    line = done.out.splitlines()[1]
    assert f"SCRIMP_HOME={home} SCRIMP_PREFER=best " in line
    assert line.endswith(" -p openai"), "chosen by the key, which cron has not"
    assert "OPENAI_API_KEY: set in this shell alone" in done.err
    assert "sk-canary" not in done.out + done.err
    assert scrimp("keys", "set", "OPENAI_API_KEY", stdin="sk-canary-Zq7Tn5vX2bLw8Kd4\n").code == 0
    assert "this shell alone" not in scrimp("refit", "--install-timer").err
    assert timer.environment_of({"XDG_STATE_HOME": "/x", "PATH": "/bin"}, []) == {"XDG_STATE_HOME": "/x"}


def test_replay_under_another_profile_goes_by_model_and_leaves_probes_out(scrimp, profile, home):
    work = profile(name="work", small="ok", large="echo")
    for arm, text in (("small", HARD), ("large", f"{HARD}, for odd p"), ("large", f"{HARD}, for even p")):
        assert scrimp("ask", "-q", "-p", work, "-m", arm, text).code == 0
    with open_ledger(home / "scrimp.db") as ledger, ledger.transaction() as conn:
        conn.execute("UPDATE requests SET command = 'probe' WHERE prompt LIKE '%even%'")
    # The same model under another name, and one that only the other profile has.
    other = profile(name="other", medium="ok", tiny="say")
    data = json.loads(scrimp("replay", "--json", "-p", other, "--log", "work").out)
    assert (data["n"], data["profile"], data["decided_by"]) == (1, "work", "other")
    assert "1 prompt is left out: what answered is no arm of other" in data["notes"]
    assert {move["from"] for move in data["moves"]} <= {"medium"}
    (home / "profiles").mkdir()
    (home / "profiles" / "work.toml").write_text(work.read_text())
    done = scrimp("replay", "--json", "-p", other)  # it has no log of its own: that of the one asked with last
    data = json.loads(done.out)
    assert (data["n"], data["profile"]) == (2, "work")
    assert ("work:large" in {move["from"] for move in data["moves"]}) == bool(data["n_changed"])
    assert data["n_changed"] >= 1
    assert "2 decisions of the log of work would change under other" in scrimp("replay", "-p", other).out
    assert not any("left out" in note for note in data["notes"])


def test_what_was_not_kept_is_not_rated_and_nothing_in_its_place(scrimp, profile):
    path = profile(small="ok", large="ok")
    assert scrimp("ask", "-q", "-p", path, "kept").code == 0
    assert scrimp("ask", "-q", "-p", path, "--no-log", "not kept").code == 0
    for argv in (("rate", "good"), ("redo",)):
        done = scrimp(*argv)
        assert done.code == 2
        assert "--no-log" in done.err
        assert "nothing to" in done.err
    (row,) = [json.loads(line) for line in scrimp("log", "export").out.splitlines()]
    assert row["labels"] == []
    assert scrimp("rate", row["id"], "good").code == 0
    assert scrimp("ask", "-q", "-p", path, "kept, too").code == 0
    assert scrimp("rate", "good").code == 0
    assert scrimp("log", "rm", "last", "--yes").code == 0
    assert "nothing to rate" in scrimp("rate", "bad").err


def test_the_units_of_the_timer():
    from scrimp.routing.learn.judging.timer import unit_files

    command = ["/opt/my tools/scrimp", "refit", "--quiet"]
    files = unit_files("daily", command, {"SCRIMP_HOME": "/home/x/100%"})
    assert "OnCalendar=daily" in files["scrimp-refit.timer"]
    assert 'ExecStart="/opt/my tools/scrimp" refit --quiet' in files["scrimp-refit.service"]
    assert "Environment=SCRIMP_HOME=/home/x/100%%" in files["scrimp-refit.service"]


def test_a_version_of_an_older_schema_is_told_and_the_shipped_one_goes_on(scrimp, profile, home):
    path = profile(small="ok", large="ok")
    folder = home / "routers" / "r0001"
    folder.mkdir(parents=True)
    for each in shipped_folder().iterdir():
        (folder / each.name).write_bytes(each.read_bytes())
    card = json.loads((folder / "card.json").read_text())
    (folder / "card.json").write_text(json.dumps({**card, "schema_version": 1}))
    (home / "routers" / "current").write_text("r0001\n")
    assert "of an older schema (1; this version reads 2)" in scrimp("router", "list").out
    done = scrimp("route", "-p", path, "hello")
    assert done.code == 0
    assert "older schema (1; this version reads 2); the shipped router is used" in done.err
    done = scrimp("refit", "-p", path, "--json")
    assert done.code == 0
    assert json.loads(done.out)["version"] == "shipped"
    assert "cannot be read" not in done.out
