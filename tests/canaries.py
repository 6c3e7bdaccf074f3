"""Private things of eight kinds in many spellings, and sentences, JSON, addresses and code to hide them in: all made up."""

import json
import random
import sqlite3
import string
from contextlib import closing
from dataclasses import dataclass

from scrimp.routing.ledger.packing import unpack

NAMES = (
    "Ann Smith",
    "Jiří Dvořák",
    "Müller & Söhne",
    "Project Nightjar",
    "O'Neil",
    "田中太郎",
    "Łukasz Żak",
    "Zoë van der Meer",
)
"""The list that the user has."""


@dataclass(frozen=True)
class Canary:
    """What must not leave: its kind, and what it is."""

    kind: str
    value: str


def _luhn(body):
    total = 0
    for place, char in enumerate(reversed(body)):
        value = int(char) * (2 - place % 2)
        total += value - 9 if value > 9 else value
    return str(-total % 10)


def _digits(rng, n):
    return "".join(rng.choice(string.digits) for _ in range(n))


def _card(rng):
    head, n = rng.choice(
        (("4", 16), ("51", 16), ("5425", 16), ("37", 15), ("34", 15), ("6011", 16), ("3530", 16), ("2223", 16))
    )
    body = head + _digits(rng, n - 1 - len(head))
    digits = body + _luhn(body)
    cut = (4, 10) if n == 15 else (4, 8, 12)
    gap = rng.choice(("", " ", "-", " ", "\u00a0", "."))
    return gap.join(digits[a:b] for a, b in zip((0, *cut), (*cut, n), strict=True))


def _iban(rng):
    country, form = rng.choice(
        (
            ("DE", "n18"),
            ("FR", "n10a11n2"),
            ("GB", "a4n14"),
            ("ES", "n20"),
            ("NL", "a4n10"),
            ("CZ", "n20"),
            ("NO", "n11"),
            ("PL", "n24"),
            ("MT", "a4n5a18"),
        )
    )
    bban, at = "", 0
    while at < len(form):
        kind, n = form[at], ""
        at += 1
        while at < len(form) and form[at].isdigit():
            n += form[at]
            at += 1
        bban += "".join(rng.choice(string.digits if kind == "n" else string.ascii_uppercase) for _ in range(int(n)))
    number = int("".join(str(int(char, 36)) for char in bban + country + "00"))
    whole = f"{country}{98 - number % 97:02}{bban}"
    if rng.random() < 0.5:
        whole = " ".join(whole[i : i + 4] for i in range(0, len(whole), 4))
    return whole if rng.random() < 0.8 else whole.lower()


def _email(rng):
    first = rng.choice(("ann", "jo.doe", "k.w+news", "x_y-z", "Renée.Dupont", "o'neil", "a1b2", "INFO"))
    host = rng.choice(
        ("example.com", "mail.example.co.uk", "firma-nord.de", "sub.a-b.org", "université.fr", "x.io", "EXAMPLE.NET")
    )
    return f"{first}{_digits(rng, 2)}@{host}"


def _phone(rng):
    def n(count):
        return rng.choice("23456789") + _digits(rng, count - 1)

    return rng.choice((
        lambda: f"+1 {n(3)} {n(3)} {_digits(rng, 4)}", lambda: f"({n(3)}) {n(3)}-{_digits(rng, 4)}",
        lambda: f"{n(3)}-{n(3)}-{_digits(rng, 4)}", lambda: f"+1{n(3)}{n(3)}{_digits(rng, 4)}",
        lambda: f"+44 20 7{_digits(rng, 3)} {_digits(rng, 4)}", lambda: f"07{_digits(rng, 3)} {_digits(rng, 6)}",
        lambda: f"+49 (0)30 {n(7)}", lambda: f"0171-{n(7)}", lambda: f"+33 6 {_digits(rng, 2)} {_digits(rng, 2)} {_digits(rng, 2)} {_digits(rng, 2)}",
        lambda: f"01 {n(2)} {n(2)} {n(2)} {n(2)}", lambda: f"+420 {n(3)} {_digits(rng, 3)} {_digits(rng, 3)}",
        lambda: f"0049 89 {n(6)}", lambda: f"+91-{n(5)}-{_digits(rng, 5)}", lambda: f"(11) 9{_digits(rng, 4)}-{_digits(rng, 4)}",
        lambda: f"03-{n(4)}-{_digits(rng, 4)}", lambda: f"+61 4{_digits(rng, 2)} {_digits(rng, 3)} {_digits(rng, 3)}", lambda: f"{n(3)}.{n(3)}.{_digits(rng, 4)}",
    ))()  # fmt: skip


def _key(rng):
    def word(n, chars=string.ascii_letters + string.digits):
        return rng.choice(string.digits) + "".join(rng.choice(chars) for _ in range(n - 1))

    return rng.choice((
        lambda: f"AKIA{word(16, string.ascii_uppercase + string.digits)}", lambda: f"ghp_{word(36)}", lambda: f"github_pat_{word(22)}_{word(40)}",
        lambda: f"glpat-{word(20)}", lambda: f"xoxb-{_digits(rng, 11)}-{word(24)}", lambda: f"sk_live_{word(24)}", lambda: f"sk-proj-{word(40)}",
        lambda: f"sk-ant-api03-{word(60)}", lambda: f"AIza{word(35)}", lambda: f"eyJ{word(20)}.eyJ{word(30)}.{word(43)}", lambda: f"npm_{word(36)}",
        lambda: f"pypi-AgEI{word(60)}", lambda: f"hf_{word(34)}", lambda: f"-----BEGIN RSA PRIVATE KEY-----\n{word(64)}\n{word(64)}\n-----END RSA PRIVATE KEY-----",
    ))()  # fmt: skip


def _id(rng):
    def dni():
        number = _digits(rng, 8)
        return f"{number}{'TRWAGMYFPDXBNJZSQVHLCKE'[int(number) % 23]}"

    def cpf():
        digits = _digits(rng, 8) + "7"
        for n in (9, 10):
            digits += str(sum(int(d) * w for d, w in zip(digits, range(n + 1, 1, -1), strict=False)) * 10 % 11 % 10)
        return f"{digits[:3]}.{digits[3:6]}.{digits[6:9]}-{digits[9:]}"

    def rodne():
        while True:
            number = f"{rng.randint(60, 99)}{rng.choice((0, 50)) + rng.randint(1, 12):02}{rng.randint(1, 28):02}{_digits(rng, 4)}"
            if int(number) % 11 == 0:
                return f"{number[:6]}/{number[6:]}"

    def nir():
        number = f"{rng.choice('12')}{rng.randint(40, 99)}{rng.randint(1, 12):02}75{_digits(rng, 3)}{_digits(rng, 3)}"
        return f"{number}{97 - int(number) % 97:02}"

    return rng.choice((
        lambda: f"{rng.randint(1, 665):03}-{rng.randint(1, 99):02}-{rng.randint(1, 9999):04}", dni, cpf, rodne, nir,
        lambda: f"{rng.choice('ABCEHJ')}{rng.choice('ABCEHJ')}{_digits(rng, 6)}{rng.choice('ABCD')}",
    ))()  # fmt: skip


def _machine(rng):
    return rng.choice((
        lambda: f"10.{rng.randint(1, 254)}.{rng.randint(1, 254)}.{rng.randint(1, 254)}", lambda: f"192.168.{rng.randint(1, 254)}.{rng.randint(1, 254)}",
        lambda: f"2001:db8:{rng.randint(16, 9999):x}::{rng.randint(256, 65535):x}", lambda: f"fe80::{rng.randint(4096, 65535):x}:{rng.randint(4096, 65535):x}",
        lambda: ":".join(f"{rng.randint(0, 255):02x}" for _ in range(6)), lambda: f"db{rng.randint(10, 99)}.prod.internal", lambda: f"nas-{rng.randint(10, 99)}.local",
    ))()  # fmt: skip


def _name(rng):
    name = rng.choice(NAMES)
    return rng.choice((name, name, name.upper(), name.lower(), name.replace(" ", "  ", 1)))


KINDS = {
    "KEY": _key, "CARD": _card, "IBAN": _iban, "EMAIL": _email, "PHONE": _phone, "ID": _id, "MACHINE": _machine, "NAME": _name,
}  # fmt: skip

PLACES = (
    "The one is {}.", "Please write down: {}, and thank you", "{}", "first line\n{}\nlast line", "see ({}) below", '"{}"', "<b>{}</b>", "| a | {} |",
    "value={};", "\t{}\t", "Contact: {} / office", "'{}'", "[{}]", "It was {}!", "- {}\n- other", "`{}`", "x: {}  # as agreed",
)  # fmt: skip


def canaries(n=200, seed=7):
    """Return canaries, as many of each kind, all different."""
    rng = random.Random(seed)
    found = {}
    kinds = list(KINDS)
    while len(found) < n:
        kind = kinds[len(found) % len(kinds)]
        value = KINDS[kind](rng)
        if not any(value in other or other in value for other in found) or kind == "NAME":
            if value in found:  # there are only so many spellings of so many names
                value = f"{value}"
                kinds = (
                    [each for each in kinds if each != "NAME"]
                    if kind == "NAME" and sum(c.kind == "NAME" for c in found.values()) > 20
                    else kinds
                )
                continue
            found[value] = Canary(kind, value)
    return list(found.values())


def hidden(canary, rng):
    """Return a text that holds a canary somewhere: prose, marks, code, JSON, an address."""
    form = rng.randrange(len(PLACES) + 2)
    if form == len(PLACES):
        return json.dumps({"id": 7, "note": f"it is {canary.value}", "ok": True})
    if form == len(PLACES) + 1 and "\n" not in canary.value and " " not in canary.value:
        return f"GET https://example.org/find?who={canary.value}&page=2"
    return PLACES[form % len(PLACES)].format(canary.value)


FOUND = canaries(200)
_RNG = random.Random(11)
TEXTS = [hidden(each, _RNG) for each in FOUND]
"""Each of them somewhere in a text."""


def spelled(value):
    return {value, json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1]}


def leaked(text):
    return sorted(each.value for each in FOUND if any(form in text for form in spelled(each.value)))


def _read(value):
    return (unpack(value) or value) if isinstance(value, bytes) else value


def in_home(home):
    """Every text that was written down: all columns of all tables, and all files."""
    files = [path for path in home.rglob("*") if path.is_file() and path.suffix not in (".toml", ".txt")]
    texts = [path.read_bytes().decode("utf-8", "replace") for path in files]
    for path in home.rglob("*"):
        if path.suffix not in (".db", ".sqlite"):
            continue
        with closing(sqlite3.connect(path)) as conn:
            for (table,) in conn.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
                texts += [str([_read(each) for each in row]) for row in conn.execute(f'SELECT * FROM "{table}"')]
    return "\n".join(texts)


def sent(server):
    return "\n".join(json.dumps(each.body, ensure_ascii=False) for each in server.chats)
