"""What stands in the ledger's place: a link to nothing is no ledger to begin, and one that is damaged is not paid with."""

import os
import shutil
import socket
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from scrimp.profiles.errors import ExitCode, LedgerError
from scrimp.routing.ledger import reservations
from scrimp.routing.ledger.place import network_file_system
from scrimp.routing.ledger.reservations import Charge
from scrimp.routing.ledger.store import open_ledger, read_ledger
from scrimp.routing.ledger.upkeep import MONEY_TABLES, damage, make_sure

NOON = 1_781_524_800.0


@pytest.fixture
def path(tmp_path, monkeypatch):
    monkeypatch.setenv("TZ", "UTC")
    home = tmp_path / "home"
    home.mkdir()
    return home / "scrimp.db"


def spend(ledger, nano=1000):
    held = reservations.reserve(ledger, Charge("r", "p", "a", nano), (), now=NOON)
    reservations.settle(ledger, held, cost_nano=nano, now=NOON)


def dangling(path):
    path.symlink_to(path.parent / "away" / "scrimp.db")


def dangling_in_a_folder_that_is_there(path):
    path.symlink_to("elsewhere.db")


def loop(path):
    path.symlink_to(path.name)


def loop_of_two(path):
    path.symlink_to("other.db")
    (path.parent / "other.db").symlink_to(path)


def through_a_file(path):
    (path.parent / "file").write_text("")
    path.symlink_to("file/scrimp.db")


def folder(path):
    path.mkdir()


def link_to_a_folder(path):
    path.symlink_to(".")


def pipe(path):
    os.mkfifo(path)


def device(path):
    path.symlink_to("/dev/null")


def listening(path):
    old = Path.cwd()
    os.chdir(path.parent)  # a socket's path is short
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    finally:
        os.chdir(old)


def empty(path):
    path.write_bytes(b"")


def link_to_an_empty_file(path):
    (path.parent / "full.db").write_bytes(b"")
    path.symlink_to("full.db")


def only_its_wal(path):
    path.with_name("scrimp.db-wal").write_bytes(b"the last calls")


def only_its_journal(path):
    path.with_name("scrimp.db-journal").write_bytes(b"half a transaction")


PLACES = {
    dangling: "is a link to .*away/scrimp.db, which is not there",
    dangling_in_a_folder_that_is_there: "is a link to elsewhere.db, which is not there",
    loop: r"scrimp.db \(a link to scrimp.db\) cannot be opened: Too many levels",
    loop_of_two: r"\(a link to other.db\) cannot be opened: Too many levels",
    through_a_file: r"\(a link to file/scrimp.db\) cannot be opened: Not a directory",
    folder: "is no file but a folder",
    link_to_a_folder: r"\(a link to \.\) is no file but a folder",
    pipe: "is no file but a pipe",
    device: r"\(a link to /dev/null\) is no file but a device",
    listening: "is no file but a socket",
    empty: "it is empty",
    link_to_an_empty_file: r"\(a link to full.db\) is empty",
    only_its_wal: "is gone, and .*scrimp.db-wal is still there",
    only_its_journal: "is gone, and .*scrimp.db-journal is still there",
}


def names(folder):
    return sorted((each.name, str(each.readlink()) if each.is_symlink() else None) for each in folder.iterdir())


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.__name__)
@pytest.mark.parametrize("to", [open_ledger, read_ledger], ids=["to write", "to read"])
def test_no_ledger_is_begun_where_something_else_stands(path, place, to):
    place(path)
    before = names(path.parent)
    with pytest.raises(LedgerError, match=PLACES[place]) as caught:
        to(path)
    assert caught.value.exit_code == ExitCode.CONFIG
    assert "Nothing was sent" in caught.value.hint
    assert names(path.parent) == before


def test_a_folder_that_is_away_is_no_empty_home(tmp_path):
    (tmp_path / "home").symlink_to("away")
    with pytest.raises(LedgerError, match="cannot be made or opened"):
        open_ledger(tmp_path / "home" / "scrimp.db")
    assert not (tmp_path / "away").exists()


def test_a_link_to_a_ledger_is_that_ledger(path, tmp_path):
    real = tmp_path / "disk" / "scrimp.db"
    with open_ledger(real) as ledger:
        spend(ledger)
    path.symlink_to(real)
    with open_ledger(path) as ledger:
        spend(ledger)
        assert {each.name for each in real.parent.iterdir()} >= {"scrimp.db-wal", "scrimp.db-shm"}
        assert names(path.parent) == [("scrimp.db", str(real))]
    with open_ledger(real) as ledger:
        assert ledger.rows("SELECT count(*) AS n FROM reservations") == [{"n": 2}]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_ledger_of_another_user_is_named_as_such(path):
    """The parent folders of a test's own are closed to others, so the file is put where all may look."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        theirs = Path(folder) / "scrimp.db"
        open_ledger(path).close()
        shutil.copy(path, theirs)
        theirs.chmod(0o600)
        code = (
            "import os, sys; from pathlib import Path; from scrimp.profiles.errors import LedgerError\n"
            "from scrimp.routing.ledger.store import open_ledger\n"
            "os.setgid(65534); os.setuid(65534)\n"
            "try: open_ledger(Path(sys.argv[1]))\n"
            "except LedgerError as error: print(error.message)"
        )
        done = subprocess.run([sys.executable, "-c", code, theirs], capture_output=True, text=True, timeout=60)
    assert "may not be read and written by this user; it belongs to user 0" in done.stdout, done.stderr


def test_a_read_only_file_system_is_named(path):
    open_ledger(path).close()
    code = (
        "import sys; from pathlib import Path; from scrimp.profiles.errors import LedgerError\n"
        "from scrimp.routing.ledger.store import read_ledger\n"
        "try: read_ledger(Path(sys.argv[1]))\n"
        "except LedgerError as error: print(error.message)"
    )
    mount = 'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" || exit 99; exec "$2" -c "$3" "$1/scrimp.db"'
    command = ["unshare", "-m", "sh", "-c", mount, "sh", str(path.parent), sys.executable, code]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    except FileNotFoundError:
        pytest.skip("there is no unshare here")
    if done.returncode == 99 or "unshare" in done.stderr:
        pytest.skip("nothing can be mounted here")
    assert "is on a file system that is read-only" in done.stdout, done.stderr


# ---- damage


def break_page(path, name):
    """Spoil the root page of a table or an index."""
    with open_ledger(path) as ledger:
        (root,) = ledger.rows("SELECT rootpage FROM sqlite_master WHERE name = ?", (name,))
        ledger.rows("PRAGMA wal_checkpoint(TRUNCATE)")
    data = bytearray(path.read_bytes())
    at = (root["rootpage"] - 1) * 4096
    data[at : at + 4096] = b"\xee" * 4096
    path.write_bytes(data)


@pytest.mark.parametrize("name", ["idx_reservations_at", "balances", "requests", "labels", "idx_labels_request_id"])
def test_nothing_is_reserved_in_a_damaged_ledger(path, name):
    with open_ledger(path) as ledger:
        spend(ledger)
    break_page(path, name)
    before = path.read_bytes()
    with pytest.raises(LedgerError, match="cannot be read") as caught, open_ledger(path) as ledger:
        spend(ledger)
    assert "Nothing was sent" in caught.value.hint
    assert path.read_bytes() == before


def test_of_a_large_ledger_the_money_is_looked_at(path, monkeypatch):
    monkeypatch.setattr("scrimp.routing.ledger.upkeep.WHOLE_BYTES", 0)
    with open_ledger(path) as ledger:
        tables = {row["name"] for row in ledger.rows("SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert tables >= set(MONEY_TABLES)
    break_page(path, "labels")
    with open_ledger(path) as ledger:
        make_sure(ledger)
    break_page(path, "idx_reservations_at")
    with open_ledger(path) as ledger, pytest.raises(LedgerError, match="cannot be read"):
        make_sure(ledger)


def test_a_ledger_is_looked_over_once_each_time_it_is_opened(path, monkeypatch):
    looks = []
    monkeypatch.setattr("scrimp.routing.ledger.upkeep.damage", lambda *_: looks.append(1))
    with open_ledger(path) as ledger:
        spend(ledger)
        spend(ledger)
    assert looks == [1]


@pytest.mark.parametrize("keep", [100, 4096, 40_960])
def test_a_ledger_cut_short_is_refused(path, keep):
    with open_ledger(path) as ledger:
        spend(ledger)
    os.truncate(path, keep)
    with pytest.raises(LedgerError, match="cannot be read"), open_ledger(path) as ledger:
        make_sure(ledger)
    assert path.stat().st_size == keep


def salvages():
    """Tell whether the sqlite3 command is there and was built to recover: Debian 12's ends in `sql error`."""
    if shutil.which("sqlite3") is None:
        return False
    done = subprocess.run(["sqlite3", ":memory:", ".recover"], capture_output=True, text=True, check=False, timeout=60)
    return done.returncode == 0 and "error" not in done.stderr


@pytest.mark.parametrize(
    "way",
    ["a backup", pytest.param("salvage", marks=pytest.mark.skipif(not salvages(), reason="no sqlite3 that recovers"))],
)
def test_the_hint_restores_a_ledger(path, tmp_path, way):
    """What the hint says is run by a shell, on a ledger whose last calls are still in its -wal."""
    with open_ledger(path) as ledger:
        spend(ledger)
        ledger.rows("PRAGMA wal_checkpoint(TRUNCATE)")
        shutil.copy(path, tmp_path / "backup.db")
        spend(ledger)
        for end in ("-wal", "-shm"):
            shutil.copy(f"{path}{end}", tmp_path / f"kept{end}")
    break_page(path, "idx_labels_request_id")
    for end in ("-wal", "-shm"):
        shutil.copy(tmp_path / f"kept{end}", f"{path}{end}")
    with pytest.raises(LedgerError, match="cannot be read") as caught, open_ledger(path) as ledger:
        make_sure(ledger)
    hint = caught.value.hint
    move = hint[hint.index("(mkdir") + 1 : hint.index("done)") + 4]
    subprocess.run(["sh", "-c", move], check=False, capture_output=True, timeout=60)
    assert [each.name for each in path.parent.iterdir() if not each.name.endswith(".lock")] == ["scrimp.db.damaged"]
    with pytest.raises(FileNotFoundError):
        path.stat()
    if way == "a backup":
        shutil.copy(tmp_path / "backup.db", path)
    else:
        subprocess.run(["sh", "-c", hint[hint.index("umask") :]], check=True, capture_output=True, timeout=60)
        assert path.stat().st_mode & 0o077 == 0
    with open_ledger(path) as ledger:
        assert damage(ledger) is None
        found = ledger.rows("SELECT count(*) AS n FROM reservations")[0]["n"]
        assert found == (1 if way == "a backup" else 2)
        spend(ledger)
        assert reservations.audit_balances(ledger) == {}


def test_a_newer_ledger_is_left_as_it_is(path):
    open_ledger(path).close()
    conn = sqlite3.connect(path)
    conn.execute("PRAGMA user_version = 99")
    conn.close()
    with pytest.raises(LedgerError, match="newer scrimp"):
        read_ledger(path)


MOUNTS = """\
36 35 98:0 / / rw,noatime shared:1 - ext4 /dev/sda1 rw
37 36 0:50 / /mnt/a\\040b rw shared:2 - nfs4 server:/x rw
38 36 0:51 / /mnt/ssh rw - fuse.sshfs me@there: rw
39 37 98:1 / /mnt/a\\040b/local rw - xfs /dev/sdb1 rw
"""


@pytest.mark.parametrize(
    ("where", "kind"),
    [
        ("/home/me", None),
        ("/mnt/a b/home", "nfs4"),
        ("/mnt/a bc", None),
        ("/mnt/a b/local/home", None),
        ("/mnt/ssh", "fuse.sshfs"),
    ],
)
def test_a_network_file_system_is_known(tmp_path, where, kind):
    mounts = tmp_path / "mountinfo"
    mounts.write_text(MOUNTS)
    assert network_file_system(Path(where) / "scrimp.db", mounts) == kind
    assert network_file_system(Path(where), tmp_path / "none") is None
