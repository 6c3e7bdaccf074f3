"""A profile's pool: a folder of Markdown files as arms, of which a prompt sees those that are nearest to it.

The files are read into an index once; after that a start costs a look at each file's time and size. An arm is made when
it is asked for by name or is near to a prompt.
"""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from scrimp.profiles.errors import ConfigError, ScrimpError
from scrimp.profiles.schema import did_you_mean
from scrimp.routing.retrieval.folder import files_below
from scrimp.routing.retrieval.index import Index, index_path
from scrimp.routing.retrieval.skills import ENDING, is_skill, read_skill

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    import numpy as np
    from numpy.typing import NDArray

    from scrimp.profiles.schema import Arm, Pool, Profile
    from scrimp.routing.prompts.context import TextEmbedder
    from scrimp.routing.retrieval.folder import Files
    from scrimp.routing.retrieval.index import Document, Found, Listed

__all__ = ["ALL_OF", "NEAREST", "ArmPool", "Card", "check_pool"]

ALL_OF: Final = 50
"""Up to so many arms, pool and profile together, the policy sees all."""

NEAREST: Final = 8
"""Beyond that it sees so many of the pool."""

_LOOK_AFTER_S: Final = 2.0
"""A process that stays looks at the folder again after so many seconds, or `_SELDOM` times as many as a look takes."""

_SELDOM: Final = 50


@dataclass(frozen=True, slots=True)
class Card:
    """What is known of an arm of the pool without its text.

    Attributes
    ----------
    name, about, key
        The arm, what it says it is for ("" where it does not), and its file from the folder on.
    like
        The arm of the profile that it is like.
    tags
        Its own, beside those of that arm.
    """

    name: str
    about: str
    key: str
    like: str
    tags: tuple[str, ...]


class ArmPool:
    """The arms of a profile's pool. May be used from several threads.

    Parameters
    ----------
    profile
        With a pool; its arms are those that the pool's are like.
    cache
        Where the index is kept.
    say
        Takes lines for the user: how far a first indexing is, and which files are left out.
    """

    def __init__(self, profile: Profile, cache: Path, embedder: TextEmbedder, *, say: Callable[[str], None]) -> None:
        self._profile = profile
        self._pool = _pool_of(profile)
        self._own = frozenset(arm.name for arm in profile.arms)
        self.folder = Path(self._pool.folder)
        self._cache = cache
        self._embedder = embedder
        self._say = say
        self._lock = threading.Lock()
        self._index: Index | None = None
        self._look_at = 0.0
        self._listed: Mapping[str, Listed] = {}
        self._cards: dict[str, Card] = {}
        self._names: dict[str, str] = {}
        self._arms: dict[str, tuple[str, Arm]] = {}
        self._told = False
        self._looked = False

    @property
    def cards(self) -> Mapping[str, Card]:
        """Every arm by its name, the files as they are now.

        Raises
        ------
        ConfigError
            If the folder cannot be read.
        """
        self._look()
        return self._cards

    def arm(self, name: str) -> Arm | None:
        """Return the arm of a name, as it was when last used if it was; None where there is none."""
        known = self._arms.get(name)
        return next(iter(self.arms((name,))), None) if known is None else known[1]

    def has(self, arm: Arm) -> bool:
        """Tell whether an arm is of the pool, and not of the profile's own."""
        return arm.name not in self._own

    def nearest(self, text: str, embedding: NDArray[np.float32]) -> dict[str, Found]:
        """Return the arms that the policy is to see for a prompt by name, the nearest first; all of a small pool."""
        n_cards, names = len(self.cards), self._names
        assert self._index is not None  # noqa: S101 - looked at above
        n = NEAREST if n_cards + len(self._profile.arms) > ALL_OF else ALL_OF
        spare = len(self._listed) - n_cards  # files that are no arm are in the index: as many more are asked for
        found = self._index.nearest(text, embedding, n + min(spare, ALL_OF))
        return dict(islice(((names[each.key], each) for each in found if each.key in names), n))

    def arms(self, names: Iterable[str]) -> tuple[Arm, ...]:
        """Return the arms of some names; names of no arm of the pool are passed over."""
        cards = self.cards
        made = (self._made(cards[name]) for name in names if name in cards)
        return tuple(arm for arm in made if arm is not None)

    def _look(self) -> None:
        """Bring the index up to date with the folder, if that was not done just now."""
        with self._lock:
            began = time.monotonic()
            if began < self._look_at:
                return
            files = _files(self._pool)
            if self._index is None:
                path = index_path(self._cache, "pool", self.folder, self._embedder.id)
                self._index = Index.open(path, self._embedder, say=self._say, what=f"files of {self.folder}")
            self._index.refresh(files.stamps, self._read)
            listed = self._index.listed()
            if listed is not self._listed:
                refused = [each.refused for each in listed.values() if each.refused is not None]
                self._cards, wrong = _settled([each for each in listed.values() if each.refused is None], self._profile)
                self._names = {card.key: name for name, card in self._cards.items()}
                self._listed = listed
                self._tell([*refused, *wrong, *_not_followed(self.folder, files)])
            now = time.monotonic()
            self._look_at = now + max(_LOOK_AFTER_S, _SELDOM * (now - began) if self._looked else 0.0)
            self._looked = True

    def _read(self, key: str) -> Document | None:
        return read_skill(self.folder, key)

    def _tell(self, problems: list[str]) -> None:
        if problems and not self._told:
            more = f", and {len(problems) - 1:,} more" if len(problems) > 1 else ""
            self._say(f"left out of the pool: {problems[0]}{more} (`scrimp profile check` lists them)")
            self._told = True

    def _made(self, card: Card) -> Arm | None:
        listed, known = self._listed.get(card.key), self._arms.get(card.name)
        digest = "" if listed is None else listed.digest
        if known is not None and known[0] == digest:
            return known[1]
        assert self._index is not None  # noqa: S101 - a card comes of it
        document = self._index.document(card.key)
        base = _base(self._profile, card.like)
        if document is None or base is None:
            return None
        arm = msgspec.structs.replace(
            base,
            name=card.name,
            like=card.like,
            about=document.about or None,
            system=document.body,
            prompt=None,
            tags=tuple(dict.fromkeys((*base.tags, *card.tags))),
        )
        self._arms[card.name] = digest, arm
        return arm


def check_pool(profile: Profile) -> tuple[list[Card], list[str]]:
    """Read every file of a profile's pool, without an index; return its arms, and what is wrong: FILE:LINE: FIELD: WHY.

    Raises
    ------
    ConfigError
        If the folder cannot be read.
    """
    pool = _pool_of(profile)
    folder, files = Path(pool.folder), _files(pool)
    entries: list[Document] = []
    wrong: list[str] = []
    for key in files.stamps:
        try:
            if (document := read_skill(folder, key)) is not None:
                entries.append(document)
        except ScrimpError as error:
            wrong.append(error.message)
    cards, more = _settled(entries, profile)
    return list(cards.values()), [*wrong, *more, *_not_followed(folder, files)]


def _pool_of(profile: Profile) -> Pool:
    assert profile.pool is not None  # noqa: S101 - the caller has looked
    return profile.pool


def _files(pool: Pool) -> Files:
    try:
        files = files_below(Path(pool.folder), ENDING)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise ConfigError(
            f"pool.folder: {pool.folder} cannot be read: {why}", hint="It is sought from the profile's own file on."
        ) from None
    return replace(files, stamps={key: stamp for key, stamp in files.stamps.items() if is_skill(key)})


def _not_followed(folder: Path, files: Files) -> list[str]:
    return [f"{folder / link}: a symbolic link, which is not followed" for link in files.links] + [
        f"{folder / name}: cannot be read: {why}" for name, why in files.closed.items()
    ]


def _settled(entries: Iterable[Listed | Document], profile: Profile) -> tuple[dict[str, Card], list[str]]:
    """Return the arms that files make in a profile, by name, and what is wrong with the others.

    Parameters
    ----------
    entries
        Of each file what `read_skill` returned, or what the index lists of that.
    """
    pool = _pool_of(profile)
    own = {arm.name for arm in profile.arms} | {arm.base for arm in profile.arms}
    cards: dict[str, Card] = {}
    wrong: list[str] = []
    keys: dict[str, list[str]] = {}
    for each in entries:
        key, name, more = each.key, each.name, json.loads(each.kept)
        keys.setdefault(name, []).append(key)
        like = more["like"] or pool.like or profile.default_arm
        at = f"{Path(pool.folder) / key}:{more['line']}"
        if _base(profile, like) is None:
            where = "like" if more["like"] else "pool.like of the profile"
            wrong.append(f"{at}: {where}: no arm is called {like!r}{did_you_mean(like, own)}")
        elif name in own:
            wrong.append(f"{at}: name: the profile has an arm called {name!r} of its own")
        else:
            cards[name] = Card(name, each.about, key, like, tuple(more["tags"]))
    for name, those in keys.items():
        if len(those) > 1:  # to take one of them would let a new file change what an old name means
            cards.pop(name, None)
            files = " and ".join(str(Path(pool.folder) / key) for key in those)
            wrong.append(f"{files}: name: more than one arm would be called {name!r}")
    return cards, wrong


def _base(profile: Profile, like: str) -> Arm | None:
    """Return the arm that others are like: an arm or rung of a name, or a ladder's arm without an effort."""
    found = next((arm for arm in profile.arms if arm.name == like), None)
    if found is not None:
        return msgspec.structs.replace(found, efforts=())
    rungs = profile.rungs(like)
    return msgspec.structs.replace(rungs[0], reasoning_effort=None, efforts=()) if rungs else None
