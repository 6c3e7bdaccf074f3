"""Requests composed like those that litellm made for calls of the same kind, without asking it again.

litellm takes three quarters of the CPU that a call takes, and of what it does only the request is used: its address,
its headers and its body. So what it sends is looked at. Calls are of one kind where they differ in nothing but the
texts of their messages. Of the first, the body is cut where its texts stand; of the next few it is checked that the
same pieces around their texts say what litellm sends; from then on the kind is composed here, and now and then checked
again. A kind is left to litellm for good once anything differs; so it is where a text does not stand in the body as it
is (a template of words), where messages are more than plain text, and where the request carries anything else to prove
who asks than the call's own key (a signature, a token that ends): such a request is good once.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import msgspec

from .call import NO_KEY
from .events import decode

if TYPE_CHECKING:
    from collections.abc import Mapping

    import httpx

    from .call import Call

__all__ = ["Kind", "Learnt", "LearntRequest", "kind_of"]

_N_PROOFS: Final = 3
_CHECK_EVERY: Final = 500
_MOST_KINDS: Final = 256
_ROLES: Final = frozenset({"system", "developer", "user", "assistant"})
_TIMEOUT: Final = "x-stainless-read-timeout"
_VARY: Final = frozenset({"content-length", _TIMEOUT})
_KEYED: Final = frozenset({"x-api-key", "api-key", "x-goog-api-key"})
_encode: Final = msgspec.json.Encoder().encode
_encode_sorted: Final = msgspec.json.Encoder(order="deterministic").encode


@dataclass(frozen=True, slots=True)
class Kind:
    """What a call has in common with others, and what it says itself.

    Attributes
    ----------
    digest
        Equal for calls that differ in nothing but their texts.
    texts
        The texts of its messages, in order.
    key
        What proves who asks.
    timeout_s
        The longest silence, seconds.
    """

    digest: bytes
    texts: tuple[str, ...] = field(repr=False)
    key: str | None = field(repr=False)
    timeout_s: float


def kind_of(call: Call, *, streams: bool) -> Kind | None:
    """Return what kind of call it is; None of one that only litellm can compose."""
    if call.caches or not call.messages:
        return None
    roles, texts = [], []
    for message in call.messages:
        role, text = message.get("role"), message.get("content")
        if len(message) != 2 or role not in _ROLES or not isinstance(text, str) or not text or text.isspace():
            return None
        if role == "assistant" and (text[0].isspace() or text[-1].isspace()):  # some providers' are trimmed
            return None
        roles.append(role)
        texts.append(text)
    try:
        said = _encode(
            [call.model, call.api_base, call.api_key, call.max_output_tokens, call.params, call.reasoning_effort,
             call.response_format, call.tools, call.tool_choice, streams, roles]
        )  # fmt: skip
    except (TypeError, ValueError):
        return None
    digest = hashlib.blake2b(said, digest_size=16).digest()
    key = call.api_key or (NO_KEY if call.api_base is not None else None)
    return Kind(digest, tuple(texts), key, float(min(call.timeout_s, call.deadline_s)))


@dataclass(frozen=True, slots=True)
class LearntRequest:
    """A request that is ready to leave.

    Attributes
    ----------
    url, headers
        Where it goes, and what it says of itself; the length of the body is missing.
    body
        JSON.
    outline
        The body without its texts: what it asks for, and at most how much.
    streams
        Whether a stream is asked for.
    """

    url: httpx.URL
    headers: list[tuple[str, str]] = field(repr=False)
    body: bytes = field(repr=False)
    outline: Mapping[str, Any] = field(repr=False)
    streams: bool


class _Pattern:
    """What calls of one kind send.

    Attributes
    ----------
    barred
        Whether they are left to litellm.
    n_proofs
        How many requests of litellm's, after the first, were what would have been composed.
    n_composed
        How many were composed since the last of them.
    """

    def __init__(self) -> None:
        self.barred = False
        self.n_proofs = 0
        self.n_composed = 0
        self.texts = 0
        self.url: httpx.URL | None = None
        self.headers: list[tuple[str, str]] = []
        self.timed = False
        self.pieces: list[bytes] = []
        self.places: list[int] = []
        self.outline: dict[str, Any] = {}
        self.streams = False

    @property
    def proven(self) -> bool:
        return not self.barred and self.n_proofs >= _N_PROOFS

    def compose(self, kind: Kind) -> LearntRequest | None:
        """Return the request of a call; None where it cannot be composed."""
        assert self.url is not None  # noqa: S101 - it was begun
        parts = [self.pieces[0]]
        try:
            for place, piece in zip(self.places, self.pieces[1:], strict=True):
                parts += (_encode(kind.texts[place]), piece)
        except ValueError:  # half of a surrogate pair
            return None
        headers = [*self.headers, (_TIMEOUT, str(kind.timeout_s))] if self.timed else self.headers
        return LearntRequest(self.url, headers, b"".join(parts), self.outline, self.streams)

    def begin(self, kind: Kind, request: httpx.Request, asked: dict[str, Any], *, streams: bool) -> None:
        """Take a request as the pattern of those to come, where that can be told from it."""
        if len({*kind.texts}) < len(kind.texts):
            return  # which is which cannot be told: another call may tell
        marks = [f"\0{i}\0" for i in range(len(kind.texts))]
        found: list[int] = []
        outline = _outlined(asked, {text: i for i, text in enumerate(kind.texts)}, marks, found)
        if sorted(found) != list(range(len(marks))):
            # Not there as it is, or there more than once: of a short text that may be chance.
            self.barred = not all(i in found for i in range(len(marks)))
            return
        data, pieces = _encode(outline), []
        for i in found:
            before, _, data = data.partition(_encode(marks[i]))
            pieces.append(before)
        self.pieces, self.places = [*pieces, data], found
        self.texts, self.url, self.outline, self.streams = hash(kind.texts), request.url, outline, streams
        self.headers = [(name, value) for name, value in _headers(request) if name not in _VARY]
        self.timed = _TIMEOUT in request.headers
        self.barred = not _only_keyed(request, kind.key)

    def check(self, kind: Kind, request: httpx.Request, asked: dict[str, Any], *, streams: bool) -> None:
        """Compare a request of litellm's with what would have been composed."""
        ours = self.compose(kind)
        if ours is None:
            return
        theirs = [(name, value) for name, value in _headers(request) if name != "content-length"]
        same = (
            request.url == ours.url
            and streams == ours.streams
            and sorted(theirs) == sorted(ours.headers)
            and _encode_sorted(decode(ours.body)) == _encode_sorted(asked)
        )
        if not same:
            self.barred = True
        else:
            self.n_proofs += hash(kind.texts) != self.texts
            self.n_composed = 0


class Learnt:
    """What is known of the requests of this process."""

    def __init__(self) -> None:
        self._patterns: OrderedDict[bytes, _Pattern] = OrderedDict()

    def compose(self, kind: Kind) -> LearntRequest | None:
        """Return the request of a call; None where litellm has to be asked."""
        pattern = self._patterns.get(kind.digest)
        if pattern is None or not pattern.proven:
            return None
        pattern.n_composed += 1
        if pattern.n_composed > _CHECK_EVERY:
            return None
        return pattern.compose(kind)

    def note(self, kind: Kind, request: httpx.Request, asked: dict[str, Any], *, streams: bool) -> None:
        """Take note of a request that litellm makes.

        Parameters
        ----------
        asked
            Its body.
        streams
            Whether a stream is asked for.
        """
        pattern = self._patterns.get(kind.digest)
        if pattern is None:
            pattern = self._patterns[kind.digest] = _Pattern()
            if len(self._patterns) > _MOST_KINDS:
                self._patterns.popitem(last=False)
        if pattern.barred:
            return
        if pattern.url is None:
            pattern.begin(kind, request, asked, streams=streams)
        else:
            pattern.check(kind, request, asked, streams=streams)


def _headers(request: httpx.Request) -> list[tuple[str, str]]:
    return [(name.lower(), value) for name, value in request.headers.multi_items()]


def _only_keyed(request: httpx.Request, key: str | None) -> bool:
    """Tell whether nothing but the call's own key proves who asks."""
    proofs = [value for name, value in _headers(request) if name in _KEYED or "auth" in name or "token" in name]
    if request.method != "POST" or key is None or not proofs:
        return False
    return all(value in (key, f"Bearer {key}") for value in proofs)


def _outlined(value: Any, texts: dict[str, int], marks: list[str], found: list[int]) -> Any:
    """Return JSON with marks in the place of texts; `found` takes them in the order in which they stand."""
    if isinstance(value, str):
        i = texts.get(value)
        if i is None:
            return value
        found.append(i)
        return marks[i]
    if isinstance(value, dict):
        return {name: _outlined(each, texts, marks, found) for name, each in value.items()}
    if isinstance(value, list):
        return [_outlined(each, texts, marks, found) for each in value]
    return value
