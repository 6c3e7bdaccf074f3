"""What `scrimp serve` refuses before it serves, and how it says so."""

import socket
import sys

import pytest

from scrimp.profiles.errors import ConfigError
from scrimp.profiles.installer import how_to_add
from scrimp.routing.serving.listen import is_loopback, make_token, read_token, write_private


def test_the_servers_packages_may_be_missing(scrimp, profile, monkeypatch, unimported):
    unimported("scrimp.routing.serving")
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    done = scrimp("serve", "-p", profile())
    assert done.code == 78
    assert how_to_add("serve") in done.err
    assert "uvicorn" in done.err


def test_a_port_that_is_taken(scrimp, profile):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = scrimp("serve", "-p", profile(), "--port", port)
    assert done.code == 2
    assert f"127.0.0.1:{port}" in done.err
    assert "--port 0" in done.err


@pytest.mark.parametrize(
    ("flags", "word"),
    [
        (["--no-token", "--host", "0.0.0.0"], "this machine alone"),
        (["--no-token", "--token", "x" * 20], "do not go together"),
        (["--token", "has a blank"], "printable"),
        (["--host", "no.such.host.invalid"], "cannot listen"),
        (["--max-cost", "lots"], "--max-cost"),
    ],
)
def test_what_does_not_go_together_is_refused(scrimp, profile, flags, word):
    done = scrimp("serve", "-p", profile(), *flags)
    assert done.code == 2
    assert word in done.err
    assert "Traceback" not in done.err


def test_a_profile_without_a_key_is_refused_at_once(scrimp, profile, monkeypatch):
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    for command in (["serve"], ["run", sys.executable, "-c", "print('ran')"]):
        done = scrimp(command[0], "-p", profile(key_env="NO_SUCH_KEY"), *command[1:])
        assert done.code == 4
        assert "NO_SUCH_KEY" in done.err
        assert "ran" not in done.out


def test_a_token_is_kept(tmp_path):
    file = tmp_path / "token"
    assert read_token(file) is None
    token = make_token()
    write_private(file, token)
    assert read_token(file) == token
    assert oct(file.stat().st_mode)[-3:] == "600"
    assert [each.name for each in tmp_path.iterdir()] == ["token"]
    file.chmod(0o644)
    with pytest.raises(ConfigError, match="others"):
        read_token(file)
    file.chmod(0o600)
    file.write_text("short\n")
    with pytest.raises(ConfigError, match="16 or more"):
        read_token(file)


def test_loopback_is_told_from_the_rest():
    assert [is_loopback(host) for host in ("localhost", "127.0.0.1", "127.9.9.9", "::1")] == [True] * 4
    assert not any(map(is_loopback, ("0.0.0.0", "::", "10.0.0.1", "example.org")))
