"""Thoughts that a model writes into its answer, between `<think>` and `</think>`: they are no part of the answer."""

from __future__ import annotations

from typing import Final

__all__ = ["Thinking"]

_TAGS: Final = {"<think>": "</think>", "<thinking>": "</thinking>"}


class Thinking:
    r"""Takes the thoughts at the beginning of an answer out of it, piece by piece.

    Attributes
    ----------
    found
        Whether there were any.

    Examples
    --------
    >>> thinking = Thinking()
    >>> [thinking.feed(piece) for piece in ("<th", "ink>Paris, I th", "ink.</thi", "nk>\n\nPa", "ris")]
    ['', '', '', 'Pa', 'ris']
    """

    def __init__(self) -> None:
        self.found = False
        self._held = ""
        self._close = ""
        self._open = False

    def feed(self, text: str) -> str:
        """Return what a piece adds to the answer."""
        if self._open:
            return text
        self._held += text
        while True:
            if self._close:
                _, closed, rest = self._held.partition(self._close)
                if not closed:
                    self._held = self._held[-len(self._close) :]  # it may have begun
                    return ""
                self._close, self._held = "", rest.lstrip()
            begun = self._held.lstrip()
            tag = next((tag for tag in _TAGS if begun.startswith(tag)), None)
            if tag is None:
                return "" if any(tag.startswith(begun) for tag in _TAGS) else self.end()
            self.found, self._close, self._held = True, _TAGS[tag], begun[len(tag) :]

    def end(self) -> str:
        """Return what was held back, for nothing can follow that makes it a thought."""
        held = "" if self._close else self._held.lstrip() if self.found else self._held
        self._open, self._held = True, ""
        return held
