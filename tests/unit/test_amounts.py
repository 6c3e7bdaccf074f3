"""Amounts and numbers as people write them: one parser for flags, variables and files."""

import pytest

from scrimp.profiles.money import MAX_USD, NANO, read_number, read_usd

TAKEN = {
    "0": 0, "-0": 0, "0.05": 50_000_000, " 0.05\n": 50_000_000, "$5": 5 * NANO, "$ 5": 5 * NANO, "5 USD": 5 * NANO,
    "5usd": 5 * NANO, "5$": 5 * NANO, "$5 USD": 5 * NANO, "+3": 3 * NANO, ".5": NANO // 2, "5.": 5 * NANO,
    "1e-3": 1_000_000, "1E2": 100 * NANO, str(MAX_USD): MAX_USD * NANO,
    # Rounded up, however little it is.
    "0.0000000001": 1, "1e-400": 1, "1e-999999999": 1,
}  # fmt: skip

REFUSED = {
    "": "not a number", " ": "not a number", "$": "not a number", "USD": "not a number", "five": "not a number",
    "nan": "not a number", "inf": "not a number", "-inf": "not a number", "Infinity": "not a number",
    "1_000": "not a number", "1,000": "not a number", "0,05": "not a number", "٣": "not a number", "５": "not a number",
    "0x10": "not a number", "1e": "not a number", "--5": "not a number", "5 EUR": "not a number", "€5": "not a number",
    "1e99999999999999999999": "not a number",
    "-1": "below zero", "-1e-400": "below zero", "$-5": "below zero",
    "1e400": "more than", "1000000000.000000001": "more than", "9" * 200: "more than",
}  # fmt: skip


@pytest.mark.parametrize("text", TAKEN)
def test_an_amount_is_read_as_it_is_meant(text):
    assert read_usd(text) == TAKEN[text]


@pytest.mark.parametrize("text", REFUSED)
def test_what_is_no_amount_is_refused_and_said_why(text):
    with pytest.raises(ValueError, match=REFUSED[text]):
        read_usd(text)


def test_a_number_may_be_below_zero():
    assert read_number("-1.5e3") == -1500
