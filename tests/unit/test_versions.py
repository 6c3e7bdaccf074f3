"""Router versions: whole or not at all, one current, every change undoable."""

import subprocess
import sys

import pytest

from scrimp.profiles.errors import DataError, TryAgainError, UsageError
from scrimp.routing.router import versions
from scrimp.routing.router.in_force import SHIPPED, load_router


@pytest.fixture
def routers(tmp_path):
    folder = tmp_path / "routers"
    folder.mkdir()
    return folder


def make(routers, name, **verdict):
    router = load_router(SHIPPED, routers).with_layers({}, name)
    return versions.write_version(routers, router, {"verdict": "refused", **verdict})


def test_promote_list_and_roll_back(routers):
    make(routers, "r0001")
    make(routers, "r0002")
    assert versions.current_name(routers) == SHIPPED
    for name, before in (("r0001", SHIPPED), ("r0002", "r0001")):
        assert versions.promote(routers, name, at="t") == before
        assert load_router(None, routers).version == name
    assert [(each.name, each.current) for each in versions.list_versions(routers)] == [
        (SHIPPED, False), ("r0001", False), ("r0002", True),
    ]  # fmt: skip
    assert versions.rollback(routers, at="t") == ("r0002", "r0001")
    assert versions.rollback(routers, at="t") == ("r0001", SHIPPED)
    with pytest.raises(UsageError, match="nothing to go back to"):
        versions.rollback(routers, at="t")
    assert versions.next_name(routers) == "r0003"


def test_two_at_once(routers):
    with versions.lock(routers), pytest.raises(TryAgainError), versions.lock(routers):
        pass
    with versions.lock(routers):
        pass


@pytest.mark.parametrize("name", ["../etc", "r9999", ".new-x", ""])
def test_names_that_are_none(routers, name):
    with pytest.raises(UsageError, match="no router version"):
        versions.promote(routers, name, at="t")
    assert versions.current_name(routers) == SHIPPED


def test_a_damaged_version_is_listed_and_never_promoted(routers):
    folder = make(routers, "r0001")
    make(routers, "r0002")
    versions.promote(routers, "r0002", at="t")
    (folder / "router.npz").write_bytes(b"garbage")
    with pytest.raises(DataError, match="checksum differs"):
        versions.promote(routers, "r0001", at="t")
    assert versions.current_name(routers) == "r0002"
    problems = {each.name: each.problem for each in versions.list_versions(routers)}
    assert problems["r0002"] is None
    assert "checksum" in problems["r0001"]


def test_a_kill_while_writing_leaves_the_current_router(routers):
    """The version is written beside its place; what a killed refit left there is cleared by the next."""
    make(routers, "r0001")
    versions.promote(routers, "r0001", at="t")
    code = (
        "import contextlib, os, sys, pathlib\n"
        "from scrimp.routing.router import versions, folder as router_file\n"
        "from scrimp.routing.router.in_force import load_router\n"
        "routers = pathlib.Path(sys.argv[1])\n"
        "real = router_file.replacing\n"
        "@contextlib.contextmanager\n"
        "def replacing(path, **how):\n"
        "    with real(path, **how) as file:\n"
        "        yield file\n"
        "    os.kill(os.getpid(), 9)\n"
        "router_file.replacing = replacing\n"
        "with versions.lock(routers):\n"
        "    versions.write_version(routers, load_router('shipped', routers).with_layers({}, 'r0002'), {})\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(routers)], capture_output=True, timeout=120)
    assert done.returncode == -9, done.stderr
    assert load_router(None, routers).version == "r0001"
    assert not (routers / "r0002").exists()
    with versions.lock(routers):
        assert not list(routers.glob(".new-*"))
        assert versions.next_name(routers) == "r0002"


def test_old_versions_that_were_never_current_go(routers):
    make(routers, "r0001")
    versions.promote(routers, "r0001", at="t")
    for k in range(2, 10):
        make(routers, f"r{k:04d}")
    names = [each.name for each in versions.list_versions(routers)]
    assert names == [SHIPPED, "r0001", "r0005", "r0006", "r0007", "r0008", "r0009"]
