"""The text of a PDF, page by page, through PDFium (the extra `scrimp[pdf]`)."""

from __future__ import annotations

import re
import threading
from typing import Final

from scrimp.profiles.errors import UsageError
from scrimp.profiles.installer import how_to_add
from scrimp.profiles.reading import MAX_FILE_BYTES

from .kind import NoTextError, Text

__all__ = ["read", "takes"]

_LOCK: Final = threading.Lock()
"""PDFium may be used by one thread at a time."""

_HYPHEN: Final = re.compile("[\ufffe\x02]\r?\n?")
"""What PDFium writes for a hyphen that parts a word at the end of a line."""


def takes(name: str, start: bytes) -> bool:  # noqa: ARG001 - its first bytes tell
    """Tell a PDF by its first bytes."""
    return start.startswith(b"%PDF-")


def read(raw: bytes, what: str) -> Text:
    r"""Return the text of every page that has any, below a line `[page 3]`.

    Raises
    ------
    NoTextError
        If no page has text: it is scanned.
    UsageError
        If it is broken or locked, holds too much text, or the library that reads it is not installed.
    """
    try:
        import pypdfium2
    except ImportError:
        raise UsageError(
            f"{what} is a PDF: the library that reads its text is not installed",
            hint=f"{how_to_add('pdf')} adds it; with -a the PDF itself goes to arms that take PDFs.",
        ) from None
    pages: list[str] = []
    n_pages = size = 0
    with _LOCK:
        try:
            document = pypdfium2.PdfDocument(raw)
        except pypdfium2.PdfiumError as error:
            if "password" in str(error).lower():
                raise UsageError(
                    f"{what} is a PDF that a password locks", hint="Unlock it first: qpdf --decrypt FILE NEW.pdf"
                ) from None
            raise UsageError(
                f"{what} begins as a PDF, but cannot be read as one", hint="It may be cut: load or export it again."
            ) from None
        try:
            n_pages = len(document)
            for number in range(n_pages):
                text = _page(document, number)
                size += len(text)
                if size > MAX_FILE_BYTES:
                    raise UsageError(f"{what} holds over {MAX_FILE_BYTES >> 20} MB of text: no model reads that much")
                if text:
                    pages.append(f"[page {number + 1}]\n{text}")
        except pypdfium2.PdfiumError as error:
            raise UsageError(f"{what}, page {len(pages) + 1}: cannot be read: {error}") from None
        finally:
            document.close()
    if not pages:
        raise NoTextError(
            f"{what} is a PDF without text: its pages are images",
            hint="Attach it with -a, for arms that take PDFs, or add text to it first: ocrmypdf FILE NEW.pdf",
        )
    n_bare = n_pages - len(pages)
    notes = (f"{what}: {n_bare} of its {n_pages} pages have no text, and are left out",) if n_bare else ()
    return Text("\n\n".join(pages) + "\n", notes)


def _page(document: object, number: int) -> str:
    page = document[number]  # type: ignore[index]
    try:
        textpage = page.get_textpage()
        try:
            text: str = textpage.get_text_range()
        finally:
            textpage.close()
    finally:
        page.close()
    text = _HYPHEN.sub("", text).replace("\r\n", "\n").replace("\r", "\n").replace("\0", "")
    return text.encode("utf-8", "replace").decode("utf-8").strip()
