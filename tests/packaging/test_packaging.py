"""What is shipped: names, contents, and that sdist and checkout build the same wheel."""

import ast
import os
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("cli", "routing", "profiles")


def test_every_sub_package_is_listed():
    listed = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"])
    found = {
        ".".join(("scrimp", *path.parent.relative_to(ROOT).parts))
        for folder in (*FOLDERS, "completions")
        for path in (ROOT / folder).rglob("__init__.py")
    }
    assert found == listed


def test_imports_point_inward_and_are_never_bare():
    """cli -> routing -> profiles; across folders as scrimp.x, within one relative."""
    may = {"cli": {"cli", "routing", "profiles"}, "routing": {"routing", "profiles"}, "profiles": {"profiles"}}
    for folder in FOLDERS:
        for path in (ROOT / folder).rglob("*.py"):
            depth = len(path.relative_to(ROOT).parts) - 1
            for node in ast.walk(ast.parse(path.read_text())):
                names = []
                if isinstance(node, ast.Import):
                    names = [alias.name for alias in node.names]
                elif isinstance(node, ast.ImportFrom):
                    assert node.level <= depth, f"{path}:{node.lineno} leaves its folder by a relative import"
                    names = [node.module or ""] if node.level == 0 else []
                for name in names:
                    parts = name.split(".")
                    assert parts[0] not in FOLDERS, f"{path}:{node.lineno} imports {name} bare"
                    if parts[0] == "scrimp":
                        assert parts[1] in may[folder], f"{path}:{node.lineno} imports {name} outward"


def test_generated_files_have_not_drifted():
    done = subprocess.run(
        [sys.executable, "-m", "scrimp.cli.manual", "--check"], capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 0, f"run `just docs`:\n{done.stdout}{done.stderr}"


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The sdist, the wheel built from the checkout, and the wheel built from the sdist."""
    out = tmp_path_factory.mktemp("dist")

    def build(*arguments):
        # Away from the checkout: its build/ keeps what has since been moved, and would ship it.
        (out / "away.cfg").write_text(f"[build]\nbuild_base = {out}/base-{arguments[0].name}\n")
        done = subprocess.run(
            [sys.executable, "-m", "build", "--no-isolation", "-o", *arguments],
            capture_output=True,
            text=True,
            env={**os.environ, "DIST_EXTRA_CONFIG": str(out / "away.cfg")},
        )
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]

    build(out / "checkout", "--sdist", "--wheel", ROOT)
    (sdist,) = (out / "checkout").glob("*.tar.gz")
    with tarfile.open(sdist) as tar:
        if hasattr(tarfile, "data_filter"):
            tar.extractall(out / "unpacked", filter="data")
        else:  # Python 3.11.0 to 3.11.3: the archive is our own
            tar.extractall(out / "unpacked")
    (source,) = (out / "unpacked").iterdir()
    build(out / "again", "--wheel", source)
    return sdist, *(out / "checkout").glob("*.whl"), *(out / "again").glob("*.whl")


def contents(wheel):
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist() if not name.endswith("RECORD")}


def test_the_sdist_builds_the_same_wheel(built):
    _, wheel, again = built
    assert contents(wheel) == contents(again)


def test_the_wheel_holds_what_is_needed_and_no_bare_names(built):
    _, wheel, _ = built
    names = set(contents(wheel))
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name and ".data/" not in name} == {"scrimp"}
    for needed in (
        "scrimp/cli/main.py",
        "scrimp/profiles/local.toml",
        "scrimp/profiles/py.typed",
        "scrimp/completions/_scrimp",
        "scrimp/completions/scrimp.fish",
        "scrimp/routing/weights/embedder/tokenizer.json",
        "scrimp/routing/weights/abilities.json",
    ):
        assert needed in names, needed
    assert not any("tests/" in name for name in names)


def test_bare_names_do_not_import_from_the_wheel(built, tmp_path):
    _, wheel, _ = built
    target = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(target)
    script = (
        f"import sys; sys.path.insert(0, {str(target)!r})\n"
        "sys.meta_path = [finder for finder in sys.meta_path if 'editable' not in type(finder).__module__ + repr(finder)]\n"
        "for name in ('cli', 'routing', 'profiles'):\n"
        "    try: __import__(name)\n"
        "    except ModuleNotFoundError: pass\n"
        "    else: raise SystemExit(f'{name} imports')\n"
        "import scrimp.cli; print(scrimp.cli.__file__)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert str(target) in done.stdout
