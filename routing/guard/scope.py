"""What the arms are for, by examples: a prompt that is like none of them is refused, or goes to a named arm."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from scrimp.profiles.errors import DataError

from .examples import read_examples
from .turns import nearest_of
from .verdict import Finding, Guarded, Name, Outcome

if TYPE_CHECKING:
    from scrimp.profiles.schema import Profile
    from scrimp.routing.prompts.context import TextEmbedder

    from .nearest import Nearest
    from .verdict import Seen

__all__ = ["ScopeWatch", "open_scope", "scope_of", "sent_to"]


@dataclass(frozen=True, slots=True)
class ScopeWatch:
    """The guard of scope.

    Attributes
    ----------
    nearest
        The fit to the examples.
    embedder
        Embeds a turn of a conversation with the one before, where it says little.
    sends
        The arm that takes what is out of scope; None refuses it.
    """

    nearest: Nearest
    embedder: TextEmbedder
    sends: str | None
    embeds: bool = True

    def look(self, seen: Seen) -> Guarded:
        """Return what it says of a prompt."""
        if seen.context is None:
            return Guarded()
        found = nearest_of(seen.prompt, seen.context, self.nearest, self.embedder)
        if found.like:
            return Guarded((Finding(Name.SCOPE, Outcome.PASSED, f"in scope: {found.domain}", found.to_dict()),))
        why = (
            "out of scope: unlike the examples of what is asked here; "
            f"{found.domain} is nearest, at {found.similarity:.2f}"
        )
        if self.sends is None:
            return Guarded((Finding(Name.SCOPE, Outcome.REFUSED, why, found.to_dict()),))
        finding = Finding(Name.SCOPE, Outcome.CHANGED, f"{why}; {sent_to(self.sends, seen)}", found.to_dict())
        return Guarded((finding,), sends=self.sends)


def sent_to(arm: str, seen: Seen) -> str:
    """Return in words where a prompt is sent, and in whose place."""
    instead = "" if seen.asked_for in (None, arm) else f", not to {seen.asked_for}, which was asked for"
    return f"it goes to {arm}{instead}"


def scope_of(path: Path, embedder: TextEmbedder, cache: Path | None) -> Nearest:
    """Return the fit to a file of examples.

    Raises
    ------
    DataError
        If the file is malformed, or names no domain.
    """
    from .kept import open_nearest

    examples = read_examples(path)
    if all(domain is None for domain in examples.domains):
        raise DataError(
            f"{path}: none of the examples has a domain",
            hint="A prompt that is in scope needs the name of what it is about.",
        )
    return open_nearest(examples, embedder, cache)


def open_scope(profile: Profile, embedder: TextEmbedder, cache: Path | None) -> ScopeWatch | None:
    """Open a profile's guard of scope; None where it has none.

    Raises
    ------
    DataError
        As `scope_of`.
    """
    stated = profile.guard.scope
    if stated is None:
        return None
    sends = {"refuse": None, "default": profile.default_arm}.get(stated.outside, stated.outside.removeprefix("arm:"))
    return ScopeWatch(scope_of(Path(stated.examples), embedder, cache), embedder, sends)
