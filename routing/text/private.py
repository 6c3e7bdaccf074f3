"""Find what is private in a text, by its form or by a list, and put placeholders there."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from bisect import bisect_left, insort
from collections import Counter, OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from .check_digits import luhn, valid_iban
from .escapes import read_escapes
from .private_kinds import KINDS, WORDS
from .sanitize import REDACTED, secret_spans, without_secrets

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .private_names import NameList

__all__ = ["PLACEHOLDER", "Hit", "Redactor", "find_private", "in_every_text", "in_json", "luhn", "valid_iban"]

PLACEHOLDER: Final = re.compile(rf"<(?:{'|'.join(WORDS)})_[1-9]\d{{0,5}}>")
"""What stands where something private stood."""

_LONG: Final = 2_000
"""What was found in a text of so many characters is remembered, by its digest: places, no values."""


class Hit(NamedTuple):
    """Something private: characters `start` to `end` of a text, and of which kind."""

    start: int
    end: int
    name: str


class _Taken:
    """Pieces of a text that are spoken for, none over another."""

    def __init__(self) -> None:
        self.hits: list[Hit] = []

    def free(self, start: int, end: int) -> bool:
        at = bisect_left(self.hits, (start,))
        before = at > 0 and self.hits[at - 1].end > start
        return not before and not (at < len(self.hits) and self.hits[at].start < end)

    def take(self, start: int, end: int, name: str) -> None:
        if start < end and self.free(start, end):
            insort(self.hits, Hit(start, end, name))


def find_private(text: str, names: NameList | None = None) -> list[Hit]:
    """Return what is private in a text, in its order; placeholders that stand in it already are none of it.

    Parameters
    ----------
    names
        A list of the user's own.

    Examples
    --------
    >>> find_private("Tell ann@example.com")
    [Hit(start=5, end=20, name='EMAIL')]
    """
    if (read := read_escapes(text)) is not None:
        plain, places = read
        return [Hit(places[hit.start], places[hit.end], hit.name) for hit in _find(plain, names)]
    return _find(text, names)


def _find(text: str, names: NameList | None) -> list[Hit]:
    taken = _Taken()
    low = text.lower()
    if "<" in text:
        for found in PLACEHOLDER.finditer(text):
            taken.take(*found.span(), "")
    for start, end in secret_spans(text):
        taken.take(start, end, "KEY")
    where, everywhere = _where_numbers_are(text), [(0, len(text))]
    for kind in KINDS:
        if kind.needs not in low:
            continue
        group = "v" if "v" in kind.form.groupindex else 0
        for begin, end in where if kind.digits else everywhere:
            for found in kind.form.finditer(text, begin, end):
                what = kind.is_it(found[group])
                if what:
                    taken.take(found.start(group), found.start(group) + len(what), kind.name)
    if names is not None:
        for start, end in names.find(text):
            taken.take(start, end, "NAME")
    return [hit for hit in taken.hits if hit.name]


def _find_again(text: str, names: NameList | None) -> list[Hit]:
    """Return what `find_private` does; of long texts it is remembered where something stands, and what is clean.

    A program sends its whole chat with every turn, and each call of a plan is looked through again.
    """
    if len(text) < _LONG:
        return find_private(text, names)
    key = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest(), names
    with _seen_by:
        known = _seen.get(key)
        if known is not None:
            _seen.move_to_end(key)
            return known
    found = find_private(text, names)
    with _seen_by:
        _seen[key] = found
        if len(_seen) > _MOST_SEEN:
            _seen.popitem(last=False)
    return found


_seen: OrderedDict[tuple[bytes, NameList | None], list[Hit]] = OrderedDict()
_seen_by = threading.Lock()
_MOST_SEEN: Final = 512


_FIVE_DIGITS: Final = re.compile(r"\d(?:[^\d\n]{0,4}\d){4}")
_AROUND: Final = 96
"""So far from its digits the word may stand that says what they are."""


def _where_numbers_are(text: str) -> list[tuple[int, int]]:
    """Return the stretches of a text with five digits or more close together, and what stands around them."""
    stretches: list[tuple[int, int]] = []
    for found in _FIVE_DIGITS.finditer(text):
        begin, end = max(0, found.start() - _AROUND), min(len(text), found.end() + _AROUND)
        if stretches and begin <= stretches[-1][1]:
            stretches[-1] = (stretches[-1][0], end)
        else:
            stretches.append((begin, end))
    return stretches


@dataclass(slots=True)
class Redactor:
    """Puts placeholders where private text stands; the same text gets the same one, as long as this lives.

    What has a form of its own is found (`private_kinds`), what looks like a key, and what stands in a list. Other names
    of people, and streets, have no form, and are not.

    Attributes
    ----------
    secrets
        Keys to be taken out for good wherever they stand, whole or in part.
    names
        A list of the user's own; None: none.
    found
        How often something of each kind was replaced.
    known
        What placeholders stand for: they are numbered as they come.
    standing
        Placeholders that stood in the text as it was given: nothing gets them.

    Examples
    --------
    >>> Redactor().redact("Pay 4111 1111 1111 1111, tell ann@example.com and bob@example.com, then ann@example.com")
    'Pay <CARD_1>, tell <EMAIL_1> and <EMAIL_2>, then <EMAIL_1>'
    """

    secrets: Sequence[str] = ()
    names: NameList | None = None
    found: Counter[str] = field(default_factory=Counter)
    known: dict[str, str] = field(default_factory=dict, repr=False)
    standing: set[str] = field(default_factory=set)
    _by_value: dict[tuple[str, str], str] = field(default_factory=dict, repr=False)
    _last: Counter[str] = field(default_factory=Counter)

    def avoid(self, text: str) -> None:
        """Take note of placeholders that stand in a text, before anything is replaced."""
        if "<" in text:
            self.standing.update(PLACEHOLDER.findall(text))

    def redact(self, text: str) -> str:
        """Return a text with placeholders."""
        if self.secrets:
            clean = without_secrets(text, self.secrets)
            self.found["KEY"] += max(0, clean.count(REDACTED) - text.count(REDACTED))
            text = clean
        pieces, at = [], 0
        for start, end, name in _find_again(text, self.names):
            self.found[name] += 1
            pieces += [text[at:start], self._placeholder(name, text[start:end])]
            at = end
        return "".join([*pieces, text[at:]]) if pieces else text

    def _placeholder(self, name: str, value: str) -> str:
        made = self._by_value.get((name, value))
        while made is None:
            self._last[name] += 1
            new = f"<{name}_{self._last[name]}>"
            made = None if new in self.standing else new
        if made not in self.known:
            self._by_value[name, value] = made
            self.known[made] = value
        return made

    @property
    def counts(self) -> dict[str, int]:
        """How many different values of each kind were found."""
        return dict(Counter(name for name, _ in self._by_value))


def in_every_text(value: Any, change: Callable[[str], str], *, names_too: bool = False) -> Any:
    """Return plain data with every string in it changed; a number that would be becomes text.

    Parameters
    ----------
    names_too
        Whether names of fields are changed: they are data where the user made them up.
    """
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list | tuple):
        return [in_every_text(each, change, names_too=names_too) for each in value]
    if isinstance(value, dict):
        return {
            change(name) if names_too and isinstance(name, str) else name: in_every_text(
                each, change, names_too=names_too
            )
            for name, each in value.items()
        }
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > 10**6:
        made = change(str(value))
        return value if made == str(value) else made
    return value


def in_json(text: str, change: Callable[[str], str]) -> str:
    """Return JSON text with every string in it changed, names too; what is no JSON is changed as it stands."""
    try:
        value = json.loads(text)
    except ValueError:
        return change(text)
    made = in_every_text(value, change, names_too=True)
    return text if made == value else json.dumps(made, ensure_ascii=False)
