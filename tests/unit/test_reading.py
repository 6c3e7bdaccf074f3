"""Files read to a limit: endless ones, huge ones, pipes; and router versions that unpack to more than they say."""

import hashlib
import io
import json
import os
import shutil
import threading
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest

from scrimp.profiles.errors import DataError
from scrimp.profiles.reading import MAX_FILE_BYTES, lines_of, read_bytes, read_text
from scrimp.routing.batch.files import rows as batch_rows
from scrimp.routing.batch.files import table as batch_table
from scrimp.routing.batch.files.scan import read_rows
from scrimp.routing.batch.files.source import Source
from scrimp.routing.router import folder as router_folder
from scrimp.routing.router.folder import read_router
from scrimp.routing.router.in_force import shipped_folder


@pytest.fixture
def huge(tmp_path):
    file = tmp_path / "huge"
    with file.open("wb") as out:
        out.truncate(10 << 30)  # sparse
    return file


def test_what_fits_is_read_whole(tmp_path):
    (tmp_path / "a").write_bytes(b"\xc3\xa9" * 10)
    assert read_text(tmp_path / "a") == "é" * 10
    assert read_bytes(tmp_path / "a", limit=20) == b"\xc3\xa9" * 10
    with pytest.raises(OSError, match="it is over") as found:
        read_bytes(tmp_path / "a", limit=19)
    assert found.value.filename == str(tmp_path / "a")


@pytest.mark.parametrize("name", ["huge", "/dev/zero"])
def test_what_does_not_end_takes_no_more_memory_than_the_limit(huge, name):
    tracemalloc.start()
    try:
        with pytest.raises(OSError, match="it is over 4 MB, the most that is read of it"):
            read_bytes(huge if name == "huge" else Path(name), limit=4 << 20)
        assert tracemalloc.get_traced_memory()[1] < 11 << 20
    finally:
        tracemalloc.stop()


def test_a_pipe_is_read_to_its_end_or_the_limit(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)

    def feed(data):
        with pipe.open("wb") as out, __import__("contextlib").suppress(BrokenPipeError):
            out.write(data)

    for size, fits in ((1 << 20, True), (3 << 20, False)):
        writer = threading.Thread(target=feed, args=(b"x" * size,))
        writer.start()
        if fits:
            assert len(read_bytes(pipe, limit=2 << 20)) == size
        else:
            with pytest.raises(OSError, match="over 2 MB"):
                read_bytes(pipe, limit=2 << 20)
        writer.join()


def test_a_line_without_end():
    assert list(lines_of(io.BytesIO(b"a\nbc"), "it")) == [(1, b"a\n"), (2, b"bc")]
    with pytest.raises(OSError, match="line 2 is over"):
        list(lines_of(io.BytesIO(b"a\n" + b"b" * 100), "it", limit=50))


HUGE = "HUGE"
READS = [
    (("ask", "-f", HUGE, "hi"), 2), (("ask", "-a", HUGE, "hi"), 2), (("ask", "--schema", HUGE, "hi"), 2),
    (("ask", "-t", HUGE, "hi"), 78), (("ask", "--check", f"schema:{HUGE}", "hi"), 2), (("ask", "-p", HUGE, "hi"), 78),
    (("ask", "--check", f"tests:{HUGE}", "hi"), 2), (("batch", "IN", "-o", "out", "-t", HUGE), 2),
    (("batch", "IN", "-o", "out", "--schema", HUGE), 2), (("models", "prices", "--update", HUGE), 2), (("route", "--lines", HUGE), 2),
    (("learn", "import", HUGE), 78), (("eval", HUGE), 78),
]  # fmt: skip


@pytest.mark.parametrize(("argv", "code"), READS, ids=[" ".join(argv[:3]) for argv, _ in READS])
def test_every_file_that_a_user_names_has_a_limit(scrimp, profile, server, huge, tmp_path, argv, code):
    rows = tmp_path / "in.jsonl"
    rows.write_text('{"prompt": "hi"}\n')
    named = huge.rename(tmp_path / "huge.toml") if "-p" in argv else huge
    words = [{HUGE: str(named), "IN": str(rows)}.get(word, word.replace(HUGE, str(named))) for word in argv]
    more = () if "-p" in argv or argv[0] in ("learn", "eval", "models") else ("-p", profile())
    done = scrimp(*words, *more)
    assert (done.code, server.chats) == (code, []), done.err
    assert "over" in done.err
    assert "MB" in done.err
    assert str(named) in done.err


def test_the_limit_is_that_of_standard_input(scrimp, profile, tmp_path):
    from scrimp.routing.text.clean import MAX_PROMPT_BYTES

    assert MAX_PROMPT_BYTES == MAX_FILE_BYTES == 64 << 20
    assert "over 64 MB" in scrimp("ask", "-p", profile(), "-f", "/dev/zero", "hi").err


# -- router versions ---------------------------------------------------------------------------------------------------


def npy(array):
    out = io.BytesIO()
    np.save(out, array, allow_pickle=True)
    return out.getvalue()


def claims(shape, data=b""):
    """An array whose header says more than there is."""
    out = io.BytesIO()
    np.lib.format.write_array_header_1_0(out, {"descr": "<f8", "fortran_order": False, "shape": shape})
    return out.getvalue() + data


def packed(members, *, lie=None):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    data = bytearray(out.getvalue())
    if lie is not None:  # the size unpacked, in the local header and in the directory
        for mark, at in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
            start = data.find(mark)
            data[start + at : start + at + 4] = lie.to_bytes(4, "little")
    return bytes(data)


BOMB = b"\0" * 20_000_000
WRONG = {
    "a bomb": (lambda: packed({"head.npy": BOMB}), "over"),
    "a bomb of many": (lambda: packed({f"{n}.npy": BOMB[:3_000_000] for n in range(8)}), "over"),
    "a bomb that lies": (lambda: packed({"head.npy": BOMB}, lie=100), "not a plain array file"),
    "a shape that lies": (lambda: packed({"head.npy": claims((10**12,))}), "what its header says"),
    "a shape that overflows": (lambda: packed({"head.npy": claims((2**32, 2**32))}), "what its header says"),
    "objects": (lambda: packed({"head.npy": npy(np.array([{}], dtype=object))}), "what its header says"),
    "a bare array": (lambda: npy(np.zeros(3)), "not a plain array file"),
    "no array": (lambda: packed({"head.npy": b"\x80\x04N."}), "not a plain array file"),
}


@pytest.mark.parametrize(("made", "says"), WRONG.values(), ids=WRONG)
def test_a_version_is_unpacked_no_further_than_it_may(made, says, tmp_path, monkeypatch):
    monkeypatch.setattr(router_folder, "_MAX_ARRAYS", 10_000_000)
    version = tmp_path / "v"
    shutil.copytree(shipped_folder(), version)
    content = made()
    (version / "router.npz").write_bytes(content)
    card = json.loads((version / "card.json").read_text())
    card["weights_sha256"] = hashlib.sha256(content).hexdigest()
    (version / "card.json").write_text(json.dumps(card))
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match=says):
            read_router(version)
        assert tracemalloc.get_traced_memory()[1] < 15_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", ["card.json", "router.npz"])
def test_a_version_of_huge_or_endless_files_is_refused(name, huge, tmp_path):
    version = tmp_path / "v"
    shutil.copytree(shipped_folder(), version)
    (version / name).unlink()
    os.mkfifo(version / name)
    with pytest.raises(DataError, match="a named pipe"):
        read_router(version)
    (version / name).unlink()
    (version / name).symlink_to(huge)
    with pytest.raises(DataError, match="over"):
        read_router(version)


def test_files_have_a_limit_together(scrimp, profile, server, tmp_path):
    text, image = tmp_path / "text", tmp_path / "image.png"
    with text.open("wb") as out:
        out.write(b"a" * (33 << 20))
    with image.open("wb") as out:
        out.write(b"\x89PNG\r\n\x1a\n")
        out.truncate(33 << 20)
    shutil.copy(text, tmp_path / "more")  # the same file twice is read once
    for flag, file, other in (("-f", text, tmp_path / "more"), ("-a", image, image)):
        done = scrimp("ask", "-p", profile(), flag, file, flag, other, "hi")
        assert (done.code, server.chats) == (2, [])
        assert "over 64 MB together" in done.err


@pytest.mark.parametrize("ending", ["csv", "jsonl", "txt"])
def test_a_row_that_is_too_long_is_one_bad_row(ending, tmp_path, monkeypatch):
    """It is passed over in pieces; what follows is read, and lines are counted right."""
    for module in (batch_rows, batch_table):
        monkeypatch.setattr(module, "MAX_ROW_BYTES", 1 << 16)
    file = tmp_path / f"in.{ending}"
    good = b'{"prompt": "hi"}\n' if ending == "jsonl" else b"hi\n"
    with file.open("wb") as out:
        out.write((b"prompt\n" if ending == "csv" else good) + good)
        out.write(b"x" * (5 << 20) + b"\n" + good)
        out.truncate(24 << 20)
    source = Source.of(file)
    tracemalloc.start()
    try:
        found = [(type(row).__name__, row.line) for row in read_rows(source)]
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()
    assert found[-4:] == [("Row", 2), ("BadRow", 3), ("Row", 4), ("BadRow", 5)]
