"""The files of a batch's rows: read once, held within bounds, told apart, and known again."""

import pytest

from scrimp.routing.batch.files.rows import Row, content_key
from scrimp.routing.batch.files.shelf import Shelf
from scrimp.routing.prompts.prompt import Prompt, Turn


def row(*files, n=0, text="Why?", system=None, history=()):
    return Row(n, n + 1, str(n), Prompt(text, system=system, history=history), files=files)


@pytest.fixture
def reads(monkeypatch):
    """The names of the files that are read, in order."""
    from scrimp.routing.batch.files import shelf

    names, read = [], shelf.read_sources

    def noted(given, **more):
        names.extend(given)
        return read(given, **more)

    monkeypatch.setattr(shelf, "read_sources", noted)
    return names


@pytest.fixture
def folder(tmp_path):
    for name in "abcdef":
        (tmp_path / f"{name}.txt").write_text(name * 1_000)
    return tmp_path


def test_a_row_gets_the_texts_of_its_files_each_once(folder):
    shelf = Shelf(folder, [folder / "a.txt"])
    found = shelf.fill(row("b.txt", "a.txt", "b.txt"))
    assert [source.name for source in found.prompt.sources] == ["a.txt", "b.txt"]
    assert found.digests == tuple(source.sha256 for source in found.prompt.sources)
    assert shelf.fill(row()).prompt.sources[0].text == "a" * 1_000
    assert Shelf(folder).fill(row()) == row()


def test_what_is_near_is_read_once(folder, reads):
    shelf = Shelf(folder)
    for n in range(50):
        shelf.fill(row("a.txt" if n % 2 else "b.txt", n=n))
    assert len(reads) == 2


def test_texts_are_held_within_a_bound(folder, reads):
    shelf = Shelf(folder, held_chars=2_500)
    filled = [shelf.fill(row(f"{name}.txt")) for name in "abcdef" for _ in range(3)]
    assert len(reads) == 6  # rows of one file together: each is read once
    assert all(len(each.prompt.sources[0].text) == 1_000 for each in filled)
    assert sum(len(source.text) for texts in shelf._texts.values() for source in texts) <= 2_500
    shelf.fill(row("a.txt"))
    assert len(reads) == 7  # it was let go of meanwhile


def test_to_count_rows_no_text_is_read_twice(folder, reads):
    shelf = Shelf(folder, held_chars=1_500)
    for n in range(60):
        assert shelf.count(row(f"{'abcdef'[n % 6]}.txt", n=n)).digests
    assert len(reads) == 6


def test_a_file_that_changes_between_plan_and_sending_is_not_read(folder):
    shelf = Shelf(folder, held_chars=0)
    for name in ("a.txt", "b.txt"):
        assert shelf.count(row(name)).unread is None
    (folder / "a.txt").write_text("other")
    shelf.fill(row("b.txt"))
    assert "a.txt has changed since the run was planned" in shelf.fill(row("a.txt")).unread
    assert "began" in Shelf(folder, began=shelf.to_dict()).fill(row("a.txt")).unread
    (folder / "a.txt").write_text("a" * 1_000)
    assert shelf.fill(row("a.txt")).unread is None


def test_files_that_are_called_alike_are_told_apart(folder):
    for name in ("x", "y"):
        (folder / name).mkdir()
        (folder / name / "a.txt").write_text(name)
    found = Shelf(folder).fill(row("x/a.txt", "y/a.txt", "b.txt"))
    assert [source.name for source in found.prompt.sources] == ["x/a.txt", "y/a.txt", "b.txt"]


def test_a_folder_is_read_whole_and_known_by_all_that_is_in_it(folder):
    (folder / "in").mkdir()
    for name in ("one", "two"):
        (folder / "in" / f"{name}.txt").write_text(name)
    shelf = Shelf(folder, held_chars=0)
    found = shelf.fill(row("in"))
    assert [source.text for source in found.prompt.sources] == ["one", "two"]
    (folder / "in" / "three.txt").write_text("three")
    shelf.fill(row("a.txt"))
    assert "has changed" in shelf.fill(row("in")).unread


def test_rows_that_begin_alike_share_a_cache(folder):
    shelf = Shelf(folder)
    rows = [
        *(row("a.txt", n=n, text=f"{n}?") for n in range(4)),
        row("a.txt", n=4, system="Be brief."),
        row("a.txt", n=5, history=(Turn("Hello", "Hi"),)),
        row("a.txt", "b.txt", n=6),
    ]
    for each in rows:
        shelf.count(each)
    kept = [shelf.fill(each).prompt.kept for each in rows]
    assert [None if each is None else each.every for each in kept] == [0.75] * 4 + [None] * 3


def test_equal_questions_about_other_texts_are_others(folder):
    shelf = Shelf(folder)
    (folder / "copy.txt").write_text("a" * 1_000)
    keys = [content_key(shelf.count(row(*names))) for names in (("a.txt",), ("copy.txt",), ("b.txt",), ())]
    assert keys[0] == keys[1]
    assert len(set(keys)) == 3
    assert content_key(shelf.fill(row("a.txt"))) == keys[0]


def test_too_much_together_is_said(folder, monkeypatch):
    from scrimp.routing.asking import files_in

    monkeypatch.setattr(files_in, "MAX_PROMPT_BYTES", 1_500)
    shelf = Shelf(folder, field="where")
    assert shelf.count(row("a.txt")).unread is None
    assert shelf.count(row("a.txt", "b.txt")).unread.startswith("where: the files of the row are over")
    assert (shelf.n_unread, bool(shelf)) == (1, True)
