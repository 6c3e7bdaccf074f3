"""Each kind of what is private: what is one, and what only looks like it."""

import random

import pytest
from canaries import NAMES, canaries, hidden, spelled

from scrimp.routing.text.escapes import read_escapes
from scrimp.routing.text.private import Redactor, find_private, in_json
from scrimp.routing.text.private_names import NameList


@pytest.mark.parametrize("seed", range(5))
def test_canaries_wherever_they_are_hidden(seed):
    rng, names = random.Random(seed), NameList.of(NAMES)
    for canary in canaries(200, seed):
        text, redactor = hidden(canary, rng), Redactor(names=names)
        clean = redactor.redact(text)
        assert not any(form in clean for form in spelled(canary.value)), (canary, text, clean)
        assert clean != text
        for placeholder, value in redactor.known.items():
            clean = clean.replace(placeholder, value)
        assert clean == text


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("DNI 12345678Z", "ID"), ("X1234567L", "ID"), ("12345678A", ""), ("RSSMRA85T10A562S", "ID"), ("RSSMRA85T10A562T", ""),
        ("756.9217.0769.85", "ID"), ("756.9217.0769.84", ""), ("529.982.247-25", "ID"), ("529.982.247-26", ""), ("S1234567D", "ID"),
        ("SSN: 078051120", "ID"), ("000-12-3456", ""), ("666-12-3456", ""), ("912-12-3456", ""), ("PESEL 44051401359", "ID"), ("44051401359", ""),
        ("BSN 111222333", "ID"), ("passport no. C01X00T47", "ID"), ("Steuer-ID 86 095 742 719", "ID"), ("11010519491231002X", "ID"), ("900101-1234567", "ID"),
        ("811218-9876", "ID"), ("811218-9877", ""), ("131052-308T", "ID"), ("NINO AB123456C", "ID"), ("JM 12 34 56 D", "ID"),
        ("Tel. 612345678", "PHONE"), ("in 1998-2001 it fell", ""), ("on 01/02/2023 at 10:30", ""), ("page 0123", ""), ("File No. 001-36376", ""),
        ("password: hunter2.", "KEY"), ("the password is Tr0ub4dor&3!", "KEY"), ("token = get_token()", ""), ('password = "correct horse"', "KEY"),
        ("postgres://app:s3cret@db/x", "KEY"), ("skateboarding-competition", ""), ("Authorization: Bearer abc123def456", "KEY"), ("Basic (3)", ""),
        ("ann%40example.com", "EMAIL"), ("ann&#64;example.com", "EMAIL"), ("git@github.com:a/b.git", ""), ("user@host", ""), ("@decorator", ""),
        ("10.0.0.1", "MACHINE"), ("127.0.0.1 and ::1", ""), ("version 10.2.3.4", ""), ("a[1::2]", ""), ("x.local = 3", ""), ("printer.local:631", "MACHINE"),
        ("4111.1111.1111.1111", "CARD"), ("1234567812345670", ""), ("12 4111 1111 1111 1111", "CARD"), ("4111 1111 1111 1111 555-867-5309", "CARD PHONE"),
        ("de89370400440532013000", "IBAN"), ("XX89370400440532013000", ""), ("NO93 8601 1117 947", "IBAN"),
    ],
)  # fmt: skip
def test_one_of_a_kind(text, kinds):
    assert " ".join(hit.name for hit in find_private(text)) == kinds


def test_names_are_whole_words_in_any_case_and_script():
    names = NameList.of(["Ann", "Ann Smith", "O'Neil", "Zoë", "田中太郎", "김철수", "अमित", "Fox & Sons"])
    text = (
        "ann\u00a0SMITH, Hannah, annex, ONEIL o'neil's zoe\u0308 Zoë; 昨日田中太郎さんと김철수는 अमित, FOX &amp; SONS"
    )
    assert [text[hit.start : hit.end] for hit in find_private(text, names)] == [
        "ann\u00a0SMITH", "o'neil", "zoe\u0308", "Zoë", "田中太郎", "김철수", "अमित", "FOX &amp; SONS"
    ]  # fmt: skip


def test_a_long_list_is_looked_up_and_not_gone_through():
    names = NameList.of(f"First{n} Last{n}" for n in range(20_000))
    text = "met First19999 Last19999 and First3 Last4 " * 2_000
    assert len(list(names.find(text))) == 2_000


def test_what_is_spelled_otherwise_is_found_where_it_stands():
    text = r'{"who": "ann\u0040example.com", "n": "\u00fcber"}'
    (hit,) = find_private(text)
    assert text[hit.start : hit.end] == r"ann\u0040example.com"
    plain, places = read_escapes("%e7%94%b0x")
    assert (plain, places) == ("田x", [0, 9, 10])
    assert read_escapes("nothing") is None


def test_json_stays_json():
    redactor = Redactor()
    made = in_json('{"a@b.io": [4111111111111111, 7, true, null, "x a@b.io"]}', redactor.redact)
    assert made == '{"<EMAIL_1>": ["<CARD_1>", 7, true, null, "x <EMAIL_1>"]}'
    assert in_json('{"a":  1}', redactor.redact) == '{"a":  1}'
    assert in_json('{"a": "c@d.io"', redactor.redact) == '{"a": "<EMAIL_2>"'
