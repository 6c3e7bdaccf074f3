"""All guards of a profile that look at a prompt before an arm is chosen, one after another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .rules import open_rules
from .scope import open_scope
from .telling import telling
from .unsafe import open_unsafe
from .verdict import UNGUARDED, Guarded

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from scrimp.profiles.schema import Profile
    from scrimp.routing.prompts.context import TextEmbedder

    from .verdict import Seen, Watch

__all__ = ["Sentry"]

KINDS: tuple[Callable[[Profile, TextEmbedder, Path | None], Watch | None], ...] = (
    open_rules,
    open_unsafe,  # before scope: of two that send a prompt to an arm the first is heard, and this one must be
    open_scope,
)
"""Opens each guard of a profile, in the order in which they look; None where the profile has none of that kind."""


@dataclass(frozen=True, slots=True)
class Sentry:
    """The guards of a profile.

    Attributes
    ----------
    watches
        In the order in which they look.
    """

    watches: tuple[Watch, ...] = ()

    @classmethod
    def open(
        cls,
        profile: Profile,
        embedder: TextEmbedder,
        cache: Path | None,
        on_embedded: Callable[[int, int], None] = lambda _done, _total: None,
    ) -> Sentry:
        """Open the guards of a profile.

        Parameters
        ----------
        embedder
            Embeds examples.
        cache
            The folder of the cache, for what was embedded; None keeps nothing.
        on_embedded
            Told how many examples are embedded, of how many that are new.

        Raises
        ------
        DataError
            If a file of examples is malformed.
        """
        with telling(on_embedded):
            return cls(tuple(watch for kind in KINDS if (watch := kind(profile, embedder, cache)) is not None))

    @property
    def embeds(self) -> bool:
        """Whether any of them needs the prompt's embedding."""
        return any(watch.embeds for watch in self.watches)

    def look(self, seen: Seen) -> Guarded:
        """Return what they say of a prompt together."""
        return Guarded.together(watch.look(seen) for watch in self.watches) if self.watches else UNGUARDED
