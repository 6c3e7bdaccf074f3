"""`scrimp completions install` for bash: where bash-completion looks, and nothing in anybody's rc file."""

import subprocess

import pytest


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        (None, ".local/share/bash-completion"),
        ("XDG_DATA_HOME", "data/bash-completion"),
        ("BASH_COMPLETION_USER_DIR", "data"),
    ],
)
def test_bash_finds_it_by_the_commands_name(scrimp, home, monkeypatch, name, folder):
    for each in ("XDG_DATA_HOME", "BASH_COMPLETION_USER_DIR"):
        monkeypatch.delenv(each, raising=False)
    if name is not None:
        monkeypatch.setenv(name, str(home.parent / "data"))
    done = scrimp("completions", "install", "bash")
    path = home.parent / folder / "completions" / "scrimp"
    assert (done.code, done.out) == (0, "")
    assert f"installed for bash in {path}" in done.err
    assert path.read_text() == scrimp("completions", "show", "bash").out
    assert not (home.parent / ".bashrc").exists()
    assert not (home.parent / ".bash_completions").exists()
    loaded = subprocess.run(["bash", "-c", f". '{path}'; complete -p scrimp"], capture_output=True, text=True)
    assert "_scrimp_completion scrimp" in loaded.stdout


def test_a_folder_that_cannot_be_written_is_named(scrimp, home, monkeypatch):
    (home.parent / "data").write_text("a file")
    monkeypatch.setenv("XDG_DATA_HOME", str(home.parent / "data"))
    done = scrimp("completions", "install", "bash")
    assert done.code == 2
    assert "cannot write" in done.err
    assert "completions show bash" in done.err
