"""What is private in a text by its form, and what only looks like it."""

import random
import time

import pytest

from scrimp.routing.text.private import Redactor, luhn, valid_iban

PRIVATE = [
    ("Pay with 4111 1111 1111 1111 now", "Pay with <CARD_1> now"),
    ("card:5500005555555559.", "card:<CARD_1>."),
    ("IBAN DE89 3704 0044 0532 0130 00 AND MORE", "IBAN <IBAN_1> AND MORE"),
    ("GB82WEST12345698765432", "<IBAN_1>"),
    ("Write to jo.doe+x@mail.example.co.uk!", "Write to <EMAIL_1>!"),
    ("Call +49 (0)30 1234567 or 555-867-5309", "Call <PHONE_1> or <PHONE_2>"),
    ("ssh root@10.0.0.12 and 192.168.1.1:8080", "ssh root@<MACHINE_1> and <MACHINE_2>:8080"),
    ("fe80::1ff:fe23:4567:890a is up", "<MACHINE_1> is up"),
    ("mac 00:1A:2B:3C:4D:5E", "mac <MACHINE_1>"),
    ("at db01.prod.internal now", "at <MACHINE_1> now"),
    ("SSN 078-05-1120", "SSN <SSN_1>"),
    ("key sk-abcdefghijklmnop1234567890", "key <KEY_1>"),
    ("a@b.org, c@d.org, a@b.org", "<EMAIL_1>, <EMAIL_2>, <EMAIL_1>"),
]


@pytest.mark.parametrize(("text", "clean"), PRIVATE)
def test_what_is_private_gets_a_placeholder(text, clean):
    assert Redactor().redact(text) == clean


@pytest.mark.parametrize(
    "text",
    [
        "4111 1111 1111 1112 fails its check", "0000 0000 0000 0000", "version 300.1.2.999", "at 12:34:56 on 2026-11-29",
        "pi is 3.14159265358979", "call 5 of 7, p. 12-13", "std::vector<int>", "x = a[1:2:3]", "decorated with @property",
        "In 1815 there were 12 345 of them", "ISBN 978-3-16-148410-0", "DE89 3704 5044 0532 0130 01",
    ],
)  # fmt: skip
def test_what_only_looks_like_it_stays(text):
    assert Redactor().redact(text) == text


def test_made_cards_are_found_and_others_not():
    rng = random.Random(0)
    for _ in range(200):
        body = "4" + "".join(rng.choice("0123456789") for _ in range(14))
        digits = next(body + last for last in "0123456789" if luhn(body + last))
        assert Redactor().redact(f"a {digits} b") == "a <CARD_1> b"
        other = body + str((int(digits[-1]) + 1) % 10)
        assert "CARD" not in Redactor().redact(f"a {other} b")


def test_ibans_need_their_check_digits():
    assert valid_iban("FR1420041010050500013M02606")
    assert not valid_iban("FR1420041010050500013M02607")


def test_keys_that_are_known_go_for_good():
    redactor = Redactor(("plain-words-secret",))
    assert redactor.redact("use plain-words-secret here") == "use [redacted] here"
    assert redactor.found == {"KEY": 1}


@pytest.mark.parametrize("text", ["1" * 100_000, "a@" * 50_000, ":" * 100_000, "1." * 50_000, "+1 " * 33_000, "DE12 " * 20_000, "a." * 50_000, "a-" * 50_000])  # fmt: skip
def test_long_text_takes_no_time(text):
    began = time.process_time()
    Redactor().redact(text)
    assert time.process_time() - began < 30.0
