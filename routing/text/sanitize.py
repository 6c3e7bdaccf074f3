"""Make text from models and providers safe to print: no control of the terminal, no hidden text, no secrets."""

from __future__ import annotations

import base64
import functools
import html
import json
import re
import urllib.parse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = [
    "REDACTED",
    "Sanitizer",
    "encodable",
    "escape_json",
    "sanitize",
    "scrub",
    "secret_spans",
    "without_secrets",
]

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
    0x2028,
    0x2029,
    *range(0x2060, 0x2065),
    0xFEFF,
)


def _units(char: str) -> tuple[int, ...]:
    """Return the UTF-16 units of a character, as JSON escapes it."""
    data = char.encode("utf-16-be")
    return tuple(int.from_bytes(data[i : i + 2], "big") for i in range(0, len(data), 2))


_TABLE: dict[int, str] = {
    **{code: chr(0x2400 + code) for code in range(0x20) if code not in {0x09, 0x0A}},
    0x7F: "␡",
    **{code: f"\\x{code:02x}" for code in range(0x80, 0xA0)},
    **{code: f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}" for code in _HIDDEN},
}

_JSON_TABLE = {
    code: "".join(f"\\u{unit:04x}" for unit in _units(chr(code)))
    for code in (*(code for code in range(0x20) if code not in {0x09, 0x0A}), *range(0x7F, 0xA0), *_HIDDEN)
}

_MIN_FRAGMENT = 8
# What is shown beside a mask is short (longer fragments go anyway): without a limit the search is quadratic.
_MASKED = re.compile(r"([\w-]{0,32})(?:\*{2,}|\.{3,}|…+|•{2,}|[xX]{4,})([\w-]{0,32})")
# Written out here: the lists that others keep (detect-secrets, gitleaks) come with a scanner of repositories, and with
# rules that go by entropy, which would blot out hashes and ids.
_VALUE = r"""(?:(?!\[redacted\])[^\s"'&<>,;)}\]])"""
_SHAPES = re.compile(
    rf"""(?ix)
    (?P<keep>
        \b(?:bearer|basic)[ \t:=]+                                        # an Authorization header, quoted or not
      | \b(?:authorization|(?:set-)?cookie)["']?[ \t]*:[ \t]*["']?(?:token[ \t]+|[\w-]+=)?+(?!\[|bearer\b|basic\b)
      | [?&](?:key|sig|signature|api[_-]?key|access[_-]?token|token)=     # a key in a URL
      | \b(?:x-)?api[_-]?key["']?[ \t]*[:=][ \t]*["']?                    # api_key=..., "x-api-key": "..."
    )
    {_VALUE}+
    | (?P<named>                                                          # DB_PASSWORD=..., "client_secret": "..."
        (?:pass(?:word|wd|phrase)|pwd|secret|token|credentials?|(?:api|access|private|secret|account)[_-]?key)\\?["']?
        (?: [ \t]*=(?!=)[ \t]*\\?["']? | [ \t]*:[ \t]*\\?["'] | [ \t]*:[ \t]*(?=\S{{0,64}}\d) )
      | \bpass(?:word|wd|phrase)[ \t]+(?=\S{{0,64}}\d)(?=\S{{6}})         # --password ..., password ... (netrc)
    )
    {_VALUE}{{3,}}
    | (?P<user>\b[a-z][a-z0-9+.-]{{1,20}}://[^\s/:@"']{{0,64}}:)[^\s/@"']{{1,256}}(?=@)   # scheme://user:password@host
    | -----BEGIN[ ][A-Z0-9 ]*PRIVATE[ ]KEY(?:[ ]BLOCK)?-----(?s:.*?)(?:-----END[ ][A-Z0-9 ]*-----|\Z)
    | \beyJ[\w-]{{8,}}\.[\w-]{{8,}}(?:\.[\w-]*)?                            # a JSON Web Token
    | \b(?:(?:sk|pk|rk|gsk|xai|hf|ghp|r8|nvapi|AIza|AKIA)[-_]?           # the usual shapes of keys
        | (?:sk|rk|pk|whsec)_(?:live|test)?_? | gh[ousr]_ | gl(?:c|sa)_ | github_pat_ | glpat- | npm_ | pypi-
        | dop_v1_ | shp(?:at|ss)_
        | ASIA | SG\. | ya29\. | tvly- | pplx- | AGE-SECRET-KEY- | GOCSPX- | dapi(?=[0-9a-f]{{32}}\b) | hvs\. | lin_api_
        | sq0[a-z]{3}- | figd_ | ntn_ | sntrys_ | pscale_tkn_ | key-(?=[0-9a-f]{{32}}\b) | dckr_pat_ | AccountKey=
      )[\w-]{{16,}}(?:\.[\w-]+)*
    | \bxox[a-z]-[\w-]{{10,}} | \bxapp-[\w-]{{10,}} | \b\d{{8,10}}:AA[\w-]{{33}}\b
    | (?P<hook>\bhooks\.slack\.com/services/)[\w/]{{20,}}
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


def escape_json(text: str) -> str:
    r"""Return JSON of the same value, with everything that a terminal would obey, or hide, written as an escape.

    Examples
    --------
    >>> escape_json('["a\x9bb\u202e"]')
    '["a\\u009bb\\u202e"]'
    """
    return encodable(text).translate(_JSON_TABLE)


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
    """Return `text` without secrets: whole, in part, masked or encoded, in any case of letters.

    Fragments of at least 8 characters of a secret go, also URL-encoded, in base64 or base32 (within a longer text,
    too), in hexadecimal, and as JSON or HTML spell it; so do masked forms that show its head or tail (`sk-...abcd`),
    whatever follows `Bearer` or `password=`, private keys, and strings that look like a key of a well-known provider.

    Parameters
    ----------
    text
        Text that may hold a secret, such as a provider's error.
    secrets
        The secrets to look for; None and strings shorter than 4 characters are passed over.
    """
    return _SHAPES.sub(lambda match: _before(match) + REDACTED, without_secrets(text, secrets))


def without_secrets(text: str, secrets: Iterable[str | None]) -> str:
    """Return `text` without the secrets given, whole, in part, masked or encoded; keys that nobody named stay."""
    known = tuple(secret for secret in secrets if secret is not None and len(secret) >= 4)
    if known:
        text = _without(text, _fragments(known))
        text = _MASKED.sub(functools.partial(_masked, tuple(map(str.lower, known))), text)
    return text


def _before(match: re.Match[str]) -> str:
    """Return what stands before a secret and says that it is one."""
    return match["keep"] or match["named"] or match["user"] or match["hook"] or ""


def secret_spans(text: str) -> Iterator[tuple[int, int]]:
    """Yield where keys and passwords stand in a text, in its order: what looks like one, without what names it.

    Unlike `scrub`, which takes out of an error all that might be one, it leaves a word that has no digit in it where
    only its beginning, or the name of a variable, looks like one of a key's.

    Examples
    --------
    >>> text = 'password = "hunter2", token = get_token()'
    >>> [text[start:end] for start, end in secret_spans(text)]
    ['hunter2']
    """
    for begin, end in _where_secrets_may_be(text):
        for match in _SHAPES.finditer(text, begin, end):
            start = match.start() + len(_before(match))
            secret = text[start : match.end()]
            if secret.startswith("-----BEGIN") or match["user"]:
                yield start, match.end()
            elif _is_secret(secret, match["named"] or ""):
                yield start, start + len(secret.rstrip(".!?:`*_"))
        for match in _SAID.finditer(text, begin, end):
            yield match.span("v")


_LONG_WORD = re.compile(r"(?<![\w-])[\w-]{16,}|\b\d{8,10}:AA")
_SIGNS = (
    "bearer", "basic", "authorization", "cookie", "key", "token", "pass", "pwd", "secret", "credential", "sig=", "://",
    "kennwort", "contrase", "heslo", "wachtwoord", "senha", "pin ",
)  # fmt: skip
_BEFORE, _AFTER = 64, 512


def _where_secrets_may_be(text: str) -> Iterator[tuple[int, int]]:
    """Yield the stretches of a text in which a secret could stand, in order: to look everywhere is slow."""
    low, signs = _lower(text), []
    for sign in _SIGNS:
        at = low.find(sign)
        while at >= 0:
            signs.append((at, at + _AFTER))
            at = low.find(sign, at + 1)
    signs += [(match.start(), match.end() + _AFTER) for match in _LONG_WORD.finditer(text)]
    at = text.find("-----BEGIN ")
    while at >= 0:
        end = text.find("-----END ", at)
        signs.append((at, len(text) if end < 0 else end + _AFTER))
        at = -1 if end < 0 else text.find("-----BEGIN ", end)
    begun, ended = 0, -1
    for start, end in sorted(signs):
        if start - _BEFORE > ended:
            if ended >= 0:
                yield begun, ended
            begun, ended = max(0, start - _BEFORE), end
        ended = max(ended, end)
    if ended >= 0:
        yield begun, ended


_SAID = re.compile(
    r"(?i:\b(?:password|passwd|passcode|passphrase|passwort|kennwort|contraseña|mot de passe|heslo|wachtwoord|senha"
    r"|api key|access key|secret key|access token|pin)(?: code)?\s+(?:is|was|are|ist|lautet|es|est|je|é)\s*:?\s*)"
    r"[\"'`“‘]?(?P<v>(?=[^\s\"'`]{0,63}\d)[^\s\"'`”’,;]{3,64}[^\s\"'`”’,;.!?)])"
)
"""A password as a person tells it: it has a digit in it, or it could be any word."""


def _is_secret(text: str, named: str) -> bool:
    """Tell whether what stands where a key would is one: by a digit in it, or since it is said to be a password."""
    if any(map(str.isdigit, text)) and len(text) >= 4:
        return not re.fullmatch(r"\d{1,3}(?:\.\d+)?|[a-z_.]+\(.*|[a-z_]+\[.*", text)
    if not named:
        return False
    quoted = named.rstrip().endswith(('"', "'"))
    return bool(re.search("(?i)pass|pwd", named)) and (quoted or named.rstrip().endswith("=")) and "(" not in text


def _forms(secret: str) -> Iterator[str]:
    """Yield what a secret looks like: as it is, and in the encodings that programs print."""
    data = secret.encode("utf-8", "replace")
    yield secret
    yield urllib.parse.quote(secret, safe="")
    yield json.dumps(secret)[1:-1]
    yield secret.replace("/", "\\/")
    yield html.escape(secret)
    yield data.hex()
    # In base64 and base32 the letters depend on where in its group of bytes the secret begins.
    for encode, n_bytes, bits in ((base64.b64encode, 3, 6), (base64.b32encode, 5, 5)):
        for before in range(n_bytes):
            whole = encode(bytes(before) + data).decode()
            inside = whole.rstrip("=")[-(-8 * before // bits) : -1 if "=" in whole else None]
            yield inside
            yield inside.translate(_URL_SAFE)


_URL_SAFE = str.maketrans("+/", "-_")


@functools.lru_cache(maxsize=4)
def _fragments(secrets: tuple[str, ...]) -> dict[int, frozenset[str]]:
    """Return every fragment that gives a secret away, in lower case, by length."""
    found: dict[int, set[str]] = {}
    for secret in secrets:
        for form in _forms(secret):
            size = min(_MIN_FRAGMENT, len(form))
            if size >= min(_MIN_FRAGMENT, len(secret)):
                low = _lower(form)
                found.setdefault(size, set()).update(low[i : i + size] for i in range(len(low) - size + 1))
    return {size: frozenset(each) for size, each in found.items()}


def _lower(text: str) -> str:
    """Return text in lower case, each letter where it was: one that would grow stays."""
    low = text.lower()
    return low if len(low) == len(text) else "".join(c.lower() if len(c.lower()) == 1 else c for c in text)


def _without(text: str, fragments: dict[int, frozenset[str]]) -> str:
    """Replace every run of `text` that is made of fragments."""
    low, hit = _lower(text), bytearray(len(text))
    for size, known in fragments.items():
        for i in range(len(low) - size + 1):
            if low[i : i + size] in known:
                hit[i : i + size] = b"\x01" * size
    if not any(hit):
        return text
    pieces, start = [], 0
    for match in re.finditer(rb"\x01+", bytes(hit)):
        pieces += [text[start : match.start()], REDACTED]
        start = match.end()
    return "".join([*pieces, text[start:]])


def _masked(secrets: tuple[str, ...], match: re.Match[str]) -> str:
    """Replace a masked word when what it shows is the head or the tail of a secret; those are in lower case."""
    head, tail = match[1].lower(), match[2].lower()
    shows_head = len(head) >= 2 and any(secret.startswith(head) for secret in secrets)
    shows_tail = len(tail) >= 2 and any(secret.endswith(tail) for secret in secrets)
    return REDACTED if shows_head or shows_tail else match[0]
