"""Check digits of cards, accounts and identity numbers: what tells a number that means somebody from any other."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "aadhaar",
    "ahv",
    "belgian",
    "chinese",
    "codice_fiscale",
    "cpf",
    "dni",
    "hetu",
    "is_day",
    "luhn",
    "nir",
    "nric",
    "personnummer",
    "rodne_cislo",
    "rut",
    "ssn",
    "valid_iban",
]

_BY_LENGTH: Final = {
    15: "NO", 16: "BE BI", 18: "DK FO FI GL NL SD", 19: "MK SI", 20: "AT BA EE KZ LT LU MN XK", 21: "CH HR LI LV",
    22: "BG BH CR DE GB GE IE ME RS VA", 23: "AE GI IL IQ OM SO TL", 24: "AD CZ DZ ES MD PK RO SA SE SK TN VG",
    25: "LY PT ST", 26: "IS TR", 27: "BF CM CV DJ FR GR IT MC MG MR SM",
    28: "AL AZ BJ BY CI CY DO GT HN HU LB ML NI PL SN SV", 29: "BR EG PS QA UA", 30: "JO KW MU YE", 31: "MT SC",
    32: "LC", 33: "RU",
}  # fmt: skip
IBAN_LENGTHS: Final = {country: length for length, countries in _BY_LENGTH.items() for country in countries.split()}
"""How many characters an account number has, by its country (the register of ISO 13616)."""


def luhn(digits: str) -> bool:
    """Return whether digits end in the check digit that cards have (ISO/IEC 7812-1).

    Examples
    --------
    >>> luhn("4111111111111111"), luhn("4111111111111112")
    (True, False)
    """
    total = 0
    for place, char in enumerate(reversed(digits)):
        value = int(char) * (1 + place % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def valid_iban(text: str) -> bool:
    """Return whether a text is an account number of ISO 13616: its country's length, and its check digits.

    Examples
    --------
    >>> valid_iban("DE89370400440532013000"), valid_iban("DE89370400440532013001")
    (True, False)
    """
    if not text.isascii() or not text.isalnum() or len(text) != IBAN_LENGTHS.get(text[:2].upper()):
        return False
    return int("".join(str(int(char, 36)) for char in text[4:] + text[:4])) % 97 == 1


def _digits(text: str) -> str:
    return re.sub(r"\D", "", text)


def _sum(digits: str, weights: Iterable[int]) -> int:
    return sum(int(digit) * weight for digit, weight in zip(digits, weights, strict=False))


def is_day(month: str, day: str) -> bool:
    """Return whether two numbers can be a month and a day of it."""
    return 1 <= int(month) <= 12 and 1 <= int(day) <= 31


def ssn(text: str) -> bool:
    """Return whether a US social security number can have been given: no area 000, 666 or 9xx, no part of zeros."""
    digits = _digits(text)
    return digits[:3] not in ("000", "666") and digits[0] != "9" and digits[3:5] != "00" and digits[5:] != "0000"


def dni(text: str) -> bool:
    """Return whether a Spanish DNI or NIE has its letter.

    Examples
    --------
    >>> dni("12345678Z"), dni("X1234567L"), dni("12345678A")
    (True, True, False)
    """
    plain = re.sub(r"[ .-]", "", text).upper()
    number = plain[:-1].translate(str.maketrans("XYZ", "012"))
    return plain[-1] == "TRWAGMYFPDXBNJZSQVHLCKE"[int(number) % 23]


def nir(text: str) -> bool:
    """Return whether a French social security number has its key (97 minus the rest by 97; Corsica's 2A and 2B)."""
    plain = re.sub(r"[ .-]", "", text).upper()
    number = plain[:-2].replace("2A", "19").replace("2B", "18")
    return number.isdigit() and 97 - int(number) % 97 == int(plain[-2:])


_ODD: Final = dict(
    zip(
        "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ",
        (1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16,
         10, 22, 25, 24, 23),
        strict=True,
    )
)  # fmt: skip


def codice_fiscale(text: str) -> bool:
    """Return whether an Italian codice fiscale has its last letter.

    Examples
    --------
    >>> codice_fiscale("RSSMRA85T10A562S"), codice_fiscale("RSSMRA85T10A562T")
    (True, False)
    """
    plain = text.upper()
    even = (int(char) if char.isdigit() else ord(char) - 65 for char in plain[1:15:2])
    total = sum(_ODD[char] for char in plain[0:15:2]) + sum(even)
    return plain[15] == chr(65 + total % 26)


def rodne_cislo(text: str) -> bool:
    """Return whether a Czech or Slovak birth number has a day in it, and (of ten digits) can be divided by eleven."""
    digits = _digits(text)
    month = int(digits[2:4]) % 50
    month = month - 20 if month > 20 else month
    if not is_day(str(month), digits[4:6]):
        return False
    return len(digits) == 9 or int(digits) % 11 == 0 or (int(digits[:9]) % 11 == 10 and digits[9] == "0")


_D: Final = (
    "0123456789", "1234067895", "2340178956", "3401289567", "4012395678",
    "5987604321", "6598710432", "7659821043", "8765932104", "9876543210",
)  # fmt: skip
_P: Final = (
    "0123456789", "1576283094", "5803796142", "8916043527", "9453126870", "4286573901", "2793806415", "7046913258"
)  # fmt: skip


def aadhaar(text: str) -> bool:
    """Return whether an Indian Aadhaar number has Verhoeff's check digit.

    Examples
    --------
    >>> aadhaar("2363"), aadhaar("2364")
    (True, False)
    """
    check = 0
    for place, char in enumerate(reversed(_digits(text))):
        check = int(_D[check][int(_P[place % 8][int(char)])])
    return check == 0


def cpf(text: str) -> bool:
    """Return whether a Brazilian CPF has its two check digits.

    Examples
    --------
    >>> cpf("529.982.247-25"), cpf("529.982.247-26")
    (True, False)
    """
    digits = _digits(text)
    for n in (9, 10):
        if (_sum(digits[:n], range(n + 1, 1, -1)) * 10 % 11) % 10 != int(digits[n]):
            return False
    return len(set(digits)) > 1


def personnummer(text: str) -> bool:
    """Return whether a Swedish personal number has a day in it, and its check digit."""
    digits = _digits(text)[-10:]
    return is_day(digits[2:4], str(int(digits[4:6]) % 60)) and luhn(digits)


def hetu(text: str) -> bool:
    """Return whether a Finnish personal identity code has a day in it, and its check character."""
    number = text[:6] + text[7:10]
    return is_day(text[2:4], text[:2]) and text[10].upper() == "0123456789ABCDEFHJKLMNPRSTUVWXY"[int(number) % 31]


def chinese(text: str) -> bool:
    """Return whether a Chinese resident identity number has its check character (ISO 7064, MOD 11-2)."""
    weights = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
    return text[17].upper() == "10X98765432"[_sum(text[:17], weights) % 11]


def ahv(text: str) -> bool:
    """Return whether a Swiss AHV number has the check digit of an EAN-13.

    Examples
    --------
    >>> ahv("756.9217.0769.85"), ahv("756.9217.0769.84")
    (True, False)
    """
    digits = _digits(text)
    return (10 - _sum(digits[:12], (1, 3) * 6) % 10) % 10 == int(digits[12])


def belgian(text: str) -> bool:
    """Return whether a Belgian national number has its two check digits (before 2000, or since)."""
    digits = _digits(text)
    return any(97 - int(century + digits[:9]) % 97 == int(digits[9:]) for century in ("", "2"))


def rut(text: str) -> bool:
    """Return whether a Chilean RUT has its check character."""
    plain = re.sub(r"[.-]", "", text).upper()
    check = 11 - _sum(plain[-2::-1], (2, 3, 4, 5, 6, 7, 2, 3)) % 11
    return plain[-1] == {11: "0", 10: "K"}.get(check, str(check))


def nric(text: str) -> bool:
    """Return whether a Singapore NRIC or FIN has its last letter.

    Examples
    --------
    >>> nric("S1234567D"), nric("S1234567E")
    (True, False)
    """
    total = _sum(text[1:8], (2, 7, 6, 5, 4, 3, 2)) + {"T": 4, "G": 4, "M": 3}.get(text[0], 0)
    letters = {"S": "JZIHGFEDCBA", "T": "JZIHGFEDCBA", "M": "KLJNPQRTUWX"}.get(text[0], "XWUTRQPNMLK")
    place = 10 - total % 11 if text[0] == "M" else total % 11
    return text[8] == letters[place]
