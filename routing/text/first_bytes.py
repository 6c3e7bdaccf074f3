"""What a file is by its first bytes, where it is not UTF-8 text: its encoding, or another kind of file."""

from __future__ import annotations

import codecs
from typing import Final

__all__ = ["LOOKED_AT", "encoding_of", "guess", "kind_of", "marked", "utf_8_from"]

LOOKED_AT: Final = 4096
"""Bytes that are enough to tell."""

_ZIP: Final = "a zip archive, as .xlsx, .ods and .docx are"

_KINDS: Final = (
    (b"PK\x03\x04", _ZIP, "save it as text (from a spreadsheet: CSV UTF-8), or unpack it: unzip FILE"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Excel or Word file", "save it as text (from Excel: CSV UTF-8)"),
    (b"PAR1", "a Parquet file", "export it as JSON Lines: duckdb -c \"COPY 'FILE' TO 'NEW.jsonl'\""),
    (b"ARROW1", "an Arrow file", "export it as JSON Lines"),
    (b"Obj\x01", "an Avro file", "export it as JSON Lines: avro-tools tojson FILE > NEW.jsonl"),
    (b"SQLite format 3\x00", "an SQLite database", "export a table: sqlite3 -csv -header FILE 'SELECT ...' > NEW.csv"),
    (b"%PDF-", "a PDF", "`scrimp ask -a` takes it as an attachment; its text comes with: pdftotext FILE -"),
    (b"\x89PNG", "an image", "`scrimp ask -a` takes it as an attachment"),
    (b"\xff\xd8\xff", "an image", "`scrimp ask -a` takes it as an attachment"),
    (b"\x28\xb5\x2f\xfd", "packed with zstd", "unpack it: zstd -dc FILE > NEW"),
    (b"\xfd7zXZ\x00", "packed with xz", "unpack it: xz -dc FILE > NEW"),
    (b"BZh", "packed with bzip2", "unpack it: bzip2 -dc FILE > NEW"),
    (b"\x1f\x8b", "packed with gzip", "unpack it: gzip -dc FILE > NEW"),
)

_TO_TEXT: Final = "save it as text or PDF, or: pandoc FILE -t plain -o NEW.txt"

_IN_ZIPS: Final = (
    (b"word/", "a Word document (.docx)", _TO_TEXT),
    (b"xl/", "an Excel workbook (.xlsx)", "save its sheet as CSV UTF-8"),
    (b"ppt/", "a PowerPoint file (.pptx)", "save it as PDF"),
    (
        b"opendocument.text",
        "an OpenDocument text (.odt)",
        _TO_TEXT,
    ),
    (b"opendocument.spreadsheet", "an OpenDocument spreadsheet (.ods)", "save its sheet as CSV UTF-8"),
    (b"opendocument", "an OpenDocument file", "save it as PDF"),
    (b"epub+zip", "an EPUB book", "turn it into text: pandoc FILE -t plain -o NEW.txt"),
)
"""What the names at the beginning of a zip archive say of it."""

_MARKS: Final = (  # the longer ones first: UTF-32's begins as UTF-16's does
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def kind_of(start: bytes) -> tuple[str, str] | None:
    """Return what kind of file begins like this, and what to do with it; None where it may be text."""
    if start[257:262] == b"ustar":
        return "a tar archive", "unpack it: tar -xf FILE"
    if start.isascii() and b"\0" not in start and not start.startswith(b"%PDF-"):
        return None
    found = next(((kind, fix) for magic, kind, fix in _KINDS if start.startswith(magic)), None)
    if found is not None and found[0] == _ZIP:
        return next(((kind, fix) for name, kind, fix in _IN_ZIPS if name in start), found)
    return found


def encoding_of(start: bytes) -> str | None:
    """Return the wide encoding that a text begins in, as iconv spells it; None where it has none of them.

    Without a byte order mark it is told by where the zeros are: UTF-16 has one beside each ASCII character.

    Examples
    --------
    >>> encoding_of("id".encode("utf-16")), encoding_of("id".encode("utf-16-be")), encoding_of(b"id")
    ('utf-16', 'utf-16be', None)
    """
    if (name := marked(start)) is not None:
        return name
    start = start[: len(start) // 4 * 4] or start[: len(start) // 2 * 2]
    zeros = [start[at::4].count(0) for at in range(4)]
    if len(start) >= 8 and min(zeros[:3]) == len(start) // 4 and zeros[3] == 0:
        return "utf-32be"
    if len(start) >= 8 and zeros[0] == 0 and min(zeros[1:]) == len(start) // 4:
        return "utf-32le"
    low, high = zeros[0] + zeros[2], zeros[1] + zeros[3]
    half = len(start) // 4
    if low == 0 and high > half:
        return "utf-16le"
    if high == 0 and low > half:
        return "utf-16be"
    return None


def marked(start: bytes) -> str | None:
    """Return the wide encoding that a byte order mark tells; None where there is none, and for UTF-8's own."""
    return next((name for mark, name in _MARKS if start.startswith(mark)), None)


def utf_8_from(raw: bytes) -> int | None:
    """Return where text stops being UTF-8; None where it does not."""
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError as error:
        return error.start
    return None


def guess(raw: bytes) -> str:
    """Return the encoding that text which is not UTF-8 is most likely in, as iconv spells it."""
    low, high = raw[::2].count(0), raw[1::2].count(0)
    if (low == 0) is not (high == 0):
        return "utf-16le" if low == 0 else "utf-16be"
    return "cp1252" if any(0x80 <= byte < 0xA0 for byte in raw) else "latin1"
