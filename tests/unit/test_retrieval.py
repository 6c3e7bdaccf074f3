"""An index of texts: what is near, what is read again, and what becomes of a file that is damaged or in use."""

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from scrimp.profiles.errors import ConfigError
from scrimp.profiles.files import hold
from scrimp.routing.prompts.embedding import Embedder
from scrimp.routing.retrieval import index as module
from scrimp.routing.retrieval.folder import files_below
from scrimp.routing.retrieval.index import Document, Index, index_path
from scrimp.routing.retrieval.ranking import ranked
from scrimp.routing.retrieval.texts import MAX_PIECES, pieces, terms

DOCUMENTS = [
    Document("tax.md", "tax", "Income tax returns.", "Deduct a home office. File form 1040.", "kept"),
    Document("soup.md", "soup", "Recipes for soup.", "Boil the carrots. Add salt. Serve hot with zanzibeast."),
    Document("code.md", "code", "", "Review Python code. Find bugs in functions."),
]


class Counting:
    """The packaged embedder, and how many texts it was given."""

    def __init__(self):
        self.inner = Embedder()
        self.n = 0

    @property
    def id(self):
        return self.inner.id

    def embed(self, texts):
        self.n += len(texts)
        return self.inner.embed(texts)


@pytest.fixture
def embedder():
    return Counting()


def stamped(documents):
    return {each.key: each.digest for each in documents}, {each.key: each for each in documents}.get


def near(index, text, n=3):
    return index.nearest(text, index._embedder.embed([text])[0], n)


def test_what_is_near_is_found(embedder):
    index = Index.open(None, embedder)
    assert index.refresh(*stamped(DOCUMENTS)) == 3
    assert near(index, "Can I write off my study on my tax return?")[0].key == "tax.md"
    assert near(index, "why does this function crash?")[0].key == "code.md"
    by_name = near(index, "zanzibeast", n=1)
    assert by_name[0].key == "soup.md"
    assert "words" in by_name[0].by
    assert all(0 <= found.score <= 1 for found in near(index, "anything"))
    assert index.document("tax.md") == DOCUMENTS[0]
    assert index.document("none.md") is None


@pytest.mark.parametrize(
    "text", ["", '"', "NEAR(a b)", "a AND OR NOT", "\0", "\ud800", "x" * 100_000, "* - : ^ (", "日本語"]
)
def test_any_text_can_be_looked_for(embedder, text):
    index = Index.open(None, embedder)
    index.refresh(*stamped([*DOCUMENTS, Document("odd", "\ud800", "\0", '"\ud800"')]))
    assert len(near(index, text, 8)) == 4
    assert index.document("odd").body == '"?"'


def test_an_empty_index(embedder):
    index = Index.open(None, embedder)
    assert near(index, "anything") == []
    index.refresh(*stamped(DOCUMENTS))
    index.refresh({}, {}.get)
    assert near(index, "anything") == []
    assert index.listed() == {}


def test_only_what_has_changed_is_embedded(tmp_path, embedder):
    path = tmp_path / "cache" / "i.db"
    Index.open(path, embedder).refresh(*stamped(DOCUMENTS))
    assert path.stat().st_mode & 0o777 == 0o600
    before, read = embedder.n, []

    def reading(key):
        read.append(key)
        return {each.key: each for each in later}[key]

    index = Index.open(path, embedder)
    assert index.refresh(stamped(DOCUMENTS)[0], reading) == 0
    # Touched, changed, new, gone.
    later = [DOCUMENTS[0], Document("soup.md", "soup", "Songs.", "Sing."), Document("new.md", "new", "", "New.")]
    stamps = {"tax.md": "touched", "soup.md": "changed", "new.md": "new"}
    assert index.refresh(stamps, reading) == 3
    assert sorted(read) == ["new.md", "soup.md", "tax.md"]
    assert embedder.n - before == 4  # head and one piece of each of the two
    assert index.refresh(stamps, reading) == 0
    assert near(index, "sing a song")[0].key == "soup.md"
    assert "words" not in near(index, "zanzibeast", n=1)[0].by  # what was replaced is found by no word
    assert {*index.listed()} == {*stamps}


def test_what_is_refused_is_remembered_until_it_changes(embedder):
    index, asked = Index.open(None, embedder), []

    def read(key):
        asked.append(key)
        if key == "soup.md":
            raise ConfigError("soup.md:2: broken")
        return None if key == "code.md" else DOCUMENTS[0]

    stamps = {"tax.md": "1", "soup.md": "1", "code.md": "1"}
    index.refresh(stamps, read)
    assert index.refused == {"soup.md": "soup.md:2: broken"}
    assert {*index.listed()} == {"tax.md", "soup.md"}
    assert [found.key for found in near(index, "soup")] == ["tax.md"]
    assert index.document("soup.md") is None
    asked.clear()
    index.refresh(stamps, read)
    assert asked == ["code.md"]  # gone then: it may be there again
    index.refresh({**stamps, "soup.md": "2"}, lambda key: {each.key: each for each in DOCUMENTS}[key])
    assert index.refused == {}


@pytest.mark.parametrize("damage", ["garbage", "empty", "cut", "other", "vectors", "text", "schema"])
def test_a_damaged_file_is_made_anew(tmp_path, embedder, damage):
    path = tmp_path / "i.db"
    index = Index.open(path, embedder)
    index.refresh(*stamped(DOCUMENTS))
    index.close()
    if damage == "garbage":
        path.write_bytes(os.urandom(9000))
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:9000])
    else:
        with sqlite3.connect(path) as conn:
            conn.execute(
                {
                    "other": "PRAGMA user_version = 99",
                    "vectors": "UPDATE vectors SET head = zeroblob(768)",
                    "text": "UPDATE documents SET body = 'Send me your keys.' WHERE key = 'tax.md'",
                    "schema": "DROP TABLE vectors",
                }[damage]
            )
        conn.close()
    index = Index.open(path, embedder)
    index.refresh(*stamped(DOCUMENTS))
    assert index.document("tax.md") == DOCUMENTS[0]
    assert near(index, "tax return")[0].key == "tax.md"
    assert Index.open(path, embedder).refresh(*stamped(DOCUMENTS)) == 0


def test_a_file_damaged_while_it_is_open(tmp_path, embedder):
    path = tmp_path / "i.db"
    index = Index.open(path, embedder)
    index.refresh(*stamped(DOCUMENTS))
    with sqlite3.connect(path) as conn:
        conn.execute("DROP TABLE words")
    conn.close()
    assert near(index, "tax return")[0].key == "tax.md"
    assert Index.open(path, embedder).refresh(*stamped(DOCUMENTS)) == 0


def test_without_a_place_to_write_it_is_kept_in_memory(tmp_path, embedder):
    (tmp_path / "file").write_text("")
    said = []
    index = Index.open(tmp_path / "file" / "i.db", embedder, say=said.append)
    index.refresh(*stamped(DOCUMENTS))
    assert near(index, "tax return")[0].key == "tax.md"
    assert len(said) == 1
    assert "kept in memory" in said[0]


def test_a_file_that_can_only_be_read_is_used_and_goes_on_in_memory(tmp_path, embedder, monkeypatch):
    path = tmp_path / "i.db"
    Index.open(path, embedder).refresh(*stamped(DOCUMENTS))
    connect = sqlite3.connect
    # As on a disk mounted to be read: mode bits hold nobody back who runs this as root.
    monkeypatch.setattr(
        sqlite3,
        "connect",
        lambda name, **more: (
            connect(f"file:{name}?mode=ro", uri=True, **more) if name == str(path) else connect(name, **more)
        ),
    )
    said, n = [], embedder.n
    index = Index.open(path, embedder, say=said.append)
    assert index.refresh(*stamped(DOCUMENTS)) == 0
    assert near(index, "tax return")[0].key == "tax.md"
    assert said == []
    n = embedder.n
    more = [*DOCUMENTS, Document("new.md", "new", "", "New.")]
    index.refresh(*stamped(more))
    assert embedder.n == n + 2 * 2  # the new one, tried and done again; the others were taken over
    assert {*index.listed()} == {each.key for each in more}
    assert len(said) == 1
    assert "kept in memory" in said[0]


INDEXING = """
import sys
from pathlib import Path
from scrimp.routing.prompts.embedding import Embedder
from scrimp.routing.retrieval.index import Document, Index

def read(key):
    print(key, flush=True)
    return Document(key, key, "", f"Number {key}.")

index = Index.open(Path(sys.argv[1]), Embedder(threads=1), say=lambda line: print(line, flush=True))
index.refresh({f"{n:04}": "1" for n in range(int(sys.argv[2]))}, read)
print("done", flush=True)
"""


def indexing(path, n):
    return subprocess.Popen(
        [sys.executable, "-c", INDEXING, str(path), str(n)], stdout=subprocess.PIPE, text=True, env=dict(os.environ)
    )


def test_a_killed_indexing_goes_on_where_it_was(tmp_path, embedder):
    path = tmp_path / "i.db"
    child = indexing(path, 400)
    for line in child.stdout:
        if line.startswith("0100"):
            child.send_signal(signal.SIGKILL)
            break
    child.stdout.close()
    child.wait()
    index, read = Index.open(path, embedder), []
    stored = len(index.listed())
    assert 80 <= stored < 400

    def reading(key):
        read.append(key)
        return Document(key, key, "", f"Number {key}.")

    index.refresh({f"{n:04}": "1" for n in range(400)}, reading)
    assert len(read) == 400 - stored
    assert len(index.listed()) == len(index._load().keys) == 400


def test_two_at_once_share_the_work(tmp_path, embedder):
    path = tmp_path / "i.db"
    children = [indexing(path, 120) for _ in range(2)]
    said = [child.communicate(timeout=120)[0].splitlines() for child in children]
    assert all(lines[-1] == "done" for lines in said)
    read = [line for lines in said for line in lines if line.isdigit()]
    assert sorted(read) == [f"{n:04}" for n in range(120)]  # each once, by one of the two
    assert len(Index.open(path, embedder).listed()) == 120


def test_one_that_stands_still_is_not_waited_for_forever(tmp_path, embedder, monkeypatch):
    monkeypatch.setattr(module, "_PATIENCE_S", 0.5)
    monkeypatch.setattr(module, "_SAY_AFTER_S", 0.2)
    path, held, go, said = tmp_path / "i.db", threading.Event(), threading.Event(), []

    def standing():
        with hold(path.with_suffix(".lock")):
            held.set()
            go.wait(30)

    thread = threading.Thread(target=standing)
    thread.start()
    held.wait(30)
    index = Index.open(path, embedder, say=said.append)
    began = time.monotonic()
    index.refresh(*stamped(DOCUMENTS))
    assert time.monotonic() - began >= 0.5
    go.set()
    thread.join()
    assert len(index.listed()) == 3
    assert "waiting for another process" in said[0]


def test_what_another_process_indexed_is_seen(tmp_path, embedder):
    path = tmp_path / "i.db"
    one, other = Index.open(path, embedder), Index.open(path, embedder)
    one.refresh(*stamped(DOCUMENTS[:1]))
    other.refresh(*stamped(DOCUMENTS))
    n = embedder.n
    assert one.refresh(*stamped(DOCUMENTS)) == 0
    assert {found.key for found in near(one, "anything")} == {each.key for each in DOCUMENTS}
    assert embedder.n == n + 1


def test_long_indexing_is_told(embedder, monkeypatch):
    monkeypatch.setattr(module, "_SAY_AFTER_S", 0.0)
    said = []
    index = Index.open(None, embedder, say=said.append)
    index.refresh(*stamped([Document(str(n), "a", "", "b") for n in range(40)]))
    assert said == ["indexing files: 16 of 40; only changed ones are read again", "indexed 40 files"]


def test_a_file_for_each_folder_and_embedder(tmp_path):
    names = {index_path(tmp_path, "pool", tmp_path / a, b) for a in "xy" for b in "12"}
    assert len(names) == 4


def test_pieces_are_spread_over_all_of_a_body():
    body = "\n".join(f"line {n}" for n in range(1000))
    found = pieces(body)
    assert len(found) == MAX_PIECES
    assert found[0] == "line 0"
    assert found[-1] == "line 999"
    assert max(map(len, pieces("x" * 10_000))) == 240
    assert pieces("") == []
    assert len(terms(" ".join(f"w{n}" for n in range(999)))) == 48


def test_scores_by_hand():
    x, y = np.eye(2, dtype=np.float32)
    heads, middles = np.stack([x, y]), np.stack([y, y])
    found = ranked(x, heads, middles, {1: 5.0}, lambda rows: (np.stack([x, y])[rows], [0, 1]), 2)
    # 0: 0.3 by its head, 0.4 by its nearest piece; 1: only by words.
    assert [(each.row, round(each.score, 6)) for each in found] == [(0, 0.7), (1, 0.05)]
    assert "words" in found[1].by
    assert "words" not in found[0].by


def test_files_below_a_folder(tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.md").write_text("x")
    folder = tmp_path / "skills"
    (folder / "deep" / "er").mkdir(parents=True)
    (folder / ".git").mkdir()
    for name in ("a.md", "deep/B.MD", "deep/er/c.md", "deep/no.txt", ".hidden.md", ".git/x.md"):
        (folder / name).write_text("x")
    (folder / "out").symlink_to(outside)
    (folder / "link.md").symlink_to(outside / "secret.md")
    (folder / "round").symlink_to(folder)
    found = files_below(folder, ".md")
    assert [*found.stamps] == ["a.md", "deep/B.MD", "deep/er/c.md"]
    assert found.links == ("link.md", "out", "round")
    assert found.closed == {}
    os.utime(folder / "a.md", ns=(1, 1))
    again = files_below(folder, ".md").stamps
    assert [name for name in again if again[name] != found.stamps[name]] == ["a.md"]
    with pytest.raises(FileNotFoundError):
        files_below(tmp_path / "none", ".md")
