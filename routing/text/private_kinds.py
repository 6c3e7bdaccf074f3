"""What is private by its form: a table of kinds, each with how it looks and how it is told from what looks alike."""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING, Final, NamedTuple

from . import check_digits as check

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["KINDS", "WORDS", "Kind"]

WORDS: Final = {
    "KEY": "key or password",
    "EMAIL": "e-mail address",
    "IBAN": "bank account",
    "CARD": "card number",
    "MACHINE": "address of a machine",
    "SSN": "social security number",
    "ID": "identity number",
    "PHONE": "phone number",
    "NAME": "name of your list",
}
"""What each kind is called, by the name in its placeholders."""


class Kind(NamedTuple):
    """One form of something private.

    Attributes
    ----------
    name
        In the placeholder.
    form
        How it looks; a group `v` is what is replaced, where that is not all of it.
    is_it
        Returns how much of it, from its beginning, is really one; None: nothing.
    needs
        A text without this (in small letters) has none: it is passed over at once.
    digits
        Whether there are five digits or more in it, close together: it is looked for only where such stand.
    """

    name: str
    form: re.Pattern[str]
    is_it: Callable[[str], str | None] = lambda text: text
    needs: str = ""
    digits: bool = True


_LEFT: Final = r"(?:(?<![\w])|(?<=\\[nrt])|(?<=_)|(?<=%[0-9A-F][0-9A-F]))"
"""Where a number begins: not within a word, but behind an escape of JSON or of an address, or an underscore."""

_GAP: Final = r"(?:[ .\-+\u00a0\u2007\u2009\u202f\u2010-\u2014]|%20)"
"""What stands between groups of digits."""


def _number(name: str, form: str, passes: Callable[[str], bool] | None = None, needs: str = "") -> Kind:
    """Return a kind of number that stands by itself, with its check."""

    def is_it(text: str) -> str | None:
        return text if passes is None or passes(text) else None

    return Kind(name, re.compile(rf"{_LEFT}(?:{form})(?![^\W_])"), is_it, needs)


_CARD_LENGTHS: Final = re.compile(
    r"4(?:\d{12}|\d{15}|\d{18})|5[1-5]\d{14}|2[2-7]\d{14}|3[47]\d{13}|3(?:0[0-5]|[689]\d)\d{11,13}|35\d{14,17}"
    r"|(?:6\d|5[06-8])\d{11,17}|8[16]\d{14,17}"
)


_GROUPED: Final = frozenset({(4, 4, 4, 4), (4, 4, 4, 4, 3), (4, 6, 5), (4, 6, 4), (4, 4, 4, 1), (4, 4, 5), (6, 10)})
"""How the digits of cards are grouped."""


def _card(text: str) -> str | None:
    """Return as much of digits as is a card's number: others may follow."""
    groups = list(re.finditer(r"\d+", text.replace("%20", "   ")))
    for n in range(len(groups), 0, -1):
        digits = "".join(group[0] for group in groups[:n])
        if n > 1 and tuple(len(group[0]) for group in groups[:n]) not in _GROUPED:
            continue
        if _CARD_LENGTHS.fullmatch(digits) and len(set(digits)) > 1 and check.luhn(digits):
            return text[: groups[n - 1].end()]
    return None


def _iban(text: str) -> str | None:
    """Return as much of a text, from its beginning, as is an account number: words may follow it."""
    n_wanted, n = check.IBAN_LENGTHS.get(text[:2].upper(), 0), 0
    for at, char in enumerate(text):
        n += char.isalnum()
        if n == n_wanted:
            whole = text[: at + 1]
            ends = at + 1 == len(text) or not text[at + 1].isalnum()
            return whole if ends and check.valid_iban(re.sub(r"[ -]", "", whole)) else None
    return None


def _n_digits(text: str) -> int:
    return sum(map(str.isdigit, text))


_CODES: Final = (
    r"(?:1|7|2(?:0|7|[1-69]\d)|3(?:[0-469]|[578]\d)|4(?:[013-9]|2\d)|5(?:[1-8]|[09]\d)|6(?:[0-6]|[789]\d)"
    r"|8(?:[1246]|[0578]\d)|9(?:[0-58]|[679]\d))"
)
_DAY: Final = re.compile(r"0?\d[./-]\d{1,2}[./-](?:19|20)\d\d")
_YEARS: Final = re.compile(r"(?:19|20)\d\d\D{1,3}(?:19|20)\d\d\Z")


def _phone(text: str) -> str | None:
    least = 10 if text.startswith("00") else 8
    return text if least <= _n_digits(text) <= 15 else None


def _national(text: str) -> str | None:
    """Return a number with its leading 0 where it is as long as those are, and no day."""
    return text if 9 <= _n_digits(text) <= 11 and not _DAY.match(text) else None


def _said(text: str) -> str | None:
    """Return a number beside a word that says what it is."""
    return text if 7 <= _n_digits(text) <= 15 and not _YEARS.match(text) and not _DAY.match(text) else None


def _machine(text: str) -> str | None:
    """Return an address where it is one of IP, version 4 or 6, and means some machine."""
    trimmed = text.rstrip(".:") if not text.endswith("::") else text
    try:
        found = ipaddress.ip_address(trimmed)
    except ValueError:
        return None
    if found.is_loopback or found.is_unspecified or trimmed == "255.255.255.255":
        return None
    if found.version == 6 and not any(len(group) > 2 for group in trimmed.split(":")):
        return None  # a slice of a list (1::2)
    return trimmed


def _by_word(text: str) -> str | None:
    """Return as much of what follows a word for an identity number as has digits in it."""
    found = re.match(r"(?:[A-Z]{0,4}\d[\dA-Z]*|(?<=[\d ./-])[A-Z])(?:[ ./-]?(?:[A-Z]{0,3}\d[\dA-Z]*|[A-Z]\b))*", text)
    return found[0] if found is not None and _n_digits(found[0]) >= 5 else None


_ID_WORDS: Final = (
    r"SSN|social[ -]security|(?:social[ -])?insurance|SIN|TFN|TIN|ITIN|EIN|tax(?:payer)?[ -]?id\w*|NINO|NHS|passport"
    r"|passeport|reisepass\w*|pasaporte|paspoort|driving licen[cs]e|driver'?s licen[cs]e|national id\w*|identity card"
    r"|id card|identity|steuer[- ]?(?:id\w*|nummer)|steuerliche\w* id\w*|IdNr|personalausweis\w*|BSN"
    r"|burgerservicenummer|sofinummer|PESEL|NIP|rodn[eéá]\w* [cč][ií]sl\w*|rodn[eéá] [cč]\.|r\. ?[cč]\.|CNP|EGN|OIB"
    r"|NIF|DNI|NIE|NIR|CPF|CNPJ|RG|CURP|RFC|CUIT|CUIL|RUT|codice fiscale|aadhaar|aadhar|PAN|personnummer|CPR"
    r"|f[øo]dselsnummer|henkil[öo]tunnus|isikukood|asmens kodas|AMKA|AFM|T\.?C\.? kimlik\w*|kimlik|teudat zehut|NRIC"
    r"|HKID|RRN|medicare|INN|SNILS|ИНН|СНИЛС|паспорт\w*|身份证\w*|マイナンバー"
)
_SAYING_NUMBER: Final = "(?i:number|no|nr|num|nº|n°|id|is|ist|es|card|code|nummer|numéro|número|numero|de|číslo)"
_PHONE_WORDS: Final = (
    r"tel|telephone|phone|phones|call|calls|calling|dial|fax|mobile|mob|cell|cellphone|whatsapp|signal|sms|text me"
    r"|reach \w+|ring|handy\w*|telefon\w*|t[ée]l[ée]phone|t[ée]l|portable|tel[ée]fono|m[óo]vil|celular|cellulare"
    r"|telefoon|gsm|puhelin|telefone|hotline|contact|тел|телефон|电话|電話|手机|携帯"
)

_EMAIL: Final = (
    r"(?<![\w.+%-])(?<!\w')[\w.+-]{1,40}(?:'[\w.+-]{1,40})?@[\w-]{1,63}(?:\.[\w-]{1,63}){0,8}\.[^\W\d_]{2,24}(?![\w])"
)
_HOSTS: Final = r"local|internal|lan|corp|intranet|localdomain|home\.arpa"


def _email(text: str) -> str | None:
    return None if text.startswith("git@") else text


KINDS: Final[tuple[Kind, ...]] = (
    Kind("EMAIL", re.compile(_EMAIL), _email, "@", digits=False),
    Kind("EMAIL", re.compile(r"(?<![\w.+%-])[\w.+-]{1,64}%40[\w-]{1,63}(?:\.[\w-]{1,63}){0,8}\.[A-Za-z]{2,24}\b",
                             re.IGNORECASE), needs="%40", digits=False),
    Kind("IBAN", re.compile(rf"{_LEFT}[A-Za-z]{{2}}\d\d(?:[ -]?[A-Za-z0-9]){{11,42}}"), _iban),
    Kind("CARD", re.compile(rf"{_LEFT}(?<!\d[.,])(?=(?P<v>[2-8]\d{{3}}(?:{_GAP}{{0,2}}\d){{8,15}}(?!\d)))"), _card),
    Kind("MACHINE", re.compile(r"(?<![\w.:-])(?:[0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}(?![\w:-])"), digits=False),
    Kind("MACHINE", re.compile(r"(?<![\w.])[0-9A-Fa-f]{4}\.[0-9A-Fa-f]{4}\.[0-9A-Fa-f]{4}(?![\w.])"),
         lambda text: text if re.search("[A-Fa-f]", text) else None, digits=False),
    Kind("MACHINE", re.compile(r"(?<![\w./])(?<![Vv]ersion )(?<![Ss]ection )\d{1,3}(?:\.\d{1,3}){3}(?![\w]|\.\d)"
                               r"|(?<=//)\d{1,3}(?:\.\d{1,3}){3}(?![\w]|\.\d)|(?<=\\n)\d{1,3}(?:\.\d{1,3}){3}(?!\w)"),
         _machine, ".", digits=False),
    Kind("MACHINE", re.compile(r"(?<![\w:])(?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f]{0,4}(?![\w:])"),
         _machine, ":", digits=False),
    Kind("MACHINE", re.compile(rf"(?<![\w.-])(?=[\w-])(?:[\w-]{{1,63}}\.){{1,5}}(?:{_HOSTS})\b(?!\s?[(=\[]|\.\w)",
                               re.IGNORECASE), needs=".", digits=False),
    _number("SSN", r"\d{3}-\d\d-\d{4}", check.ssn, "-"),
    _number("ID", r"[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?\d\d ?\d\d ?\d\d ?[A-D]",
            lambda text: text[:2] not in {"BG", "GB", "NK", "KN", "TN", "NT", "ZZ"}),
    _number("ID", r"(?:[XYZ]-?\d{7}|\d{8}|\d\d\.\d{3}\.\d{3})[ -]?[A-HJ-NP-TV-Z]", check.dni),
    _number("ID", r"[12] ?\d\d ?(?:0[1-9]|1[0-2]|[2-9]\d) ?(?:\d\d|2[AB]) ?\d{3} ?\d{3} ?\d\d", check.nir),
    _number("ID", r"[A-Z]{6}\d\d[A-EHLMPRST]\d\d[A-Z]\d{3}[A-Z]", check.codice_fiscale),
    _number("ID", r"\d\d[0-8]\d[0-3]\d/\d{3,4}", check.rodne_cislo, "/"),
    _number("ID", r"[2-9]\d{3}([ -])\d{4}\1\d{4}", check.aadhaar),
    _number("ID", r"\d{3}\.\d{3}\.\d{3}-\d\d", check.cpf, "-"),
    _number("ID", r"(?:19|20)?\d{6}[-+]\d{4}", check.personnummer),
    _number("ID", r"\d{6}[-+A]\d{3}[0-9A-FHJ-NPR-Y]", check.hetu),
    _number("ID", r"[1-9]\d{5}(?:19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])\d{3}[\dXx]", check.chinese),
    _number("ID", r"756\.\d{4}\.\d{4}\.\d\d", check.ahv, "756."),
    _number("ID", r"\d\d\.\d\d\.\d\d-\d{3}\.\d\d", check.belgian, "-"),
    _number("ID", r"\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])-[1-4]\d{6}", None, "-"),
    _number("ID", r"\d{1,2}\.\d{3}\.\d{3}-[\dkK]", check.rut, "-"),
    _number("ID", r"[STFGM]\d{7}[A-Z]", check.nric),
    _number("ID", r"[A-Z]{3}[ABCFGHLJPT][A-Z]\d{4}[A-Z]"),
    Kind("ID", re.compile(rf"(?i:\b(?:{_ID_WORDS})\b)(?:[\W_]{{0,4}}{_SAYING_NUMBER}\b){{0,3}}[^\w\n]{{0,6}}"
                          r"(?P<v>[A-Z]{0,4}\d[\dA-Z ./-]{3,22})"), _by_word),
    Kind("PHONE", re.compile(rf"(?<![\w.])(?:\+|(?:(?<!\d)00)|%2[Bb])[ ]?\(?{_CODES}\)?"
                             r"(?:[ ./\u00a0\u2009\u2011-]{0,2}\(?\d{1,5}\)?){2,7}(?!\w)"), _phone),
    Kind("PHONE", re.compile(r"(?<![\w.])(?:1[ .-])?(?:\([2-9]\d\d\) ?|[2-9]\d\d[.-])[2-9]\d\d[ .-]\d{4}(?![\w-])"),
         _phone),
    Kind("PHONE", re.compile(r"(?<![\w.])\(\d{2,3}\) ?\d{4,5}[ -]\d{4}(?![\w-])"), _phone, "("),
    Kind("PHONE", re.compile(r"(?<![\w.,-])(?<!\d )\(?0[1-9]\d{0,3}\)?(?:[ ./-]\d{2,8}){1,4}(?![\w%:]|[.,]\d)"),
         _national),
    Kind("PHONE", re.compile(rf"(?i:\b(?:{_PHONE_WORDS})\b)[^\d\n+(]{{0,16}}"
                             r"(?P<v>[+(]?\d[\d ()./\-\u00a0\u2011]{5,20}\d)(?!\w)"),
         _said),
)  # fmt: skip
"""What is looked for, in this order: what an earlier one takes, a later one leaves."""
