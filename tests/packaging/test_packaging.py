"""What is shipped: names, contents, and that sdist and checkout build the same wheel."""

import ast
import os
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest
from conftest import environment

ROOT = Path(__file__).parents[2]
FOLDERS = ("cli", "routing", "profiles")
FACE = ROOT / "cli" / "python"
"""The package `scrimp` itself: a folder of cli/, since the folders of the top level are fixed."""


def test_every_sub_package_is_listed():
    listed = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"])
    found = {
        "scrimp" if path.parent == FACE else ".".join(("scrimp", *path.parent.relative_to(ROOT).parts))
        for folder in (*FOLDERS, "completions")
        for path in (ROOT / folder).rglob("__init__.py")
    }
    assert found == listed


def test_type_checkers_see_every_module_of_the_package_itself():
    links = {path.name: path.resolve() for path in (ROOT / "tests" / "types" / "scrimp").iterdir()}
    modules = {path.name: path for path in FACE.glob("*.py")}
    assert links == modules | {folder: ROOT / folder for folder in FOLDERS}


def test_imports_point_inward_and_are_never_bare():
    """cli -> routing -> profiles; across folders as scrimp.x, within one relative."""
    may = {"cli": {"cli", "routing", "profiles"}, "routing": {"routing", "profiles"}, "profiles": {"profiles"}}
    for folder in FOLDERS:
        for path in (ROOT / folder).rglob("*.py"):
            depth = 1 if path.parent == FACE else len(path.relative_to(ROOT).parts) - 1
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


def test_importing_the_package_imports_nothing_else():
    script = (
        "import sys; before = set(sys.modules); import scrimp; print(*sorted(set(sys.modules) - before))\n"
        "print(scrimp.Scrimp.__module__, scrimp.BudgetRefusedError.__module__, scrimp.__version__)\n"
        "print('litellm' in sys.modules, 'numpy' in sys.modules, 'sqlite3' in sys.modules)\n"
        "missing = [name for name in scrimp.__all__ if not hasattr(scrimp, name)]; print(missing)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    imported, homes, heavy, missing = done.stdout.splitlines()
    assert imported == "scrimp", done.stderr
    assert homes == f"scrimp.client scrimp.profiles.errors {version('scrimp')}"
    assert heavy == "False False False"
    assert missing == "[]"


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
        "scrimp/__init__.py",
        "scrimp/__main__.py",
        "scrimp/client.py",
        "scrimp/py.typed",
        "scrimp/cli/main.py",
        "scrimp/profiles/local.toml",
        "scrimp/profiles/py.typed",
        "scrimp/completions/_scrimp",
        "scrimp/completions/scrimp.fish",
        "scrimp/routing/weights/embedder/tokenizer.json",
        "scrimp/routing/weights/abilities.json",
        "scrimp/profiles/without_requirements.txt",
        f"scrimp-{version('scrimp')}.data/data/share/man/man1/scrimp.1",
    ):
        assert needed in names, needed
    assert not any("tests/" in name or name.startswith("scrimp/cli/python/") for name in names)


def test_an_installed_wheel_asks(built, tmp_path, running_server):
    """`python -m scrimp` and `import scrimp`, away from the checkout, of the wheel alone."""
    _, wheel, _ = built
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    profile = tmp_path / "p.toml"
    profile.write_text(
        'name = "p"\n[caps]\nper_day_usd = 1.0\n[[arms]]\nname = "small"\nmodel = "openai/echo"\n'
        f'api_base = "{running_server.base_url}"\nmax_output_tokens = 50\n'
        "price = { input_usd_per_mtok = 1, output_usd_per_mtok = 4 }\n"
    )

    def run(*arguments):
        away = {**environment(tmp_path / "home"), "PYTHONPATH": str(site)}
        argv = [sys.executable, "-P", *arguments]
        return subprocess.run(argv, capture_output=True, text=True, cwd=tmp_path, env=away, stdin=subprocess.DEVNULL)

    done = run("-m", "scrimp", "ask", "-p", str(profile), "hello there")
    assert (done.returncode, done.stdout) == (0, "hello there\n"), done.stderr
    script = f"import scrimp; print(scrimp.Scrimp({str(profile)!r}).ask('from Python')); print(scrimp.__file__)"
    done = run("-c", script)
    assert (done.stdout, done.stderr) == (f"from Python\n{site}/scrimp/__init__.py\n", "")


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
