"""One name for one thing: what options are called is the same in every command, and old names say the new ones."""

import pytest

from scrimp.cli.app import COMMANDS, command
from scrimp.cli.parser import OLD_NAMES


def every():
    """Every command without commands of its own, and group that does something itself: (its words, the command)."""

    def below(words, each):
        yield words, each
        for name, inner in getattr(each, "commands", {}).items():
            yield from below((*words, name), inner)

    for name in COMMANDS:
        yield from below((name,), command(name))


ALL = dict(every())
OPTIONS = [
    (words, parameter)
    for words, each in ALL.items()
    for parameter in each.params
    if parameter.param_type_name == "option"
]
MANY_MEANINGS = {"-f", "-o"}
"""Short names of several options: `-f` is what is asked of, and in `duel` the prompts themselves; `-o` is where to
write, and where nothing is written to a file (`ask`) an option of the model, as in other programs."""


def shorts(parameter):
    return {name for name in parameter.opts if not name.startswith("--")}


def longs(parameter):
    return {name for name in parameter.opts if name.startswith("--")}


def test_a_long_name_has_the_same_short_one_in_every_command():
    found = {}
    for words, parameter in OPTIONS:
        for name in longs(parameter):
            found.setdefault(name, {}).setdefault(frozenset(shorts(parameter)), []).append(" ".join(words))
    assert {name: by for name, by in found.items() if len(by) > 1} == {}


def test_a_short_name_is_of_one_option():
    found = {}
    for words, parameter in OPTIONS:
        for name in shorts(parameter) - MANY_MEANINGS:
            found.setdefault(name, {}).setdefault(frozenset(longs(parameter)), []).append(" ".join(words))
    several = {name: by for name, by in found.items() if len(by) > 1}
    assert {name: by for name, by in several.items() if not frozenset.intersection(*by)} == {}


def test_n_is_a_count_and_a_dry_run_has_no_short_name():
    for words, parameter in OPTIONS:
        if "-n" in parameter.opts:
            assert "--limit" in parameter.opts, words
            assert parameter.type_descriptor.annotation is int, words
        if "--dry-run" in parameter.opts:
            assert parameter.opts == ["--dry-run"], words


def test_what_a_command_may_spend_is_max_cost():
    names = {name for _, parameter in OPTIONS for name in longs(parameter) if parameter.metavar == "USD"}
    assert names - {"--cap-override", "--wtp"} == {"--max-cost"}


OLD = [
    (words, old)
    for words, each in ALL.items()
    for old, new in OLD_NAMES.items()
    if any(new in parameter.opts for parameter in each.params)
    and not any(old in parameter.opts for parameter in each.params)
]


def test_old_names_are_known_where_they_were():
    were = {
        (("ask",), "-n"), (("batch",), "-n"), (("batch",), "--estimate"), (("duel",), "-n"), (("duel",), "--max-usd"),
        (("learn", "audit"), "--max-usd"), (("learn", "audit"), "--number"), (("learn", "templates"), "--max-usd"),
        (("learn", "templates"), "-n"), (("log", "browse"), "--out"), (("probe",), "--dry-place"),
        (("probe",), "--max-usd"), (("spend", "reconcile"), "-n"), (("train",), "--out"),
    }  # fmt: skip
    assert were <= set(OLD)


@pytest.mark.parametrize(("words", "old"), OLD, ids=[" ".join((*words, old)) for words, old in OLD])
def test_an_old_name_says_the_new_one_in_one_line(scrimp, server, words, old):
    done = scrimp(*words, old, "1", "hello")
    assert (done.code, done.out, server.requests) == (2, "", [])
    (line,) = done.err.splitlines()
    assert line.startswith(f"scrimp: there is no {old} here: ")
    assert OLD_NAMES[old] in line


@pytest.mark.parametrize("typed", ["-nx", "-xn", "-n"])
def test_an_old_name_is_known_among_others(scrimp, typed):
    assert "--dry-run" in scrimp("ask", typed, "hello").err


def test_a_prompt_may_be_an_old_name(scrimp):
    assert "--dry-run" not in scrimp("ask", "--offline", "--", "-n").err
