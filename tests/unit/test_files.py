"""Files of one's own, against a real disk and processes that are killed."""

import errno
import os
import stat
import subprocess
import sys
import threading
import time

import pytest

from scrimp.profiles.files import hold, new_file, replacing, unfinished


def mode_of(path):
    return stat.S_IMODE(path.stat().st_mode)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_what_takes_the_place_is_whole_and_private(tmp_path):
    path = tmp_path / "it"
    path.write_text("old")
    path.chmod(0o644)
    before = os.umask(0)
    try:
        with replacing(path) as file:
            file.write(b"new")
            assert path.read_text() == "old"
            assert mode_of(unfinished(path)) == 0o600
    finally:
        os.umask(before)
    assert (path.read_text(), mode_of(path), names(tmp_path)) == ("new", 0o600, ["it"])


def test_a_mode_that_is_asked_for_passes_through_the_umask(tmp_path):
    before = os.umask(0o027)
    try:
        with replacing(tmp_path / "it", mode=0o666):
            pass
    finally:
        os.umask(before)
    assert mode_of(tmp_path / "it") == 0o640


def test_it_is_on_disk_before_its_name_is_and_the_name_before_we_go_on(tmp_path, monkeypatch):
    """The file, then its folder: in the other order a power cut leaves an empty file under the right name."""
    real, synced = os.fsync, []

    def fsync(fd):
        synced.append((stat.S_ISDIR(os.fstat(fd).st_mode), (tmp_path / "it").exists()))
        real(fd)

    monkeypatch.setattr(os, "fsync", fsync)
    with replacing(tmp_path / "it") as file:
        file.write(b"new")
    assert synced == [(False, False), (True, True)]


def iterate(chunk, error):
    yield chunk
    raise error


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), KeyboardInterrupt()])
def test_an_error_leaves_what_was_there(tmp_path, error):
    path = tmp_path / "it"
    path.write_text("old")

    with pytest.raises(type(error)), replacing(path) as file:
        file.writelines(iterate(b"half", error))
    assert (path.read_text(), names(tmp_path)) == ("old", ["it"])


def test_a_link_is_never_written_through(tmp_path):
    elsewhere = tmp_path / "elsewhere"
    unfinished(tmp_path / "it").symlink_to(elsewhere)
    with replacing(tmp_path / "it") as file:
        file.write(b"new")
    assert names(tmp_path) == ["it"]
    (tmp_path / "new").symlink_to(elsewhere)
    with pytest.raises(FileExistsError):
        new_file(tmp_path / "new")
    (tmp_path / "lock").symlink_to(elsewhere)
    with pytest.raises(OSError, match="symbolic"), hold(tmp_path / "lock", wait=False):
        pass
    assert not elsewhere.exists()


def test_what_a_kill_left_is_cleared_by_the_next(tmp_path):
    code = (
        "import os, pathlib, sys\n"
        "from scrimp.profiles.files import replacing\n"
        "with replacing(pathlib.Path(sys.argv[1])) as file:\n"
        "    file.write(b'half'); file.flush(); os.kill(os.getpid(), 9)\n"
    )
    path = tmp_path / "it"
    assert subprocess.run([sys.executable, "-c", code, str(path)]).returncode == -9
    assert names(tmp_path) == [unfinished(path).name]
    with replacing(path) as file:
        file.write(b"new")
    assert (path.read_text(), names(tmp_path)) == ("new", ["it"])


HOLDER = (
    "import pathlib, sys, time\n"
    "from scrimp.profiles.files import hold\n"
    "with hold(pathlib.Path(sys.argv[1])):\n"
    "    print('held', flush=True); time.sleep(60)\n"
)


def test_a_lock_goes_with_its_process(tmp_path):
    lock = tmp_path / "lock"
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(lock)], stdout=subprocess.PIPE) as holder:
        assert holder.stdout.readline() == b"held\n"
        started = time.monotonic()
        with pytest.raises(TimeoutError), hold(lock, wait=False):
            pass
        assert time.monotonic() - started < 5
        holder.kill()
        holder.wait()
        with hold(lock, wait=False):
            assert mode_of(lock) == 0o600


def test_a_lock_is_waited_for(tmp_path):
    lock = tmp_path / "lock"
    with hold(lock):
        waiting = subprocess.Popen([sys.executable, "-c", HOLDER, str(lock)], stdout=subprocess.PIPE)
        os.set_blocking(waiting.stdout.fileno(), False)
        with pytest.raises(subprocess.TimeoutExpired):
            waiting.wait(1)
        assert waiting.stdout.read() is None
    os.set_blocking(waiting.stdout.fileno(), True)
    assert waiting.stdout.readline() == b"held\n"
    waiting.kill()
    waiting.communicate()


def test_looking_at_the_ledger_loads_no_locks(tmp_path):
    """`spend --short` stands in a shell prompt: 50 ms would be felt."""
    from scrimp.routing.ledger.store import open_ledger

    open_ledger(tmp_path / "scrimp.db").close()
    code = "import sys; from scrimp.cli.short import run_short; print(run_short([]), 'filelock' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=os.environ | {"SCRIMP_HOME": str(tmp_path)}
    )
    assert done.stdout.splitlines()[-1] == "0 False", done.stderr


def test_price_tables_stored_at_once_are_each_whole(tmp_path):
    """Writers of one path share the file beside it: without a lock one moves into place what another has half written."""
    from scrimp.profiles.files import store_own

    path = tmp_path / "prices.json"
    tables = [bytes([65 + k]) * 3_000_000 for k in range(6)]
    failures, seen = [], []

    def store(data):
        try:
            for _ in range(5):
                store_own(path, data)
                seen.append(path.read_bytes())
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=store, args=(data,)) for data in tables]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert all(data in tables for data in seen)
    assert names(tmp_path) == [".lock", "prices.json"]
