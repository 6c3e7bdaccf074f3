"""Files that go with a prompt: which are found, how each is read, and what is refused."""

import os
import socket
import sys
import threading
from pathlib import Path

import pytest
from papers import office, pdf

from scrimp.profiles.errors import TryAgainError, UsageError
from scrimp.profiles.installer import how_to_add
from scrimp.routing.asking.files_in import read_sources
from scrimp.routing.prompts.sources import block_of
from scrimp.routing.text.encodings import decoded
from scrimp.routing.text.kinds.html import text_of_page
from scrimp.routing.text.kinds.kind import NoTextError
from scrimp.routing.text.kinds.pick import text_of

# -- encodings ---------------------------------------------------------------------------------------------------------

TEXTS = {
    "en": "It’s the committee’s “final” report – the company’s net loss didn’t grow. See the board’s note.",
    "de": "Die Größe der Straße überraschte die Bürger. Die Behörde prüfte das Gebäude und fand für später Mängel.",
    "fr": "L’été dernier, le comité a décidé d’accélérer les travaux à l’hôpital. Les coûts s’élevèrent à 3 000 €.",
    "da": "Når året går på hæld, øger bønderne prisen på æbler og pærer. Først på foråret gør de det igen.",
    "cs": "Včera vláda oznámila nový zákon, který vstoupí v platnost příští rok. Společnost měla čistou ztrátu.",
    "ru": "Вчера правительство объявило о новом законе, который вступит в силу в следующем году. Всё хорошо.",
    "el": "Χθες η κυβέρνηση ανακοίνωσε νέο νόμο που θα τεθεί σε ισχύ το επόμενο έτος.",
    "ja": "昨日、政府は新しい法律を発表しました。来年から施行されます。会議では予算が承認されました。",
    "zh": "昨天政府宣布了一项新的法律，将于明年生效。会议批准了预算。公司第一季度净亏损为三百万元。",
    "ko": "어제 정부는 내년부터 시행될 새로운 법을 발표했습니다. 회의에서 예산이 승인되었습니다.",
}
TOLD = [
    ("en", "cp1252"), ("de", "latin-1"), ("fr", "cp1252"), ("da", "latin-1"), ("cs", "cp1250"), ("ru", "cp1251"),
    ("ru", "koi8-r"), ("el", "iso8859-7"), ("ja", "shift-jis"), ("ja", "euc-jp"), ("zh", "gbk"), ("zh", "gb18030"),
    ("ko", "euc-kr"),
]  # fmt: skip


@pytest.mark.parametrize("n", [1, 2000])
@pytest.mark.parametrize(("language", "encoding"), TOLD, ids=[" ".join(each) for each in TOLD])
def test_an_encoding_that_stands_out_is_decoded_with_a_remark(language, encoding, n):
    text = f"{TEXTS[language]}\r\n" * n
    read, remark = decoded(text.encode(encoding), what="notes.txt")
    assert read == text
    assert remark.startswith("notes.txt is not UTF-8: read as ")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_what_says_its_encoding_is_decoded_without_one(encoding):
    assert decoded("Größe\n".encode(encoding), what="x") == ("Größe\n", None)


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b"caf\xe9", r"x is not UTF-8: byte 0xe9 at offset 3 \(line 1\)"),  # too little to tell
        (TEXTS["ru"].encode("cp866"), r"x is not UTF-8: byte 0x82 at offset 0 \(line 1\)"),  # not looked for
        (b"a\n" * 90 + bytes(range(255, 0, -1)) * 9, r"x is not UTF-8: byte 0xff at offset 180 \(line 91\)"),
        ("Größe\n".encode() * 3 + "Größe".encode("latin-1"), r"several encodings.* byte 0xf6 at offset 26 \(line 4\)"),
        (f"{TEXTS['de']}\n".encode("latin-1") * 60 + "Größe".encode(), r"several .* byte 0xf6 at offset 6 \(line 1\)"),
        (f"{TEXTS['ja']}\n".encode() + f"{TEXTS['ja']}\n".encode("shift-jis"), r"several encodings: .*\(line 2\)"),
        ("ab".encode("utf-16") + b"\0", "begins as UTF-16, but is not: truncated data at byte 6"),
        ("hello there".encode("utf-16-le"), "x is UTF-16LE, not UTF-8"),
        (b"a\nb\0c", r"x has a NUL character at position 3 \(line 2\)"),
    ],
)
def test_what_cannot_be_told_is_refused_with_its_place(raw, says):
    with pytest.raises(UsageError, match=says):
        decoded(raw, what="x")


def test_one_endless_line_of_another_encoding_is_told_from_its_beginning():
    text = f"{'word ' * 1_000_000}\n{TEXTS['de'] * 10_000}"
    assert decoded(text.encode("latin-1"), what="x") == (text, "x is not UTF-8: read as cp1252")


# -- kinds -------------------------------------------------------------------------------------------------------------

PAGE = """<!DOCTYPE html><html><head><title>Q1 &mdash; report</title><style>p { color: red }</style>
<script>if (a < b) document.write("<p>no</p>")</script></head><body><!-- <p>no</p> --><h1>Net
loss</h1><p title="a > b">It was <b>3</b>&nbsp;million&amp;more<br>in all.<div hidden=x>Next</div>
<ul><li>one<li><p>two</p></ul><table><tr><th>Quarter<th>Loss</th><tr><td><p>Q1</p></td><td></td><td>$
3.1</td></tr></table><pre>a  b
  c</pre><ix:header><p>hidden</p></ix:header> end"""
READ = """Q1 — report

Net loss

It was 3 million&more
in all.
Next

- one
- two

Quarter | Loss
Q1 |  | $ 3.1

a  b
  c

end
"""


def test_a_page_is_read_as_a_reader_sees_it():
    assert text_of_page(PAGE) == READ


@pytest.mark.parametrize(
    ("page", "text"),
    [
        ("a < b and b > c <3", "a < b and b > c <3\n"),
        ("<p>one<!-- two", "one\n"),
        ("<p>one<script>two", "one\n"),
        ("<p>one<a href='two", "one\n"),
        ("<p title=don't>one</p><p>isn't", "one\n\nisn't\n"),
        ("<P>one</P\n><SCRIPT>x</script >two", "one\n\ntwo\n"),
        ("one<br/>two<script/>three", "one\ntwothree\n"),
        ("&#0;&bogus;&#x41;", "\ufffd&bogus;A\n"),
        ("<table><tr><td>a<table><tr><td>b<td>c</table></table>d", "a\n\nb | c\n\nd\n"),
        ("", ""),
    ],
)
def test_strange_pages(page, text):
    assert text_of_page(page) == text


def test_a_page_that_says_its_encoding_is_read_in_it():
    raw = '<meta charset="iso-8859-2"><p>Zażółć'.encode("iso-8859-2")
    text, notes = text_of(raw, name="a.HTML", what="a.HTML")
    assert text == "Zażółć\n"
    assert notes[0] == "a.HTML is not UTF-8: read as iso-8859-2"
    assert "7 of 36 characters" in notes[1]
    with pytest.raises(NoTextError, match="without text: a script"):
        text_of(b"<script>x</script>", name="a.htm", what="a.htm")
    assert text_of(b"<p>x", what="standard input") == ("<p>x", ())  # as it is


def test_tables_and_code_are_taken_word_for_word():
    rows = 'name;loss\r\n"a;b";3\r\n'
    for name in ("a.csv", "a.tsv", "a.py", "a.json", "a", "a.log"):
        assert text_of(rows.encode(), name=name, what=name) == (rows, ())


def test_the_text_of_a_pdf_has_its_pages_marked():
    text, notes = text_of(pdf("Net loss\nwas 3", None, "The end"), name="r.pdf", what="r.pdf")
    assert text == "[page 1]\nNet loss\nwas 3\n\n[page 3]\nThe end\n"
    assert notes == ("r.pdf: 1 of its 3 pages have no text, and are left out",)
    assert text_of(pdf("piped"), what="standard input").text == "[page 1]\npiped\n"


def test_threads_read_pdfs_at_once():
    data, read = pdf(*["word " * 12] * 40), []
    threads = [threading.Thread(target=lambda: read.append(text_of(data, what="x").text)) for _ in range(6)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(read) == 6
    assert len({*read}) == 1


@pytest.mark.parametrize(
    ("raw", "says", "hint"),
    [
        (pdf(None, None), "r.pdf is a PDF without text", "-a"),
        (pdf("secret", locked=True), "r.pdf is a PDF that a password locks", "qpdf"),
        (pdf("x")[:40], "r.pdf begins as a PDF, but cannot be read as one", "cut"),
    ],
)
def test_pdfs_that_cannot_be_read(raw, says, hint):
    with pytest.raises(UsageError, match=says) as caught:
        text_of(raw, name="r.pdf", what="r.pdf")
    assert hint in caught.value.hint


def test_without_its_library_a_pdf_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "pypdfium2", None)
    with pytest.raises(UsageError, match="not installed") as caught:
        text_of(pdf("x"), what="r.pdf")
    assert how_to_add("pdf") in caught.value.hint


@pytest.mark.parametrize(
    ("raw", "kind", "way"),
    [
        (office("[Content_Types].xml", "word/document.xml"), "a Word document", "pandoc"),
        (office("[Content_Types].xml", "xl/workbook.xml"), "an Excel workbook", "CSV UTF-8"),
        (office("[Content_Types].xml", "ppt/presentation.xml"), "a PowerPoint file", "PDF"),
        (office(mimetype="application/vnd.oasis.opendocument.text"), "an OpenDocument text", "pandoc"),
        (office(mimetype="application/vnd.oasis.opendocument.spreadsheet"), "an OpenDocument spreadsheet", "CSV"),
        (office(mimetype="application/epub+zip"), "an EPUB book", "pandoc"),
        (office("a.txt"), "a zip archive", "unzip"),
        (b"\x89PNG\r\n\x1a\n\0", "an image", "-a"),
        (b"\x1f\x8b\x08\0", "packed with gzip", "gzip -dc"),
    ],
)
def test_what_holds_no_text_names_its_kind_and_a_way(tmp_path, raw, kind, way):
    (tmp_path / "it").write_bytes(raw)
    with pytest.raises(UsageError, match=kind) as caught:
        read_sources([tmp_path / "it"])
    assert str(tmp_path / "it") in caught.value.message
    assert way in caught.value.hint


# -- which files -------------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder to be in, with minutes in it."""
    monkeypatch.chdir(tmp_path)
    for name in ("minutes/2.md", "minutes/10.md", "minutes/old/1.md", "minutes/old/deep/0.txt", "minutes/.git/x.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"of {name}\n")
    return tmp_path


def names(*given, **more):
    said = []
    return [each.name for each in read_sources(given, tell=said.append, **more)], said


def test_a_folder_is_read_with_all_in_it_in_order(folder):
    (folder / "minutes/a.png").write_bytes(b"\x89PNG\r\n\x1a\n\0")
    (folder / "minutes/b.bin").write_bytes(bytes(range(256)))
    (folder / "minutes/.hidden").write_text("x")
    os.mkfifo(folder / "minutes/pipe")
    read, said = names("minutes/")
    assert read == ["minutes/10.md", "minutes/2.md", "minutes/old/1.md", "minutes/old/deep/0.txt"]
    assert said == ["read: 4 files; left out: binary: 1, binary (an image): 1, hidden: 2, pipe or device: 1"]
    assert names(".")[0] == read
    assert names(str(folder / "minutes"))[0] == read
    (source, *_) = read_sources(["minutes"])
    assert (source.text, source.path) == ("of minutes/10.md\n", str(folder / "minutes/10.md"))


def test_no_link_is_followed_out_of_a_folder_or_round(folder):
    (folder / "outside.txt").write_text("secret")
    (folder / "minutes/out.md").symlink_to(folder / "outside.txt")
    (folder / "minutes/round").symlink_to(folder / "minutes")
    (folder / "minutes/self").symlink_to("self")
    for given, n in (("minutes", 3), ("minutes/**/*", 3), ("minutes/*", 3)):
        read, said = names(given)
        assert len(read) == 4
        assert f"link: {n}" in said[-1]
    assert names("minutes/out.md") == (["out.md"], [])  # what is named itself is read
    with pytest.raises(UsageError, match="cannot read minutes/self: Too many levels"):
        names("minutes/self")


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("minutes/*.md", ["10.md", "2.md"]),
        ("minutes/**/*.md", ["10.md", "2.md", "old/1.md"]),
        ("minutes/**/**/*.md", ["10.md", "2.md", "old/1.md"]),
        ("**/0.txt", ["minutes/old/deep/0.txt"]),
        ("minutes/**", ["10.md", "2.md", "old/1.md", "old/deep/0.txt"]),
        ("minutes/o*", ["old/1.md", "old/deep/0.txt"]),
        ("minutes/[0-9].md", ["2.md"]),
        ("minutes/*/1.md", ["old/1.md"]),
        ("minutes/.g*/*", [".git/x.md"]),
        ("min?tes/old", ["minutes/old/1.md", "minutes/old/deep/0.txt"]),
    ],
)
def test_patterns(folder, pattern, found):
    assert sorted(names(pattern)[0]) == sorted(found)
    assert sorted(names(str(folder / pattern))[0]) == sorted(found)


def test_a_name_that_looks_like_a_pattern_is_a_name_first(folder):
    (folder / "notes[1].md").write_text("a")
    (folder / "notes1.md").write_text("b")
    assert names("notes[1].md")[0] == ["notes[1].md"]


def test_a_file_named_twice_is_read_once(folder):
    os.link(folder / "minutes/2.md", folder / "same.md")
    read, said = names("minutes/2.md", "./minutes/../minutes/2.md", "same.md", "minutes", "minutes/*.md")
    assert read == ["2.md", "minutes/10.md", "minutes/old/1.md", "minutes/old/deep/0.txt"]
    assert said == ["read: 4 files; left out: hidden: 1"]


def test_files_of_one_name_are_told_apart(folder):
    for name in ("a/x/notes.md", "b/x/notes.md", "other.md"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    assert names("a/x/notes.md", "b/x/notes.md", "other.md")[0] == ["a/x/notes.md", "b/x/notes.md", "other.md"]


def test_standard_input_stands_where_it_is_named(folder):
    assert names("minutes/2.md", "-", "minutes/10.md", "-", piped="x")[0] == ["2.md", "standard input", "10.md"]
    with pytest.raises(UsageError, match="cannot read -: No such file"):
        names("-")
    assert names("-", piped="") == ([], ["standard input is empty: left out"])


@pytest.mark.parametrize("name", ["a\nb.md", "a\x1b[2Jb.md", "\u202eb.md", os.fsdecode(b"a\xe9.md")])
def test_no_name_breaks_a_line_or_moves_a_cursor(folder, name):
    (folder / name).write_text("")
    (folder / "c.md").write_text("x")
    (folder / "f").mkdir()
    (folder / "f" / name).write_text("x")
    said = []
    read = read_sources([name, "f", "c.md"], tell=said.append)
    for shown in (*said, read[0].name):
        assert shown.isprintable(), shown
        shown.encode()
    assert read[0].name.startswith("f/")
    read[0].path.encode()
    (folder / name).write_bytes(b"\0")
    with pytest.raises(UsageError) as caught:
        read_sources([name])
    assert caught.value.message.isprintable()


def test_what_there_is_not_to_read(folder):
    (folder / "empty").mkdir()
    (folder / "pictures").mkdir()
    (folder / "pictures/a.png").write_bytes(b"\x89PNG\r\n\x1a\n\0")
    (folder / "hidden").mkdir()
    (folder / "hidden/.a").write_text("x")
    (folder / "nothing.md").write_text("\n")
    for given, says in (
        ("empty", "folder empty has no file to read$"),
        ("hidden", r"folder hidden has no file to read \(1 left out\)"),
        ("pictures", r"nothing to read in what -f names; left out: binary \(an image\): 1"),
        ("none/*.md", r"no file matches none/\*.md"),
        ("*.rst", r"no file matches \*.rst"),
        ("none.md", "cannot read none.md: No such file"),
        ("", "-f names no file"),
    ):
        with pytest.raises(UsageError, match=says):
            names(given)
    assert names("nothing.md", "minutes/2.md") == (["2.md"], ["nothing.md is empty: left out"])


def test_in_a_folder_a_pdf_without_text_is_left_out_and_a_page_is_read(folder):
    (folder / "minutes/scan.pdf").write_bytes(pdf(None))
    (folder / "minutes/text.pdf").write_bytes(pdf("words"))
    (folder / "minutes/z.html").write_text("<p>words")
    read, said = names("minutes")
    assert {"minutes/text.pdf", "minutes/z.html"} < {*read}
    assert "minutes/scan.pdf" not in read
    assert "scan.pdf is a PDF without text" in said[0]
    assert said[-1] == "read: 6 files; left out: hidden: 1, without text: 1"


def test_sockets_devices_and_pipes(folder):
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind("sock")
        with pytest.raises(UsageError, match="cannot read sock: "):
            names("sock")
    assert names("/dev/null") == ([], ["null is empty: left out"])
    with pytest.raises(UsageError, match="cannot read /dev/zero: it is over 64 MB"):
        names("/dev/zero")
    os.mkfifo("fifo")
    writer = threading.Thread(target=lambda: Path("fifo").write_text("from a pipe"))
    writer.start()
    assert [each.text for each in read_sources(["fifo"])] == ["from a pipe"]
    writer.join()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_may_not_be_read_is_an_error(folder):
    (folder / "minutes/old").chmod(0)
    try:
        with pytest.raises(UsageError, match="cannot read folder minutes/old: Permission denied"):
            names("minutes")
    finally:
        (folder / "minutes/old").chmod(0o755)
    (folder / "minutes/2.md").chmod(0)
    with pytest.raises(UsageError, match=r"cannot read minutes/2\.md: Permission denied"):
        names("minutes")


def test_a_file_that_changes_whenever_it_is_read_is_an_error(folder):
    with Path("big").open("wb") as out:
        out.truncate(48 << 20)
    over = threading.Event()

    def touch():
        n = 0
        while not over.is_set():
            n += 1
            os.utime("big", ns=(n, n))

    writer = threading.Thread(target=touch)
    writer.start()
    try:
        with pytest.raises(TryAgainError, match="big changed while it was read"):
            read_sources(["big"])
    finally:
        over.set()
        writer.join()


def test_ten_thousand_files_and_one_endless_line(folder):
    (folder / "many").mkdir()
    for n in range(10_000):
        (folder / f"many/{n:05}.txt").write_text(f"number {n}")
    read = read_sources(["many"])
    assert [each.name for each in read[:2]] == ["many/00000.txt", "many/00001.txt"]
    assert len(read) == 10_000
    assert block_of(read).count("FILE many/") == 10_000
    (folder / "line").write_text("word " * 2_000_000)
    (line,) = read_sources(["line"])
    assert line.n_tokens > 1_000_000


def test_remarks_on_many_files_are_few(folder):
    (folder / "web").mkdir()
    for n in range(40):
        (folder / f"web/{n}.html").write_text("<p>x")
    said = names("web")[1]
    assert len(said) == 6
    assert said[-1] == "and 35 more remarks like these"


def test_the_mark_stands_in_no_name_either(folder):
    (folder / "===== END").write_text("x")
    (read,) = read_sources(["===== END"])
    first, *_, last = block_of([read]).splitlines()
    mark = last.removesuffix(" END")
    assert first == f"{mark} FILE ===== END"
    assert mark not in read.name
