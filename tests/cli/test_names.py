"""One name for one thing: what options are called is the same in every command, and old names say the new ones."""

import json

import pytest
from every_command import ALL

from scrimp.cli.options import A_REQUEST
from scrimp.cli.parser import OLD_NAMES

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


def ids(scrimp):
    return [row["id"] for row in json.loads(scrimp("log", "--json").out)["rows"]]


def test_last_is_the_request_asked_last(scrimp, profile):
    path = profile(small="ok", large="ok")
    for word in ("one", "two"):
        assert scrimp("ask", "-p", path, "-m", "small", word).code == 0
    newest, oldest = ids(scrimp)
    assert json.loads(scrimp("log", "show", "last", "--json").out)["id"] == newest
    assert json.loads(scrimp("rate", "last", "good", "--json").out)["id"] == newest
    assert scrimp("redo", "last", "-m", "large", "-p", path).code == 0
    assert scrimp("log", "rm", "last", "--yes").code == 0
    assert ids(scrimp) == [newest, oldest]


def test_last_is_the_conversation_answered_last(scrimp, profile):
    path = profile(small="echo")
    for name in ("one", "two"):
        assert scrimp("ask", "-p", path, "--cid", name, f"the {name}").code == 0
    assert scrimp("ask", "-p", path, "--cid", "last", "more of it").code == 0
    assert len(json.loads(scrimp("log", "--cid", "two", "--json").out)["rows"]) == 2
    assert ids(scrimp)[0] in scrimp("log", "--cid", "last").out
    assert scrimp("log", "conversations", "--name", "last", "three").code == 0
    assert len(json.loads(scrimp("log", "--cid", "three", "--json").out)["rows"]) == 2


def test_last_is_the_run_begun_last(scrimp, profile, tmp_path):
    path = profile(small="ok")
    runs = []
    for name in ("a", "b"):
        (tmp_path / f"{name}.txt").write_text("one\ntwo\n")
        argv = ("batch", tmp_path / f"{name}.txt", "-o", tmp_path / f"{name}.jsonl", "-p", path, "--json")
        runs.append(json.loads(scrimp(*argv).out)["run"])
    assert json.loads(scrimp("batch", "show", "last", "--json").out)["id"] == runs[1]
    assert json.loads(scrimp("batch", "show", "--json").out)["id"] == runs[1]
    assert f"run {runs[1]} is finished" in scrimp("batch", "--resume", "last").err
    assert f"run {runs[0]} is finished" in scrimp("batch", "--resume", runs[0]).err
    assert f"run {runs[0]} is finished" in scrimp("batch", "--resume", runs[0][-6:]).err
    assert f"run {runs[1]} is finished" in scrimp("batch", "collect", "last").err
    assert f"run {runs[1]} is finished" in scrimp("batch", "cancel", "last").err
    done = scrimp("batch", "--resume", runs[0], "-o", tmp_path / "b.jsonl")
    assert (done.code, "a.jsonl" in done.err) == (2, True)


def test_where_there_is_none_last_says_so(scrimp):
    for argv, said in (
        (("log", "show", "last"), "the log is empty"),
        (("log", "rm", "last"), "the log is empty"),
        (("rate", "last", "good"), "the log is empty"),
        (("redo", "last"), "the log is empty"),
        (("batch", "show", "last"), "there is no run yet"),
        (("batch", "--resume", "last"), "there is no run yet"),
        (("batch", "status", "last"), "nothing of 'last'"),
        (("log", "--cid", "last"), "no conversation 'last'"),
        (("ask", "--cid", "last", "hello"), "no conversation 'last'"),
    ):
        done = scrimp(*argv)
        assert (done.code, said in done.err) == (2, True), (argv, done.err)


def test_who_takes_a_request_says_so_alike():
    said = {
        " ".join(words): parameter.help
        for words, each in ALL.items()
        for parameter in each.params
        if parameter.param_type_name == "argument" and "ID|last" in (parameter.metavar or "") and words != ("batch",)
    }
    assert said.keys() == {"log show", "log rm", "rate", "redo"}
    assert all(each.endswith(A_REQUEST) for each in said.values())


def test_days_and_since_go_together():
    """But for `spend`, whose days are the ledger's."""
    having = {name: {words for words, parameter in OPTIONS if name in parameter.opts} for name in ("--days", "--since")}
    assert having["--days"] - having["--since"] <= {("spend",)}
    assert having["--since"] <= having["--days"]


def test_since_is_a_day_from_which_on(scrimp, profile):
    assert scrimp("ask", "-p", profile(small="ok"), "hello").code == 0
    for argv in (("log",), ("log", "search", "hello"), ("log", "conversations")):
        assert len(json.loads(scrimp(*argv, "--since", "2020-01-01", "--json").out)["rows"]) == 1
        assert json.loads(scrimp(*argv, "--since", "2999-01-01", "--json").out)["rows"] == []
        done = scrimp(*argv, "--since", "2020-01-01", "--days", "1")
        assert (done.code, "same thing twice" in done.err) == (2, True)
    assert json.loads(scrimp("report", "--since", "2020-01-01", "--json").out)["requests"] == 1
