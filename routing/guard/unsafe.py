"""Prompts that an arm with care should take, by examples: those that come with scrimp, and the user's own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .examples import forms, read_examples
from .scope import sent_to
from .turns import nearest_of
from .verdict import Finding, Guarded, Name, Outcome

if TYPE_CHECKING:
    from scrimp.profiles.schema import Profile
    from scrimp.routing.prompts.context import TextEmbedder

    from .nearest import Nearest
    from .verdict import Seen

__all__ = ["UnsafeWatch", "open_unsafe"]


@dataclass(frozen=True, slots=True)
class UnsafeWatch:
    """The guard that sends what is like unsafe forms to an arm.

    Attributes
    ----------
    nearest
        The fit to the forms.
    embedder
        Embeds a turn of a conversation with the one before, where it says little.
    sends
        The arm.
    """

    nearest: Nearest
    embedder: TextEmbedder
    sends: str
    embeds: bool = True

    def look(self, seen: Seen) -> Guarded:
        """Return what it says of a prompt."""
        if seen.context is None:
            return Guarded()
        found = nearest_of(seen.prompt, seen.context, self.nearest, self.embedder)
        if not found.like:
            return Guarded((Finding(Name.UNSAFE, Outcome.PASSED, "like none of the unsafe forms", found.to_dict()),))
        why = f"like unsafe forms ({found.domain}, {found.similarity:.2f}): {sent_to(self.sends, seen)}"
        return Guarded((Finding(Name.UNSAFE, Outcome.CHANGED, why, found.to_dict()),), sends=self.sends)


def open_unsafe(profile: Profile, embedder: TextEmbedder, cache: Path | None) -> UnsafeWatch | None:
    """Open a profile's guard of what is unsafe; None where it has none.

    Raises
    ------
    DataError
        If a file of examples is malformed.
    """
    stated = profile.guard.unsafe
    if stated is None:
        return None
    from .kept import open_nearest

    # The user's own come first: what they say of a prompt that is in the shipped list too holds.
    own = forms() if stated.examples is None else read_examples(Path(stated.examples)).and_(forms())
    return UnsafeWatch(open_nearest(own, embedder, cache, kinds=True), embedder, stated.use.removeprefix("arm:"))
