"""The ledger file: private from birth, made once, never made anew, and clear about what is wrong with it."""

import os
import sqlite3
import stat
import subprocess
import sys
import textwrap
import time
import zoneinfo
from datetime import UTC, datetime

import pytest

from scrimp.profiles.errors import LedgerError
from scrimp.routing.ledger.labels import add_label, labels_of
from scrimp.routing.ledger.migrations import MIGRATIONS, SCHEMA_VERSION
from scrimp.routing.ledger.reservations import audit_balances as audit
from scrimp.routing.ledger.store import Ledger, instant, new_id, open_ledger, read_ledger
from scrimp.routing.ledger.upkeep import back_up, damage

pytestmark = pytest.mark.usefixtures("paid_in_full")


@pytest.fixture
def path(tmp_path, monkeypatch):
    monkeypatch.setenv("TZ", "UTC")
    return tmp_path / "state" / "scrimp.db"


def run(code, *argv):
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, argv)], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


# ---- birth


def test_the_files_are_private_whatever_the_umask(path):
    old = os.umask(0)
    try:
        with open_ledger(path) as ledger:
            with ledger.transaction():
                ledger.insert("meta", {"key": "k", "value": "v"})
            modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
        assert set(modes) >= {"scrimp.db", "scrimp.db-wal", "scrimp.db-shm"}
        assert set(modes.values()) == {0o600}
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    finally:
        os.umask(old)


def test_settings_that_durability_rests_on(path):
    with open_ledger(path) as ledger:
        assert ledger.rows("PRAGMA journal_mode") == [{"journal_mode": "wal"}]
        assert ledger.rows("PRAGMA synchronous") == [{"synchronous": 2}]
        assert ledger.rows("PRAGMA secure_delete") == [{"secure_delete": 1}]
        assert ledger.rows("PRAGMA user_version") == [{"user_version": SCHEMA_VERSION}]


def test_a_dozen_first_runs_at_once_make_one_ledger(path):
    code = """
        import sys
        from pathlib import Path
        from scrimp.routing.ledger.store import open_ledger
        sys.stdin.read()
        with open_ledger(Path(sys.argv[1])) as ledger:
            with ledger.transaction():
                ledger.insert("meta", {"key": sys.argv[2], "value": "here"})
            print(ledger.rows("SELECT value FROM meta WHERE key = 'ledger_id'")[0]["value"])
    """
    children = [
        subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(code), str(path), f"run-{n}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for n in range(12)
    ]
    for child in children:
        child.stdin.close()
        child.stdin = None
    outcomes = [child.communicate(timeout=120) for child in children]
    assert [child.returncode for child in children] == [0] * 12, outcomes
    assert len({out for out, _ in outcomes}) == 1
    with open_ledger(path) as ledger:
        assert ledger.rows("SELECT count(*) AS n FROM meta WHERE value = 'here'") == [{"n": 12}]


def test_what_an_interrupted_first_run_left_is_cleared_away(path):
    path.parent.mkdir()
    (path.parent / "scrimp.db.new").write_bytes(b"half a ledger")
    with open_ledger(path) as ledger:
        assert audit(ledger) == {}
    assert not (path.parent / "scrimp.db.new").exists()


def test_reading_makes_no_ledger(path):
    assert read_ledger(path) is None
    assert not path.exists()


# ---- what is wrong with it


@pytest.mark.parametrize("content", [b"", b"this is no database" * 100, b"SQLite format 3\0" + b"\xff" * 4096])
def test_a_damaged_ledger_is_refused_and_left_as_it_is(path, content):
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(LedgerError) as caught:
        open_ledger(path)
    assert "Nothing was sent" in caught.value.hint
    assert path.read_bytes() == content


def test_a_database_of_something_else_is_refused(path):
    path.parent.mkdir()
    sqlite3.connect(path).execute("CREATE TABLE songs (name)").connection.close()
    with pytest.raises(LedgerError, match="not a scrimp ledger"):
        open_ledger(path)


def test_damage_in_the_middle_is_met_with_an_error_and_no_new_ledger(path):
    with open_ledger(path) as ledger:
        ledger.rows("PRAGMA wal_checkpoint(TRUNCATE)")
    data = bytearray(path.read_bytes())
    data[4096:] = b"\xee" * (len(data) - 4096)
    path.write_bytes(data)
    with pytest.raises(LedgerError), open_ledger(path) as ledger:
        ledger.rows("SELECT * FROM reservations, meta")
    assert path.read_bytes() == bytes(data)


def test_a_ledger_of_a_newer_version_is_refused(path):
    open_ledger(path).close()
    conn = sqlite3.connect(path)
    conn.execute("PRAGMA user_version = 99")
    conn.close()
    with pytest.raises(LedgerError, match="written by a newer scrimp") as caught:
        open_ledger(path)
    assert "Upgrade" in caught.value.hint


def test_a_folder_that_cannot_be_made_is_explained(tmp_path):
    (tmp_path / "state").write_text("a file where a folder should be")
    with pytest.raises(LedgerError, match="cannot be made or opened"):
        open_ledger(tmp_path / "state" / "scrimp.db")


def test_a_ledger_that_cannot_be_written_is_explained(path):
    """As root every folder can be written, so the connection itself is made unable to."""
    open_ledger(path).close()
    conn = sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None)
    with Ledger(conn, path) as ledger:
        with pytest.raises(LedgerError, match="cannot be written") as caught:  # noqa: SIM117
            with ledger.transaction():
                ledger.insert("meta", {"key": "k", "value": "v"})
        assert "What cannot be logged is not sent" in caught.value.hint


def test_a_full_disk_changes_nothing_and_stays_sound(path):
    open_ledger(path).close()
    out = run(
        """
        import resource, signal, sys
        from pathlib import Path
        from scrimp.profiles.errors import LedgerError
        from scrimp.routing.ledger.store import open_ledger
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        path = Path(sys.argv[1])
        ledger = open_ledger(path)
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
        for n in range(10_000):
            try:
                with ledger.transaction():
                    ledger.insert("meta", {"key": f"k{n}", "value": "v" * 1000})
            except LedgerError as error:
                print(n, error.message)
                break
        print(ledger.rows("SELECT count(*) AS n FROM meta WHERE key LIKE 'k%'")[0]["n"])
        """,
        path,
    )
    failure, kept = out.strip().splitlines()
    assert "cannot be written" in failure
    assert failure.split()[0] == kept
    with open_ledger(path) as ledger:
        assert ledger.rows("PRAGMA integrity_check") == [{"integrity_check": "ok"}]
        assert ledger.rows("SELECT count(*) AS n FROM meta WHERE key LIKE 'k%'") == [{"n": int(kept)}]


def test_a_ledger_held_by_another_program_is_explained(path, monkeypatch):
    monkeypatch.setattr("scrimp.routing.ledger.store.BUSY_TIMEOUT_S", 0.05)
    with open_ledger(path) as one, open_ledger(path) as other, one.transaction():
        with pytest.raises(LedgerError, match="held by another program"), other.transaction():
            raise AssertionError
        assert other.rows("SELECT 1 AS one") == [{"one": 1}]


# ---- transactions


def fail_after_insert(ledger, key):
    ledger.insert("meta", {"key": key, "value": "v"})
    raise ZeroDivisionError


def test_an_error_undoes_a_transaction(path):
    with open_ledger(path) as ledger:
        with pytest.raises(ZeroDivisionError), ledger.transaction():
            fail_after_insert(ledger, "k")
        assert ledger.rows("SELECT * FROM meta WHERE key = 'k'") == []


def test_a_transaction_within_one_is_a_part_of_it(path):
    with open_ledger(path) as ledger:
        with ledger.transaction():
            ledger.insert("meta", {"key": "outer", "value": "v"})
            with pytest.raises(ZeroDivisionError), ledger.transaction():
                fail_after_insert(ledger, "inner")
        assert ledger.rows("SELECT key FROM meta WHERE value = 'v'") == [{"key": "outer"}]


# ---- time


@pytest.mark.parametrize(
    ("zone", "when", "windows", "day_ends", "month_ends"),
    [
        ("UTC", (2024, 2, 29, 12), ("2024-02-29", "2024-02"), "2024-03-01T00:00:00+00:00", "2024-03-01T00:00:00+00:00"),
        ("Europe/Berlin", (2026, 3, 28, 23), ("2026-03-29", "2026-03"), "2026-03-30T00:00:00+02:00",
         "2026-04-01T00:00:00+02:00"),
        ("Europe/Berlin", (2026, 10, 25, 0, 30), ("2026-10-25", "2026-10"), "2026-10-26T00:00:00+01:00",
         "2026-11-01T00:00:00+01:00"),
        ("Pacific/Apia", (2011, 12, 30, 9, 30), ("2011-12-29", "2011-12"), "2011-12-30T00:00:00-10:00",
         "2012-01-01T00:00:00+14:00"),
        ("Asia/Kathmandu", (2026, 12, 31, 18, 15), ("2027-01-01", "2027-01"), "2027-01-02T00:00:00+05:45",
         "2027-02-01T00:00:00+05:45"),
    ],
)  # fmt: skip
def test_windows_and_their_ends(path, monkeypatch, zone, when, windows, day_ends, month_ends):
    monkeypatch.setenv("TZ", zone)
    now = datetime(*when, tzinfo=UTC).timestamp()
    with open_ledger(path) as ledger:
        assert ledger.zone_name == zone
        assert ledger.windows(now) == windows
        assert ledger.rolls_over_at("month", now) == month_ends
        if zone != "Pacific/Apia":  # its 30 December did not happen
            assert ledger.rolls_over_at("day", now) == day_ends


def test_the_zone_stays_what_it_was_when_the_ledger_was_made(path, monkeypatch):
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    open_ledger(path).close()
    monkeypatch.setenv("TZ", "America/New_York")
    with open_ledger(path) as ledger:
        assert ledger.zone_name == "Asia/Tokyo"


@pytest.fixture
def set_zone(monkeypatch):
    """Set TZ for this process, the C library's view of it included."""

    def do(zone):
        monkeypatch.setenv("TZ", zone)
        time.tzset()

    yield do
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("stated", "zone"),
    [
        ("Europe/Berlin", "Europe/Berlin"), (":Europe/Berlin", "Europe/Berlin"),
        ("/usr/share/zoneinfo/Asia/Tokyo", "Asia/Tokyo"), ("", "UTC"), ("UTC0", "+00:00"), ("JST-9", "+09:00"),
        ("CET-1CEST", None), ("EST5EDT,M3.2.0,M11.1.0", None), ("<+0330>-3:30", "+03:30"), ("XXX-24", "UTC"), ("garbage", "+00:00"),
        ("../etc/passwd", "+00:00"), ("Europe", "+00:00"), ("x" * 5000, "+00:00"), ("a\nb", "+00:00"),
    ],
)  # fmt: skip
def test_every_spelling_of_tz_makes_a_ledger(path, set_zone, stated, zone):
    """What TZ says in POSIX's way has no name to look up later: its offset is kept, never the machine's own zone."""
    set_zone(stated)
    if zone is None:  # the offset of the moment: it may be summer there
        zone = time.strftime("%z")[:3] + ":00"
    with open_ledger(path) as ledger:
        assert ledger.zone_name == zone
    set_zone("Pacific/Auckland")
    with open_ledger(path) as ledger:
        assert ledger.zone_name == zone
        day = ledger.windows(datetime(2026, 6, 1, 23, 30, tzinfo=UTC).timestamp())[0]
        assert day == ("2026-06-01" if zone in {"UTC", "+00:00"} or zone[0] == "-" else "2026-06-02")


def test_a_zone_that_this_machine_does_not_know_says_what_to_install(path, set_zone, monkeypatch):
    set_zone("Europe/Berlin")
    open_ledger(path).close()
    for module in ("tzdata", "tzdata.zoneinfo", "tzdata.zoneinfo.Europe"):
        monkeypatch.setitem(sys.modules, module, None)
    zoneinfo.ZoneInfo.clear_cache()
    zoneinfo.reset_tzpath(to=())
    try:
        with open_ledger(path) as ledger, pytest.raises(LedgerError, match="'Europe/Berlin' is not known") as caught:
            ledger.windows(0.0)
        assert "tzdata" in caught.value.hint
        set_zone("JST-9")
        with open_ledger(path.with_name("new.db")) as ledger:
            assert ledger.zone_name == "+09:00"
    finally:
        zoneinfo.reset_tzpath()
        zoneinfo.ZoneInfo.clear_cache()


def test_the_share_of_a_month_that_has_gone(path, monkeypatch):
    monkeypatch.setenv("TZ", "Europe/Berlin")
    with open_ledger(path) as ledger:
        start = datetime(2026, 2, 28, 23, tzinfo=UTC).timestamp()
        hours = 31 * 24 - 1  # March loses an hour
        assert ledger.month_gone(start) == 0.0
        assert ledger.month_gone(start + 3600 * hours / 2) == pytest.approx(0.5)
        assert ledger.month_gone(start + 3600 * hours - 1) < 1.0
        assert ledger.windows(start + 3600 * hours)[1] == "2026-04"


def test_instants_and_ids_sort_by_time():
    times = [0.0, 1.5, 1_700_000_000.25, 1_700_000_000.5]
    assert sorted(map(instant, times)) == [instant(each) for each in times]
    ids = [new_id(each) for each in times]
    assert sorted(ids) == ids
    assert len({new_id(1.0) for _ in range(1000)}) == 1000


# ---- upkeep


def test_a_copy_is_whole_private_and_never_over_another_file(path, tmp_path):
    copy = tmp_path / "copy.db"
    with open_ledger(path) as ledger:
        assert damage(ledger) is None
        with ledger.transaction():
            ledger.insert("meta", {"key": "k", "value": "v"})
        old = os.umask(0)
        try:
            back_up(ledger, copy)
        finally:
            os.umask(old)
        assert stat.S_IMODE(copy.stat().st_mode) == 0o600
        before = copy.read_bytes()
        with pytest.raises(FileExistsError):
            back_up(ledger, copy)
        assert copy.read_bytes() == before
    with open_ledger(copy) as again:
        assert again.rows("SELECT value FROM meta WHERE key = 'k'") == [{"value": "v"}]


def test_damage_is_found(path):
    with open_ledger(path) as ledger:
        for n in range(200):
            add_label(ledger, request_id=f"r{n}", arm="a", reward=1.0, source="rating", at=instant(0.0))
        (root,) = ledger.rows("SELECT rootpage FROM sqlite_master WHERE name = 'idx_labels_request_id'")
        ledger.rows("PRAGMA wal_checkpoint(TRUNCATE)")
    data = bytearray(path.read_bytes())
    start = (root["rootpage"] - 1) * 4096
    data[start + 8 : start + 12] = b"\xff\xff\xff\xff"
    path.write_bytes(data)
    with open_ledger(path) as ledger:
        assert damage(ledger)


# ---- schema


def test_a_ledger_of_the_first_version_keeps_its_labels(path):
    path.parent.mkdir()
    conn = sqlite3.connect(path, isolation_level=None)
    MIGRATIONS[0](conn)
    conn.execute("PRAGMA user_version = 1")
    conn.execute("INSERT INTO meta (key, value) VALUES ('zone', 'UTC')")
    conn.execute("INSERT INTO labels (request_id, arm, reward, source, at) VALUES ('r', 'a', 1.0, 'check', 'then')")
    conn.close()
    with open_ledger(path) as ledger:
        add_label(ledger, request_id="r", arm="a", reward=0.0, source="check", at="now", check_kind="cmd")
        assert [(label["at"], label["check_kind"]) for label in labels_of(ledger, "r")] == [
            ("then", None),
            ("now", "cmd"),
        ]
