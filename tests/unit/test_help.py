"""Help pages: every command under a heading, examples everywhere, nothing wider than a terminal of 80 columns."""

import re
import shlex
from collections import Counter

import pytest
from every_command import ALL

from scrimp.cli.commands import COMMANDS, GROUPS
from scrimp.cli.help import HEADINGS, MANY, written_examples
from scrimp.cli.manual import _walk

PAGES = {words: (each, each.get_help(context)) for words, each, context in _walk()}


def test_every_command_stands_in_one_group():
    listed = Counter(name for names in GROUPS.values() for name in names)
    assert {name: n for name, n in listed.items() if n > 1} == {}
    assert set(COMMANDS) <= set(listed), "put it under a heading of GROUPS"
    page = PAGES["scrimp"][1]
    assert [line[:-1] for line in page.splitlines() if line[:-1] in GROUPS] == [*GROUPS]
    for name in COMMANDS:
        assert re.search(rf"^  {name} +\S", page, re.MULTILINE), name


@pytest.mark.parametrize("words", PAGES)
def test_a_page_fits_80_columns_and_has_examples(words):
    page = PAGES[words][1]
    wide = [line for line in page.splitlines() if len(line) > 79]
    assert wide == []
    assert "Examples:" in page
    assert (
        words == "scrimp"
        or re.search(rf"\b{words}( |$)", page.partition("Examples:")[2], re.MULTILINE)
        or any(f"scrimp {words.split()[1]}" in line for line in page.partition("Examples:")[2].splitlines())
    )


def test_many_options_stand_under_headings():
    known = {name for names in HEADINGS.values() for name in names}
    many = 0
    shown = {words: each for words, each in ALL.items() if not each.hidden}
    for words, each in shown.items():
        options = [each for each in each.params if each.param_type_name == "option" and not each.hidden]
        page = PAGES[" ".join(("scrimp", *words))][1]
        if len(options) + 1 < MANY:
            assert page.count("\nOptions:\n") == 1, words
            continue
        many += 1
        assert "\nOptions:\n" not in page
        assert [option.opts for option in options if known.isdisjoint(option.opts)] == [], "put it under HEADINGS"
        assert "\nMore:\n" not in page
        assert page.index("\nChoosing:\n") < page.index("\nOutput:\n") < page.index("--help")
    assert many >= 3


def test_bare_scrimp_fits_a_small_terminal(scrimp):
    done = scrimp()
    assert (done.code, done.out) == (2, "")
    lines = done.err.splitlines()
    assert len(lines) <= 23, "of 24 the prompt takes one"
    assert max(map(len, lines)) <= 80
    for name in COMMANDS:
        assert re.search(rf" {name}( |$)", done.err, re.MULTILINE), name
    assert "scrimp --help" in done.err


def test_a_remark_stands_beside_its_command_or_below_it():
    paragraph = (
        "Examples:\n"
        "  scrimp log                     the last requests\n"
        "  scrimp log show last   one request with its whole decision\n"
        '  scrimp ask --cid move "Which van did we book?"    go on with one by its name, or begin it'
    )
    assert written_examples(paragraph, 60) == [
        "Examples:",
        "  scrimp log            the last requests",
        "  scrimp log show last  one request with its whole decision",
        '  scrimp ask --cid move "Which van did we book?"',
        "      go on with one by its name, or begin it",
    ]


def test_a_command_too_long_for_a_line_is_the_same_to_a_shell():
    command = """scrimp ask --cascade --check 'cmd:python {code.py}' -s "Be brief, please" "Print the first 10 primes" | tee out"""
    for width in (40, 50, 60, 70):
        lines = written_examples(f"  {command}", width)
        assert max(map(len, lines)) <= width
        assert shlex.split("\n".join(lines).replace("\\\n", "")) == shlex.split(command)
        assert not any(re.search(r" (--check|-s) \\$", line) for line in lines), "an option stands beside its value"
