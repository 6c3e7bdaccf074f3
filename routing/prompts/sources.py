"""Files that go with a prompt, and how much of them is read.

The question is the prompt's text: it is what is embedded, scored and guarded. What files say stands between marks that
occur in none of them, before the question: it is material, and a provider's prompt cache keeps it from one question to
the next.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from scrimp.profiles.rungs import READINGS
from scrimp.routing.text.fence import fenced

from .context import approx_tokens
from .text_size import remembered

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = [
    "Evidence",
    "Kept",
    "Read",
    "Readings",
    "Source",
    "Span",
    "block_of",
    "read_none",
    "read_passages",
    "read_whole",
]


@dataclass(frozen=True)
class Source:
    """The text of a file, as it is read.

    Attributes
    ----------
    name
        What it is called to the model and in the log.
    text
        All of its text.
    path
        Where it was read from, absolute; None where it came through a pipe or with a row.
    """

    name: str
    text: str = field(repr=False)
    path: str | None = None

    @cached_property
    def sha256(self) -> str:
        """The SHA-256 of its text, in hexadecimal digits."""
        return hashlib.sha256(self.text.encode("utf-8", "surrogatepass")).hexdigest()

    @cached_property
    def n_tokens(self) -> int:
        """Its tokens, about."""
        return remembered(self.text, approx_tokens)

    def to_dict(self) -> dict[str, Any]:
        """Return what a request's row keeps of it; its text is kept once for all requests that read it."""
        return {
            "name": self.name,
            "sha256": self.sha256,
            "n_chars": len(self.text),
            "n_tokens": self.n_tokens,
            "path": self.path,
        }


@dataclass(frozen=True, slots=True)
class Span:
    """A piece of a source: characters `start` to `end` of a source (by number), and how near a question it is."""

    source: int
    start: int
    end: int
    score: float = 0.0


@dataclass(frozen=True, slots=True)
class Read:
    """What one reading sends.

    Attributes
    ----------
    kind
        One of `READINGS`.
    text
        What stands before the question; "" sends the question alone.
    n_tokens
        Tokens of that text, about.
    spans
        The pieces it is made of, in the order of the sources.
    """

    kind: str
    text: str = field(repr=False)
    n_tokens: int
    spans: tuple[Span, ...] = ()


@dataclass(frozen=True, slots=True)
class Evidence:
    """What tells whether passages will do for a question: the inputs of P(right | arm, reading).

    Attributes
    ----------
    n_tokens, n_sent
        Tokens of the whole, and of the passages.
    best, flat
        The best passage's score by its words, of the most that the question's words could have scored, in [0, 1]; and
        how near to it the passages that just missed come, in [0, 1]: 1 where nothing stands out.
    wants_whole
        P(the question asks of the text as a whole), in [0, 1]: a summary, a count, a translation.
    kind
        Of what kind of question it is taken to be, P by name; empty where that is not told.
    """

    n_tokens: int
    n_sent: int
    best: float = 0.0
    flat: float = 0.0
    wants_whole: float = 0.0
    kind: Mapping[str, float] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "n_tokens": self.n_tokens,
            "n_sent": self.n_sent,
            "best": round(self.best, 4),
            "flat": round(self.flat, 4),
            "wants_whole": round(self.wants_whole, 4),
            "kind": {name: round(value, 4) for name, value in self.kind.items()},
        }


@dataclass(frozen=True, slots=True)
class Readings:
    """How much of a prompt's sources may be sent.

    Attributes
    ----------
    reads
        What each reading sends, by its kind.
    offered
        The kinds that an arm may be asked at, the whole first where it is among them.
    evidence
        What tells how far each will do.
    """

    reads: Mapping[str, Read]
    offered: tuple[str, ...]
    evidence: Evidence

    def to_dict(self) -> dict[str, Any]:
        """Return what a request's row keeps of it: offsets and scores, no text."""
        return {
            "offered": list(self.offered),
            "evidence": self.evidence.to_dict(),
            "passages": [[s.source, s.start, s.end, round(s.score, 4)] for s in self.reads["passages"].spans]
            if "passages" in self.reads
            else None,
        }

    @classmethod
    def read_again(cls, data: Mapping[str, Any], sources: Sequence[Source], question: str) -> Readings:
        """Return what `to_dict` was made of, from the same sources: each reading sends what it sent, byte for byte."""
        reads = {"whole": read_whole(sources, question), "none": read_none()}
        if data["passages"] is not None:
            spans = tuple(Span(*each) for each in data["passages"])
            reads["passages"] = read_passages(sources, spans, question)
        return cls(reads, tuple(data["offered"]), Evidence(**data["evidence"]))

    def offering(self, kinds: Iterable[str]) -> Readings:
        """Return it with other kinds on offer, in the order of `READINGS`."""
        wanted = set(kinds)
        return replace(self, offered=tuple(kind for kind in READINGS if kind in wanted and kind in self.reads))


@dataclass(frozen=True, slots=True)
class Kept:
    """How much of sources that are sent whole is expected to be in prompt caches, since others ask about them too.

    Where a provider wants a mark to keep them, they are marked for the arms that this knows of.

    Attributes
    ----------
    by_arm
        The share of the sources' tokens, in [0, 1], by arm (without a reading): 0 is written now and read by the next.
    every
        The share for all other arms; None: nothing is kept there, and nothing is to be.
    """

    by_arm: Mapping[str, float] = field(default_factory=dict)
    every: float | None = None

    def share(self, arm: str) -> float | None:
        """Return the share for an arm; None where nothing is kept there, and nothing is to be."""
        return self.by_arm.get(arm, self.every)


def block_of(sources: Sequence[Source], spans: Iterable[Span] | None = None, *beside: str) -> str:
    """Return sources as they stand before a question: whole, or pieces of them, each under its name.

    Parameters
    ----------
    beside
        What stands around it: the mark occurs in it neither, nor in a file's name.
    """
    beside = (*beside, *(source.name for source in sources))
    if spans is None:
        return fenced([(f"FILE {_plain(source.name)}", source.text.strip("\n")) for source in sources], *beside)
    parts = []
    for span in spans:
        source = sources[span.source]
        where = f"characters {span.start:,} to {span.end:,} of {len(source.text):,}"
        parts.append((f"PASSAGE of {_plain(source.name)}, {where}", source.text[span.start : span.end].strip("\n")))
    return fenced(parts, *beside)


def read_whole(sources: Sequence[Source], question: str) -> Read:
    """Return the reading of everything."""
    text = block_of(sources, None, question)
    return Read("whole", text, remembered(text, approx_tokens))


def read_passages(sources: Sequence[Source], spans: tuple[Span, ...], question: str) -> Read:
    """Return the reading of some pieces."""
    text = block_of(sources, spans, question)
    return Read("passages", text, approx_tokens(text), spans)


def read_none() -> Read:
    """Return the reading of nothing: the question alone."""
    return Read("none", "", 0)


def _plain(name: str) -> str:
    """Return a file's name on one line: it is not ours."""
    return " ".join(name.split())[:200]
