"""Make text from models and providers safe to print: no control of the terminal, no hidden text, no secrets."""

from __future__ import annotations

import base64
import functools
import re
import urllib.parse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["REDACTED", "Sanitizer", "encodable", "sanitize", "scrub"]

REDACTED = "[redacted]"
"""What stands in the place of a secret."""

_SURROGATE = re.compile("[\ud800-\udfff]")
_HIGH_SURROGATES = range(0xD800, 0xDC00)

# Bidirectional embeddings, overrides and isolates (they reorder what is read), and characters that show nothing (they
# hide what is there). Kept, because languages and emoji need them: ZWNJ and ZWJ, LRM, RLM and ALM, variation selectors.
_HIDDEN = (
    *range(0x202A, 0x202F),
    *range(0x2066, 0x206A),
    *range(0x206A, 0x2070),
    *range(0xFFF9, 0xFFFC),
    *range(0xE0000, 0xE0080),
    0x180E,
    0x200B,
    *range(0x2060, 0x2065),
    0xFEFF,
)
_TABLE: dict[int, str] = {
    **{code: chr(0x2400 + code) for code in range(0x20) if code not in {0x09, 0x0A}},
    0x7F: "␡",
    **{code: f"\\x{code:02x}" for code in range(0x80, 0xA0)},
    **{code: f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}" for code in _HIDDEN},
}

_MIN_FRAGMENT = 8
_MASKED = re.compile(r"([\w-]*)(?:\*{2,}|\.{3,}|…+|•{2,}|[xX]{4,})([\w-]*)")
_SHAPES = re.compile(
    r"""(?ix)
    (?P<keep>
        \b(?:bearer|basic)[ \t:=]+                                        # an Authorization header, quoted or not
      | [?&](?:key|api[_-]?key|access[_-]?token|token)=                   # a key in a URL
      | \b(?:x-)?api[_-]?key["']?[ \t]*[:=][ \t]*["']?                    # api_key=..., "x-api-key": "..."
    )
    (?!\[redacted\])[^\s"'&<>,;)}\]]+
    | \b(?:sk|pk|rk|gsk|xai|hf|ghp|r8|nvapi|AIza|AKIA)[-_]?[\w-]{16,}     # the usual shapes of keys
    """
)


def sanitize(text: str) -> str:
    r"""Return `text` with everything that a terminal would obey, or hide, made visible.

    Newline and tab stay, CR LF becomes LF. Other C0 controls and DEL become their pictures (ESC is `␛`), C1 controls
    become `\x9b`, bidirectional overrides and zero-width characters become `\u202e`, a lone surrogate becomes U+FFFD.
    An escape sequence thus stays readable and does nothing: its first character is no longer a control.

    Examples
    --------
    >>> sanitize("a\x1b[2Jb\x07\u202ec")
    'a␛[2Jb␇\\u202ec'
    """
    return encodable(text.replace("\r\n", "\n")).translate(_TABLE)


def encodable(text: str) -> str:
    r"""Return `text` as valid Unicode: surrogate pairs are joined, lone surrogates become U+FFFD.

    Examples
    --------
    >>> encodable("\ud83d\ude00 \ud800")
    '😀 �'
    """
    if _SURROGATE.search(text) is None:
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


class Sanitizer:
    """Sanitise a text that arrives in pieces: the pieces joined equal `sanitize` of the whole.

    Only CR LF and surrogate pairs can be split by the edge of a piece, so at most one character is held back.

    Parameters
    ----------
    controls
        False makes the text encodable and leaves controls as they are, for a pipe.
    """

    def __init__(self, *, controls: bool = True) -> None:
        self._clean = sanitize if controls else encodable
        self._held = ""

    def feed(self, piece: str) -> str:
        """Return what can be printed once `piece` has arrived."""
        text = self._held + piece
        self._held = ""
        if text and (text[-1] == "\r" or ord(text[-1]) in _HIGH_SURROGATES):
            text, self._held = text[:-1], text[-1]
        return self._clean(text)

    def flush(self) -> str:
        """Return what was held back; to be called once, at the end."""
        held, self._held = self._held, ""
        return self._clean(held)


def scrub(text: str, secrets: Iterable[str | None]) -> str:
    """Return `text` without secrets, whole, in part, masked, URL-encoded or in base64, in any case of letters.

    Fragments of at least 8 characters of a secret go; so do masked forms that show its head or tail (`sk-...abcd`),
    whatever follows `Bearer`, and strings that look like a key of a well-known provider.

    Parameters
    ----------
    text
        Text that may hold a secret, such as a provider's error.
    secrets
        The secrets to look for; None and strings shorter than 4 characters are passed over.
    """
    for secret in secrets:
        if secret is None or len(secret) < 4:
            continue
        forms = {
            secret,
            urllib.parse.quote(secret, safe=""),
            base64.b64encode(secret.encode("utf-8", "replace")).decode().rstrip("="),
        }
        for form in sorted(forms, key=len, reverse=True):
            text = _without(text, form)
        text = _MASKED.sub(functools.partial(_masked, secret), text)
    return _SHAPES.sub(lambda match: (match["keep"] or "") + REDACTED, text)


def _without(text: str, secret: str) -> str:
    """Replace every run of `text` that is a long fragment of `secret`, or all of a short one."""
    size = min(_MIN_FRAGMENT, len(secret))
    low_text, low_secret = text.lower(), secret.lower()
    if len(low_text) != len(text):  # a letter whose lower case is longer: give up on case, not on positions
        low_text, low_secret = text, secret
    hit = bytearray(len(text))
    for i in range(len(low_secret) - size + 1):
        window = low_secret[i : i + size]
        at = low_text.find(window)
        while at >= 0:
            hit[at : at + size] = b"\x01" * size
            at = low_text.find(window, at + 1)
    if not any(hit):
        return text
    pieces, start = [], 0
    for match in re.finditer(rb"\x01+", bytes(hit)):
        pieces += [text[start : match.start()], REDACTED]
        start = match.end()
    return "".join([*pieces, text[start:]])


def _masked(secret: str, match: re.Match[str]) -> str:
    """Replace a masked word when what it shows is the head or the tail of `secret`."""
    head, tail = match[1].lower(), match[2].lower()
    known = secret.lower()
    shows_head = len(head) >= 2 and known.startswith(head)
    shows_tail = len(tail) >= 2 and known.endswith(tail)
    return REDACTED if shows_head or shows_tail else match[0]
