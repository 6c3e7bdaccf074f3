"""What is indexed: a document, the pieces of it that are embedded, and the words that are looked for."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Final

from scrimp.routing.prompts.asked import SEGMENT

__all__ = ["COMMON", "MAX_PIECES", "MAX_TERMS", "Document", "Found", "pieces", "terms"]

MAX_PIECES: Final = 16
"""Pieces of a body that are embedded, spread over all of it; of the rest only the words are known."""

_PIECE_CHARS: Final = 240
_SCANNED: Final = 64_000
"""Characters of a body that pieces are taken from."""

MAX_TERMS: Final = 48
"""Words of a prompt that are looked for: of a longer one those at its beginning and at its end."""

_WORD: Final = re.compile(r"\w+")
COMMON: Final = frozenset(
    {
        "a", "about", "an", "and", "any", "are", "as", "at", "be", "been", "but", "by", "can", "could", "did", "do",
        "does", "for", "from", "get", "give", "had", "has", "have", "how", "i", "if", "in", "into", "is", "it", "its",
        "just", "like", "make", "me", "my", "no", "not", "of", "on", "or", "our", "please", "s", "say", "should",
        "show", "so", "some", "t", "tell", "than", "that", "the", "their", "them", "then", "there", "these", "they",
        "this", "to", "up", "us", "was", "we", "were", "what", "when", "where", "which", "who", "why", "will", "with",
        "would", "you", "your",
    }
)  # fmt: skip
"""Words that most texts have: to look for them costs time and tells nothing."""


@dataclass(frozen=True, slots=True)
class Document:
    """A text that can be found.

    Attributes
    ----------
    key
        What it is called in the index, such as its file's path.
    name, about, body
        Its name, what it is for in a line or two (may be empty), and the text itself.
    kept
        What its owner wants back with it; not searched.
    """

    key: str
    name: str
    about: str
    body: str
    kept: str = ""

    @property
    def digest(self) -> str:
        """A hash of all of it, 32 hexadecimal digits; also a stamp for what has no file."""
        whole = f"{self.name}\0{self.about}\0{self.body}\0{self.kept}"
        return hashlib.sha256(whole.encode("utf-8", "replace")).hexdigest()[:32]

    @property
    def head(self) -> str:
        """Name and about, as they are embedded."""
        return f"{re.sub(r'[._:-]+', ' ', self.name)}\n{self.about}".strip()


@dataclass(frozen=True, slots=True)
class Found:
    """A document near to a text.

    Attributes
    ----------
    key
        Of the document.
    score
        How near it is, 0 to 1 (`ranking.joined`).
    by
        In which rankings of their own it is among the first: "about" and "body" by what they mean, "words" by words.
    """

    key: str
    score: float
    by: tuple[str, ...]

    def in_words(self) -> str:
        """Return where it is near, and how near.

        Examples
        --------
        >>> Found("tax.md", 0.471, ("about", "body", "words")).in_words(), Found("a.md", 0.2, ()).in_words()
        ('nearest in about, body and words (0.47)', 'near on the whole (0.20)')
        """
        *most, last = self.by or ("",)
        where = f"nearest in {', '.join(most)}{' and ' if most else ''}{last}" if last else "near on the whole"
        return f"{where} ({self.score:.2f})"


def pieces(body: str) -> list[str]:
    r"""Return the pieces of a body that are embedded: lines and sentences, evenly spread where there are many.

    Examples
    --------
    >>> pieces("# Tax\n\nFills in forms. Knows deadlines.")
    ['# Tax', 'Fills in forms.', 'Knows deadlines.']
    """
    parts = [
        part[at : at + _PIECE_CHARS]
        for part in SEGMENT.split(body[:_SCANNED])
        if part and not part.isspace()
        for at in range(0, len(part), _PIECE_CHARS)
    ]
    if len(parts) <= MAX_PIECES:
        return parts
    return [parts[at * (len(parts) - 1) // (MAX_PIECES - 1)] for at in range(MAX_PIECES)]


def terms(text: str) -> list[str]:
    """Return the words of a prompt that are worth looking for, each once.

    Examples
    --------
    >>> terms("What is the VAT on books, and on e-books?")
    ['vat', 'books', 'e']
    """
    words = [word for word in dict.fromkeys(_WORD.findall(text[:16_000].lower())) if word not in COMMON]
    return words if len(words) <= MAX_TERMS else words[: MAX_TERMS // 2] + words[-MAX_TERMS // 2 :]
