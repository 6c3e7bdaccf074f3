"""Money put right from the command line, numbers that are none, and what is said where something is out of reach."""

import json
import os

import pytest

from scrimp.routing.ledger import reservations
from scrimp.routing.ledger.process import this_process
from scrimp.routing.ledger.reservations import Charge
from scrimp.routing.ledger.store import open_ledger

BOUND = 100_000_000
FLAGS = ("--min-quality", "0.999")


@pytest.fixture
def lost(home, profile):
    """Ten calls of dead processes, which hold all of the day's cap; the profile."""
    me = this_process()
    import time

    now = time.time()
    with open_ledger(home / "scrimp.db") as ledger:
        for n in range(10):
            charge = Charge(f"r{n}", "test", "small", BOUND)
            attempt = {"request_id": f"r{n}", "seq": 1, "kind": "first", "arm": "small", "reply_id": f"gen-{n}"}
            held = reservations.reserve(ledger, charge, (), now=now, attempt=attempt)
            reservations.mark_sent(ledger, held.id)
        with ledger.transaction():
            for n in range(1, 11):
                ledger.update("reservations", ("id", n), {"pid": 1, "process_started": "never", "boot_id": me.boot_id})
    return profile(caps="per_day_usd = 1.0\nper_run_usd = 0.5\nper_call_usd = 0.25")


def spend(scrimp, *argv):
    done = scrimp("spend", *argv)
    return done, json.loads(done.out) if done.out.startswith("{") else None


def test_ten_unknown_calls_leave_a_next_step(scrimp, lost, server, tmp_path):
    done = scrimp("ask", "-p", lost, "hello")
    assert done.code == 3
    assert "refused by the day cap of $1.00: small, the cheapest arm that could take this, could cost up to" in done.err
    assert "$0 is left ($1.00 is held by 10 calls of unknown cost)" in done.err
    assert "`scrimp spend reconcile --all-unknown-as bound|0|FILE.csv`" in done.err
    assert "10 calls of unknown true cost" in scrimp("spend", "-p", lost).err
    # The export of the provider knows four of them.
    usage = tmp_path / "usage.csv"
    usage.write_text("generation_id,cost_total\n" + "".join(f"gen-{n},0.001\n" for n in (1, 2, 3, 4)) + "gen-x,1\n")
    flags = ("reconcile", "--all-unknown-as", usage, "-p", lost)
    tried, data = spend(scrimp, *flags, "--dry-run", "--json")
    assert (len(data["calls"]), data["dry_run"]) == (4, True)
    assert "nothing was changed" in tried.err
    assert spend(scrimp, "-p", lost, "--json")[1]["caps"][2]["unknown_usd"] == 1.0
    done = scrimp("spend", *flags)
    assert "4 of 10 calls of unknown cost are in" in done.err
    assert "6 are not" in done.err
    assert "1 reply of" in done.err
    assert "unknown -> settled" in done.out
    assert "$0.10 -> $0.0010" in done.out
    assert "$0 -> $0.40" in done.out
    done = scrimp("ask", "-p", lost, "-q", "hello")
    assert (done.code, len(server.chats)) == (0, 1)


@pytest.mark.parametrize(("what", "left"), [("bound", 0.0), ("0", 1.0)])
def test_all_at_once_and_back(scrimp, lost, what, left):
    _, data = spend(scrimp, "reconcile", "--all-unknown-as", what, "-p", lost, "--json")
    assert {call["status"] for call in data["calls"]} == {"settled"}
    assert len(data["calls"]) == 10
    (day,) = [cap for cap in data["caps"] if cap["scope"] == "day"]
    assert (day["profile"], day["left_usd_before"], day["left_usd"]) == ("test", 0.0, left)
    assert "no call is of unknown cost" in scrimp("spend", "reconcile", "--all-unknown-as", what, "-p", lost).err
    _, data = spend(scrimp, "reconcile", "--undo", "-p", lost, "--json")
    assert {call["status"] for call in data["calls"]} == {"unknown"}
    assert len(spend(scrimp, "--open", "-p", lost, "--json")[1]["open"]) == 10


def test_one_call_old_and_new_and_the_way_back(scrimp, lost):
    done = scrimp("spend", "reconcile", 3, "0.01", "-p", lost)
    assert "unknown -> settled\t$0.10 -> $0.010" in done.out
    assert "day\ttest\t$1.00\t$0 -> $0.090" in done.out
    assert "to take this back: scrimp spend reconcile 3 --undo" in done.err
    done = scrimp("spend", "reconcile", 3, "0.02", "-p", lost)
    assert done.code == 2
    assert "call 3 is settled already, at $0.010" in done.err
    assert "--yes" in done.err
    assert scrimp("spend", "reconcile", 3, "0.02", "--yes", "-p", lost).code == 0
    done = scrimp("spend", "reconcile", 3, "--undo", "-p", lost)
    assert "$0.020 -> $0.010" in done.out


def test_a_breach_stops_an_arm_and_putting_it_right_lets_it_go(scrimp, lost):
    done = scrimp("spend", "reconcile", 3, "0.5", "-p", lost)
    assert "arm small of profile test is suspended for that until `scrimp models resume small -p test`" in done.err
    done = scrimp("spend", "reconcile", 3, "0.05", "--yes", "-p", lost)
    assert "arm small of profile test takes calls again" in done.err


def test_a_call_in_flight_is_not_reconciled(scrimp, lost, home):
    with open_ledger(home / "scrimp.db") as ledger:
        held = reservations.reserve(ledger, Charge("live", "test", "small", BOUND), (), now=1e9)
    done = scrimp("spend", "reconcile", held.id, "0", "--yes", "-p", lost)
    assert done.code == 2
    assert f"is still in flight (process {os.getpid()})" in done.err


# ---- numbers

NUMBERS = {
    ("ask", "--cap-override", "1e400", "--yes", "hi"): "more than $1,000,000,000",
    ("ask", "--cap-override", "inf", "--yes", "hi"): "not a number",
    ("ask", "--cap-override", "nan", "--yes", "hi"): "not a number",
    ("ask", "--cap-override", "-1", "--yes", "hi"): "below zero",
    ("ask", "--cap-override", "٣", "--yes", "hi"): "not a number",
    ("ask", "--cap-override", "1_000", "--yes", "hi"): "not a number",
    ("ask", "--max-cost", "1e400", "hi"): "more than",
    ("ask", "--wtp", "nan", "hi"): "'nan' is not a number",
    ("ask", "--wtp", "inf", "hi"): "'inf' is not a number",
    ("ask", "--wtp", "1e300", "hi"): "too large a number",
    ("ask", "--min-quality", "nan", "hi"): "'nan' is not a number",
    ("route", "--min-quality", "٠.٥", "hi"): "is not a number",
    ("batch", "in.txt", "--jobs", "1_0", "-o", "o"): "'1_0' is not a number",
    ("spend", "--days", "٣"): "is not a number",
    ("spend", "--days", "9" * 200): "is too large a number",
    ("spend", "reconcile", "9" * 200, "1"): "is too large a number",
    ("spend", "reconcile", "1", "9" * 200): "more than",
    ("spend", "reconcile", "1_0", "1"): "is not a number",
    ("spend", "reconcile", "0", "1"): "greater than or equal to 1",
    ("spend", "reconcile", "1"): "expected CALL and USD",
    ("spend", "reconcile", "--all-unknown-as", "none.csv"): "there is no such file",
    ("budget", "set", "shared:day", "nan"): "not a number",
    ("budget", "set", "shared:day", "1e400"): "more than",
    ("report", "--days", "nan"): "is not a number",
    ("rate", "nan"): "not 'nan'",
    ("rate", "0_1"): "not '0_1'",
}


@pytest.mark.parametrize("argv", NUMBERS, ids=lambda argv: " ".join(argv)[:60])
def test_what_is_no_number_is_a_usage_error_that_says_so(scrimp, argv):
    done = scrimp(*argv)
    assert done.code == 2, done.err
    assert NUMBERS[argv] in done.err
    assert "Traceback" not in done.err
    assert "unexpected" not in done.err


@pytest.mark.parametrize(
    ("name", "value"), [("SCRIMP_WTP", "nan"), ("SCRIMP_WTP", "1_0"), ("SCRIMP_MIN_QUALITY", "inf")]
)
def test_a_variable_that_is_no_number_is_refused_by_its_name(scrimp, profile, monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    done = scrimp("route", "-p", profile(), "hi")
    assert done.code == 78
    assert name in done.err


@pytest.mark.parametrize("value", ["nan", "inf", "-1.0", "1e400", '"5"', "true", "1_000_000_000_000"])
@pytest.mark.parametrize("key", ["per_day_usd", "per_call_usd"])
def test_a_cap_in_a_profile_that_is_no_amount_is_refused_by_line(scrimp, profile, key, value):
    done = scrimp("route", "-p", profile(caps=f"{key} = {value}"), "hi")
    assert done.code == 78
    assert f"test.toml:3: caps.{key}" in done.err


def test_days_beyond_all_time_are_all_time(scrimp, profile):
    path = profile()
    assert scrimp("ask", "-q", "-p", path, "hi").code == 0
    for argv in (("spend", "--days"), ("log", "--days"), ("report", "--days")):
        done = scrimp(*argv, "999999999999")
        assert done.code == 0, done.err


def test_an_override_of_nothing_or_next_to_nothing_refuses_what_costs(scrimp, profile, server):
    for amount in ("0", "1e-400"):
        done = scrimp("ask", "-p", profile(), "--cap-override", amount, "--yes", "hi")
        assert done.code == 3
        assert "refused by --cap-override $0" in done.err
    assert server.chats == []


# ---- out of reach


def test_a_quality_out_of_reach_is_said_alike_everywhere(scrimp, profile, tmp_path):
    path = profile(small="ok", large="ok")
    rows = tmp_path / "in.txt"
    rows.write_text("hello\n")
    out = tmp_path / "out.jsonl"
    plans = ("--cascade", "--check", "words:1..9")
    for argv in (
        ("ask", "-q", "hello"),
        ("ask", "--dry-run", "hello"),
        ("ask", "--dry-run", *plans, "hello"),
        ("route", "hello"),
        ("batch", rows, "--dry-run"),
        ("batch", rows, "--dry-run", *plans),
        ("batch", rows, "-q", "-o", out),
    ):
        done = scrimp(argv[0], "-p", path, *FLAGS, *argv[1:])
        assert done.code == 0, done.err
        (line,) = [line for line in done.err.splitlines() if "min_quality" in line]
        assert line.startswith("scrimp: min_quality 0.999 is out of reach: the best ")
        assert line.endswith(", and is taken")
        assert "is predicted to reach 0." in line
    for argv in (
        ("ask", "--dry-run", "-m", "small", "hello"),
        ("ask", "--dry-run", "--plan", "small ? words:1..9 > large", "--check", "words:1..9", "hello"),
        ("batch", rows, "--dry-run", "-m", "small"),
    ):
        done = scrimp(argv[0], "-p", path, *FLAGS, *argv[1:])
        assert done.code == 0, done.err
        assert "min_quality 0.999 has no say in" in done.err
    assert "min_quality" not in scrimp("ask", "-p", path, "--dry-run", "--min-quality", "0.1", "hello").err
    assert json.loads(scrimp("route", "-p", path, *FLAGS, "--json", "hello").out)["min_quality_missed"] is True
    many = scrimp("route", "-p", path, *FLAGS, "--lines", rows)
    assert "min_quality is out of reach of 1 of 1 prompts" in many.err


PLAN = ("--plan", "small ? words:1..9 > small", "--check", "words:1..9")


@pytest.mark.parametrize(
    ("caps", "more", "named"),
    [
        ("per_day_usd = 0.0015", (), "refused by the day cap of $0.0015: the plan"),
        ("per_run_usd = 0.0015", (), "refused by the run cap of $0.0015: the plan"),
        ("per_day_usd = 1.0", ("--max-cost", "0.0015"), "refused by --max-cost $0.0015: the plan"),
        (
            "per_day_usd = 0.0001",
            (),
            "refused by the day cap of $0.00010: small, the cheapest arm that could take this,",
        ),
        ("per_call_usd = 0.0001", (), "refused by the call cap of $0.00010: small, the cheapest arm"),
    ],
)
def test_a_refused_plan_names_the_cap_the_need_and_what_is_left(scrimp, profile, server, caps, more, named):
    done = scrimp("ask", "-p", profile(caps=caps), *PLAN, *more, "hi")
    assert done.code == 3, done.err
    assert named in done.err
    assert "could cost up to $0.00" in done.err
    assert "is left" in done.err
    assert server.chats == []


def test_a_batch_names_the_cap_too(scrimp, profile, tmp_path):
    rows = tmp_path / "in.txt"
    rows.write_text("hello\n")
    path = profile(caps="per_day_usd = 0.0001")
    done = scrimp("batch", "-p", path, rows, "-o", tmp_path / "out.jsonl")
    assert done.code == 3
    assert "no row can be sent: refused by the day cap of $0.00010: small, the cheapest arm" in done.err
    done = scrimp("batch", "-p", profile(caps="per_day_usd = 0.0015"), rows, "-o", tmp_path / "out.jsonl", *PLAN)
    assert done.code == 6
    (row,) = map(json.loads, (tmp_path / "out.jsonl").read_text().splitlines())
    assert row["status"] == "skipped"
    assert row["error"].startswith(
        "refused by the day cap of $0.0015: the plan small ? words:1..9 > small could cost up"
    )


def test_spend_shows_the_caps_on_a_call_and_a_run(scrimp, lost):
    caps = {cap["scope"]: cap for cap in spend(scrimp, "-p", lost, "--json")[1]["caps"]}
    assert [*caps] == ["call", "run", "day"]
    assert (caps["run"]["limit_usd"], caps["run"]["left_usd"], caps["run"]["resets_at"]) == (0.5, 0.5, None)
    assert caps["call"]["left_usd"] == 0.25


# ---- a damaged ledger


def test_nothing_is_sent_with_a_damaged_ledger(scrimp, profile, server, home, tmp_path):
    path = profile(small="ok", large="ok")
    assert scrimp("ask", "-q", "-m", "small", "-p", path, "hi").code == 0
    with open_ledger(home / "scrimp.db") as ledger:
        (root,) = ledger.rows("SELECT rootpage FROM sqlite_master WHERE name = 'idx_labels_request_id'")
        ledger.rows("PRAGMA wal_checkpoint(TRUNCATE)")
    data = bytearray((home / "scrimp.db").read_bytes())
    at = (root["rootpage"] - 1) * 4096
    data[at : at + 4096] = b"\xee" * 4096
    (home / "scrimp.db").write_bytes(data)
    (tmp_path / "in.txt").write_text("hello\n")
    server.reset()
    for argv in (
        ("ask", "hi"),
        ("batch", tmp_path / "in.txt", "-o", tmp_path / "out.jsonl"),
        ("redo", "-m", "large"),
        ("probe", "small"),
        ("refit",),
        ("learn", "audit", "--max-cost", "1"),
        ("doctor",),
    ):
        done = scrimp(*argv, "-p", path)
        assert done.code == (1 if argv == ("doctor",) else 78), (argv, done.err)
        assert "scrimp.db cannot be read: " in done.err + done.out, argv
        assert "scrimp.db.damaged" in done.err + done.out, argv
        assert "Traceback" not in done.err
    assert server.chats == []


@pytest.mark.parametrize(
    "argv", [("spend",), ("log",), ("log", "export"), ("report",), ("spend", "--short"), ("rate", "1")]
)
def test_a_command_that_meets_damage_says_so(scrimp, profile, home, argv):
    assert scrimp("ask", "-q", "-p", profile(), "hi").code == 0
    with open_ledger(home / "scrimp.db") as ledger:
        ledger.rows("PRAGMA wal_checkpoint(TRUNCATE)")
    data = (home / "scrimp.db").read_bytes()
    (home / "scrimp.db").write_bytes(data[:4096] + b"\xee" * (len(data) - 4096))
    done = scrimp(*argv)
    assert done.code == 78, done.err
    assert "cannot be read" in done.err
