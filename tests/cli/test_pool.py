"""A pool through the commands and a loopback server: what is sent, reserved, listed and said."""

import contextlib
import json
import sqlite3
import subprocess
import sys
import time

import pytest
from tests.conftest import environment

TAX = "You know the forms of the tax office, deductions, and every deadline of a return. " * 40


@pytest.fixture
def pool(tmp_path, profile):
    """Write a profile with a pool of three: `pool(small="ok")` returns its path."""
    folder = tmp_path / "skills"
    folder.mkdir()
    (folder / "tax.md").write_text(f"---\nabout: Income tax returns.\nlike: small\n---\n{TAX}")
    (folder / "soup.md").write_text("---\nabout: Recipes for soup.\nlike: small\n---\nBoil carrots, add salt.")
    (folder / "plane.md").write_text("---\nabout: Books flights.\nlike: small\n---\nAirlines, seats, luggage.")

    def write(**more):
        return profile(extra=more.pop("extra", "") + '\n[pool]\nfolder = "skills"\n', **(more or {"small": "ok"}))

    return write


ASKED = "Which forms do I need to deduct my home office from income tax?"


def rows(home, query):
    with sqlite3.connect(home / "scrimp.db") as conn:
        return conn.execute(query).fetchall()


def test_a_skill_is_on_the_wire_and_in_the_bound(scrimp, pool, server, home):
    path = pool()
    for arm in ("tax", "small"):
        server.reset()
        done = scrimp("ask", "-p", path, "-m", arm, "--json", ASKED)
        assert done.code == 0, done.err
        (chat,) = server.chats
        said = [message["content"] for message in chat.body["messages"] if message["role"] == "system"]
        assert ([TAX.strip()] if arm == "tax" else []) == said
        assert chat.body["messages"][-1]["content"] == ASKED
        assert json.loads(done.out)["arm"] == arm
    bounds = dict(rows(home, "SELECT arm, input_bound FROM attempts"))
    assert bounds["tax"] - bounds["small"] >= len(TAX.strip().encode())
    identities = dict(rows(home, "SELECT arm, instructions FROM attempts"))
    assert identities["small"] is None
    assert len(identities["tax"]) == 16


def test_the_log_labels_and_redo_know_it(scrimp, pool, server, home):
    path = pool(small="ok", large="ok")
    done = scrimp("ask", "-p", path, "-m", "tax", "--json", ASKED)
    request = json.loads(done.out)["id"]
    assert "tax" in scrimp("log", "show", request).out
    assert scrimp("rate", request, "good").code == 0
    assert rows(home, "SELECT arm, reward FROM labels") == [("tax", 1.0)]
    server.reset()
    again = scrimp("redo", request, "-p", path, "-m", "soup", "--json")
    assert again.code == 0, again.err
    assert json.loads(again.out)["arm"] == "soup"
    done = scrimp("refit", "-p", path, "--json")
    assert done.code == 0, done.err


def test_route_says_why(scrimp, pool):
    done = scrimp("route", "-p", pool(), ASKED, "--json")
    data = json.loads(done.out)
    near = {row["name"]: row["near"] for row in data["arms"]}
    assert near["tax"].startswith("nearest in about, body and words (0.")
    assert near["small"] == ""
    quality = {row["name"]: row["quality"] for row in data["arms"]}
    assert quality["tax"] > quality["soup"]


def test_a_plan_may_name_its_arms(scrimp, pool, server):
    done = scrimp("ask", "-p", pool(), "--plan", "soup ? checks > tax", "--check", "words:1..2", "--json", ASKED)
    assert done.code in (0, 7), done.err
    assert json.loads(done.out)["arm"] == "tax"
    assert TAX.strip() in json.dumps(server.chats[1].body)


def test_an_arms_own_cap_stands_on_each_arm_like_it(scrimp, pool, server):
    path = pool(small="ok")
    path.write_text(path.read_text().replace('tier = "small"', 'tier = "small"\ncap = { per_call_usd = 0.00001 }'))
    done = scrimp("ask", "-p", path, "-m", "tax", ASKED)
    assert done.code == 3, done.err
    assert not server.chats


def test_an_unknown_arm_has_a_near_one(scrimp, pool):
    done = scrimp("ask", "-p", pool(), "-m", "taxx", ASKED)
    assert done.code == 2
    assert "did you mean 'tax'?" in done.err


def test_models_counts_and_lists(scrimp, pool, tmp_path):
    path = pool()
    (tmp_path / "skills" / "bad.md").write_text("---\nno")
    done = scrimp("models", "-p", path)
    assert "pool: 3 arms of the files in" in done.out
    assert "Recipes" not in done.out
    assert "1 of the pool left out" in done.err
    done = scrimp("models", "-p", path, "--pool", "--json")
    listed = json.loads(done.out)["pool"]
    assert [each["name"] for each in listed["arms"]] == ["plane", "soup", "tax"]
    assert listed["arms"][1] == {"name": "soup", "like": "small", "about": "Recipes for soup.", "file": "soup.md"}
    assert "has no pool" in scrimp("models", "-p", "local", "--pool").err


def test_profile_check_names_the_place(scrimp, pool, tmp_path):
    path = pool()
    broken = tmp_path / "skills" / "bad.md"
    broken.write_text("---\nabout: x\nlik: small\n---\nb")
    done = scrimp("profile", "check", path)
    assert done.code == 78
    assert f"{broken}:3: lik: unknown key (did you mean 'like'?)" in done.out
    asked = scrimp("ask", "-p", path, ASKED)
    assert asked.code == 0, asked.err
    assert asked.err.count("left out of the pool") == 1
    broken.unlink()
    assert scrimp("profile", "check", path).code == 0


def test_a_batch_chooses_among_the_nearest(scrimp, pool, server, tmp_path):
    path, rows_ = pool(), tmp_path / "rows.jsonl"
    asked = [ASKED, "How do I cook a soup of carrots?", "Book me a seat on a plane to Paris"] * 3
    rows_.write_text("".join(json.dumps({"prompt": text}) + "\n" for text in asked))
    done = scrimp("batch", "-p", path, rows_, "-o", tmp_path / "out.jsonl", "--yes")
    assert done.code == 0, done.err
    answered = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert len(answered) == 9
    assert {row["arm"] for row in answered} <= {"small", "tax", "soup", "plane"}
    done = scrimp("batch", "-p", path, rows_, "-o", tmp_path / "two.jsonl", "--yes", "-m", "soup")
    assert done.code == 0, done.err
    assert {json.loads(line)["arm"] for line in (tmp_path / "two.jsonl").read_text().splitlines()} == {"soup"}
    assert scrimp("batch", "-p", path, rows_, "-o", tmp_path / "x.jsonl", "-m", "soupe").code == 2


def test_two_commands_at_once_and_one_that_was_killed(pool, home, tmp_path):
    path = pool()
    for k in range(150):
        (tmp_path / "skills" / f"s{k}.md").write_text(f"---\nabout: Subject {k}.\nlike: small\n---\nAbout subject {k}.")
    command = [sys.executable, "-m", "scrimp.cli", "route", "-p", str(path), "--json", ASKED]

    def start():
        return subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment(home)
        )

    def stored():
        try:
            (file,) = (home / "cache" / "indexes").glob("*.db")
            with contextlib.closing(sqlite3.connect(file)) as conn:
                return conn.execute("SELECT count(*) FROM documents").fetchone()[0]
        except (ValueError, sqlite3.OperationalError):  # there is none yet, or it is empty, or being written
            return 0

    killed = start()
    while not stored():
        assert killed.poll() is None, killed.communicate()
        time.sleep(0.02)
    killed.kill()
    killed.communicate()
    assert 0 < stored() < 153
    both = [start(), start()]
    for each in both:
        out, err = each.communicate(timeout=120)
        assert each.returncode == 0, err
        data = json.loads(out)
        assert "tax" in {row["name"] for row in data["arms"]}
        assert len(data["arms"]) == 9


def test_learning_sees_the_arms_that_were_asked(scrimp, pool):
    path = pool(small="ok", large="ok")
    for arm in ("tax", "soup", "small"):
        request = json.loads(scrimp("ask", "-p", path, "-m", arm, "--json", ASKED).out)["id"]
        assert scrimp("rate", request, "good").code == 0
    done = scrimp("learn", "status", "-p", path, "--json")
    assert done.code == 0, done.err
    labels = {each["arm"]: each["n_labels"] for each in json.loads(done.out)["arms"]}
    assert labels == {"small": 1, "large": 0, "soup": 1, "tax": 1}  # plane was never asked
    replayed = scrimp("replay", "-p", path, "--json")
    assert replayed.code == 0, replayed.err
    assert json.loads(replayed.out)["n"] == 3


def test_a_run_goes_on_with_the_arms_that_it_has_asked(scrimp, pool, home, tmp_path):
    """A killed run's rows keep their arm, though nothing in the pool is near to them any more."""
    folder, path, rows_ = tmp_path / "skills", pool(small="ok@latency_ms=4000"), tmp_path / "rows.txt"
    for k in range(60):
        (folder / f"s{k:02}.md").write_text(f"---\nabout: Subject {k}.\nlike: small\n---\nAbout subject {k}.")
    rows_.write_text("\n".join(f"Tell me about subject {k}." for k in range(4)) + "\n")
    out = tmp_path / "out.jsonl"
    command = [sys.executable, "-m", "scrimp.cli", "batch", "-p", str(path), str(rows_), "-o", str(out), "--yes"]
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment(home))

    def under_way():
        if not (home / "scrimp.db").exists():  # to look would make one
            return set()
        try:
            return {arm for (arm,) in rows(home, "SELECT arm FROM reservations WHERE sent AND status = 'reserved'")}
        except sqlite3.OperationalError:  # no ledger yet
            return set()

    while len(asked := under_way()) < 4:
        assert child.poll() is None
        time.sleep(0.02)
    child.kill()
    child.wait()
    for file in folder.glob("s*.md"):
        if file.stem in asked:
            file.write_text("---\nabout: Whales.\nlike: small\n---\nWhales and other beasts of the sea.")
    done = scrimp("batch", "-p", path, rows_, "-o", out, "--resume", "--retry-unknown", "--yes")
    assert done.code == 0, done.err
    assert {json.loads(line)["arm"] for line in out.read_text().splitlines()} == asked
