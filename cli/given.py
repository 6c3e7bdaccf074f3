"""What a command is asked: words, files, and standard input where it is meant."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from scrimp.profiles.errors import UsageError

from .result import say
from .stdin import read_bytes, read_stdin

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from scrimp.routing.asking.fetching import Fetcher
    from scrimp.routing.prompts.prompt import Attachment
    from scrimp.routing.prompts.sources import Source

__all__ = ["Given", "attached", "gather"]


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


def gather(
    words: Sequence[str], files: Sequence[str], *, quiet: bool = False, here_only: bool = False, piped: bool = True
) -> Given:
    """Return the words of a prompt, and the text of files and of standard input.

    `-` as a word or among the files is standard input, whatever it is. It stands where it is named among the files,
    else after them.

    Parameters
    ----------
    quiet
        Leave out remarks on how files are read.
    here_only
        Whether nothing may leave this machine: then no URL among the files is fetched.
    piped
        Whether standard input may be read; False: it was read as something else.

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
    if explicit and not piped:
        raise UsageError("standard input can be read once: - is given twice")
    text = read_stdin(has_prompt=has_prompt, explicit=explicit, quiet=quiet) if piped else None
    names = [*files] if not text or PIPE in files else [*files, PIPE]
    tell = (lambda _line: None) if quiet else say
    sources = read_sources(names, tell=tell, piped=text, fetch=lambda url: _fetcher(here_only, tell).text(url))
    return Given(typed, sources, bool(text) and not explicit)


def attached(names: Sequence[str], *, quiet: bool, here_only: bool) -> list[Path | Attachment]:
    """Return what `-a` names: files, URLs, and `-` for standard input.

    Raises
    ------
    UsageError, TryAgainError
        If one cannot be fetched, or is of a kind that no model takes.
    """
    if not names:
        return []
    from scrimp.routing.asking.compose import given_attachments

    tell = (lambda _line: None) if quiet else say
    return given_attachments(names, fetch=lambda url: _fetcher(here_only, tell).bytes(url), piped=read_bytes)


def _fetcher(here_only: bool, tell: Callable[[str], object]) -> Fetcher:
    from scrimp.routing.asking.fetching import Fetcher

    return Fetcher(here_only, tell)
