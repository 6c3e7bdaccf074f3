"""`scrimp probe --all`: every arm on the same prompts, in one budget."""

import json
import signal
import sqlite3
import subprocess
import sys
import time

from conftest import environment

from scrimp.profiles.paths import paths

TEN = {
    "echo": "echo", "fill": "fill", "dead": "401", "silent": "only-reasoning", "slow": "say@text=Beethoven,latency_ms=200",
    "paris": "say@text=Beethoven", "yes": "say@text=yes", "seven": "say@text=7", "hello": "say@text=hello", "ok": "ok",
}  # fmt: skip


def ledger_nano():
    with sqlite3.connect(paths().ledger) as db:
        return db.execute("SELECT sum(charged_nano) FROM reservations").fetchone()[0]


def test_ten_arms_in_one_budget(scrimp, profile, server):
    path = profile(caps="per_day_usd = 5.0", **TEN)
    done = scrimp("probe", "--all", "-p", path, "--max-cost", "2", "--limit", "12", "--json")
    assert done.code == 6, done.err
    found = json.loads(done.out)
    arms = {each["arm"]: each for each in found["arms"]}
    assert set(arms) == set(TEN)
    assert [name for name, each in arms.items() if not each["alive"]] == ["dead", "silent"]
    assert "dead is dead: " in done.err
    assert "silent is dead: " in done.err
    assert arms["dead"]["why"]
    alive = [each for each in arms.values() if each["alive"]]
    assert found["n_compared"] == found["n_items"] == 12
    assert {each["n_scored"] for each in alive} == {12}
    assert sum(kind["n_scored"] for kind in arms["slow"]["kinds"].values()) == 12
    assert arms["paris"]["kinds"]["knowledge"]["n_right"] == arms["slow"]["kinds"]["knowledge"]["n_right"] == 1
    assert arms["echo"]["n_right"] == 0
    asked = [chat for chat in server.chats if "401" not in (chat.model or "")]
    assert len(asked) == 9 + 8 * 12 or len(asked) == 9 + 8 * 12 + 1  # a sign of life of each, then twelve prompts
    assert round(found["charged_usd"] * 1e9) == server.cost_nano == ledger_nano(), "the bill is the ledger"
    assert sum(round(each["charged_usd"] * 1e9) for each in arms.values()) == ledger_nano()
    assert found["in_force"]
    assert all(each["ability"]["low"] < each["ability"]["high"] for each in alive)
    assert arms["dead"]["ability"] is None
    assert f"router {found['router_version']} uses this" in done.err
    versions = json.loads(scrimp("router", "list", "--json").out)["versions"]
    assert len(versions) == 2, "all arms are placed in one version"


def test_what_was_paid_for_is_not_asked_again(scrimp, profile, server):
    path = profile(small="echo", large="fill")
    first = json.loads(scrimp("probe", "--all", "-p", path, "--limit", "5", "--no-place", "--json").out)
    n = len(server.chats)
    assert n == 2 + 2 * 5
    again = scrimp("probe", "--all", "-p", path, "--limit", "7", "--no-place", "--json")
    assert again.code == 0, again.err
    more = json.loads(again.out)
    assert len(server.chats) == n + 2 + 2 * 2
    assert [each["n_known"] for each in more["arms"]] == [5, 5]
    assert more["n_compared"] == 7
    same = json.loads(scrimp("probe", "--all", "-p", path, "--limit", "7", "--no-place", "--json").out)
    assert len(server.chats) == n + 6, "nothing is left to ask, not even for a sign of life"
    assert same["charged_usd"] == 0
    assert [each["kinds"] for each in same["arms"]] == [each["kinds"] for each in more["arms"]]
    fresh = json.loads(scrimp("probe", "--all", "-p", path, "--limit", "5", "--no-place", "--fresh", "--json").out)
    assert fresh["charged_usd"] == first["charged_usd"]
    other = profile(small="ok", large="fill")
    changed = json.loads(scrimp("probe", "--all", "-p", other, "--limit", "5", "--no-place", "--json").out)
    assert [each["n_known"] for each in changed["arms"]] == [0, 5], "what another model got says nothing of this one"


def test_a_cap_in_the_middle_leaves_a_fair_table(scrimp, profile, server):
    path = profile(one="echo", two="fill", three="fill")
    done = scrimp("probe", "--all", "-p", path, "--max-cost", "0.03", "--json")
    assert done.code == 6, done.err
    found = json.loads(done.out)
    assert "ended early" in done.err
    assert found["ended_early"]
    assert 0 < found["n_compared"] < found["n_items"] == 70
    assert {each["n_scored"] for each in found["arms"]} == {found["n_compared"]}
    assert server.cost_nano <= 30_000_000
    assert server.cost_nano == ledger_nano()
    n = len(server.chats)
    more = json.loads(scrimp("probe", "--all", "-p", path, "--max-cost", "0.03", "--json").out)
    assert more["n_compared"] > found["n_compared"], "the same command goes on"
    assert len(server.chats) > n


def test_an_arms_own_cap_stops_no_other(scrimp, profile):
    path = profile(small="echo", large="fill")
    text = path.read_text()
    cut = text.index('name = "large"')
    path.write_text(text[:cut] + "cap = { per_day_usd = 0.01 }\n" + text[cut:])
    done = scrimp("probe", "--all", "-p", path, "--limit", "6", "--json")
    assert done.code == 6, done.err
    small, large = json.loads(done.out)["arms"]
    assert (small["n_scored"], small["alive"], small["why"]) == (6, True, None)
    assert large["why"]
    assert "large ended early" in done.err


def test_some_kinds_are_shown_and_not_put_in_force(scrimp, profile, server):
    path = profile(small="echo", large="say@text=hello")
    done = scrimp("probe", "--all", "-p", path, "--kind", "format", "--kind", "logic")
    assert done.code == 0, done.err
    head, *rows = [line.split("\t") for line in done.out.splitlines() if "\t" in line]
    assert head[:4] == ["arm", "format", "logic", "all"]
    assert [row[0] for row in rows] == ["large", "small"], "the best first"
    assert rows[0][1] == "1/11"
    assert "not put in force: --kind" in done.err
    one = json.loads(scrimp("probe", "large", "-p", path, "--kind", "format", "--json").out)
    assert {each["kind"] for each in one["items"]} == {"format"}
    assert one["in_force"] is False


def test_options_that_do_not_go_together(scrimp, profile):
    path = profile(small="echo")
    for options in ((), ("small", "--all"), ("--all", "--from-log"), ("small", "--fresh"), ("--all", "--limit", "0")):
        assert scrimp("probe", *options, "-p", path).code == 2, options


def test_an_interrupt_keeps_what_was_answered(profile, home, server):
    path = profile(small="say@text=Beethoven,latency_ms=150", large="say@text=Beethoven,latency_ms=150")
    command = [sys.executable, "-m", "scrimp", "probe", "--all", "-p", str(path), "--limit", "12", "--json"]
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=environment(home), cwd=home.parent,
    )  # fmt: skip
    for _ in range(1200):
        if len(server.chats) >= 9:
            break
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, ""), err
    assert "goes on from there" in err
    assert "Traceback" not in err
    with sqlite3.connect(home / "scrimp.db") as db:
        n_kept = db.execute("SELECT count(*) FROM labels WHERE source = 'probe'").fetchone()[0]
    assert n_kept >= 6
    n = len(server.chats)
    again = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, env=environment(home), cwd=home.parent, timeout=120, check=False)  # fmt: skip
    assert again.returncode == 0, again.stderr
    found = json.loads(again.stdout)
    assert sum(each["n_known"] for each in found["arms"]) == n_kept
    assert len(server.chats) - n == 2 + 24 - n_kept
    assert {each["n_scored"] for each in found["arms"]} == {12}
