"""What a command is asked: words, files, and standard input where it is meant."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from .result import say
from .stdin import read_stdin

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scrimp.routing.prompts.sources import Source

__all__ = ["Given", "gather"]


class Given(NamedTuple):
    """What was given.

    Attributes
    ----------
    typed
        The words of the prompt.
    sources
        The files, standard input among them.
    unasked
        Standard input is among them though neither a word nor `-f` names it.
    """

    typed: str
    sources: tuple[Source, ...]
    unasked: bool


def gather(words: Sequence[str], files: Sequence[str], *, quiet: bool = False) -> Given:
    """Return the words of a prompt, and the text of files and of standard input.

    `-` as a word or among the files is standard input, whatever it is. It stands where it is named among the files,
    else after them.

    Parameters
    ----------
    quiet
        Leave out remarks on how files are read.

    Raises
    ------
    UsageError
        If a file cannot be read, or nothing was given at all.
    """
    from scrimp.routing.asking.files_in import PIPE, read_sources
    from scrimp.routing.text.clean import clean_text

    typed = clean_text(" ".join(word for word in words if word != PIPE), what="the prompt")
    explicit = PIPE in words or PIPE in files
    has_prompt = any(word != PIPE for word in words) or bool(files)
    piped = read_stdin(has_prompt=has_prompt, explicit=explicit, quiet=quiet)
    names = [*files] if not piped or PIPE in files else [*files, PIPE]
    sources = read_sources(names, tell=(lambda _line: None) if quiet else say, piped=piped)
    return Given(typed, sources, bool(piped) and not explicit)
