"""Templates and aliases as files: what is written is read again, and what is wrong in them has a place."""

import stat
from decimal import Decimal
from pathlib import Path

import pytest

from scrimp.profiles.aliases import read_aliases, remove_alias, set_alias
from scrimp.profiles.errors import ConfigError, UsageError
from scrimp.profiles.paths import Paths
from scrimp.profiles.templates import (
    Template,
    as_text,
    list_templates,
    read_template,
    remove_template,
    save_template,
    template_path,
)


@pytest.fixture
def own(tmp_path):
    return Paths(tmp_path / "config", tmp_path / "state", tmp_path / "cache")


FULL = Template(
    prompt="Hi {{who}},\n\nmore",
    system="One.\nTwo 'quoted'\\n.\nThree",
    model="openai/gpt-5-mini",
    schema='{\n  "type": "object"\n}',
    file=("/a b/c.txt", "https://example.org/x"),
    check=("re:^[A-D]$", "cmd:python {code.py}"),
    cascade=True,
    min_quality=0.0,
    wtp=Decimal(0),
    max_cost=Decimal("0.01"),
    options={"temperature": 0, "top_p": 0.5, "stop": ["a", "b"]},
    defaults={"who": 'the "reader"'},
)


@pytest.mark.parametrize(
    "template",
    [
        Template(prompt="Only text"),
        Template(prompt="+++\nlooks like settings"),
        Template(system="Only a system prompt"),
        Template(prompt="x", system="ends in a quote '\nso it is escaped'"),
        Template(prompt="x", system="three ''' of them\n"),
        Template(prompt="x", system="a\rb\n\x00\x1b[0m\x7f"),
        FULL,
    ],
)
def test_what_is_saved_is_read_again(own, template):
    path = save_template("t", template, own)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    read = read_template("t", own)
    assert (read.prompt.strip("\n"), read) == (template.prompt, read_template(str(path), own))
    assert as_text(read).strip() == as_text(template).strip()


def test_plain_files_stay_what_they_were(own):
    own.templates.mkdir(parents=True)
    for name, text in (("a.txt", "A {{input}}\n"), ("b.md", "---\nkey: x\n---\nB"), ("c", "C"), ("d.tmpl", "D")):
        (own.templates / name).write_text(text)
        assert read_template(name, own) == Template(prompt=text)
    (own.templates / "a.md").write_text("hidden by a.txt")
    (own.templates / ".hidden").write_text("x")
    (own.templates / "folder").mkdir()
    assert {name: path.name for name, path in list_templates(own).items()} == {
        "a": "a.txt", "b": "b.md", "c": "c", "d.tmpl": "d.tmpl"
    }  # fmt: skip
    assert read_template("a", own).prompt == "A {{input}}\n"
    assert remove_template("a", own).name == "a.txt"
    assert read_template("a", own).prompt == "hidden by a.txt"


def test_one_of_that_name_is_replaced_only_when_asked(own):
    save_template("t", Template(prompt="one"), own)
    with pytest.raises(UsageError, match="there is a template t already"):
        save_template("t", Template(prompt="two"), own)
    assert read_template("t", own).prompt.strip() == "one"
    save_template("t", Template(prompt="two"), own, over=True)
    assert read_template("t", own).prompt.strip() == "two"
    for name in ("", "../x", "a/b", ".x", "a b"):
        with pytest.raises(UsageError, match="not a name"):
            save_template(name, Template(prompt="x"), own)
        with pytest.raises(UsageError, match="no template"):
            template_path(name, own)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("+++\n", "t.md:1: the settings that begin here have no end"),
        ("+++\n\nmodle = 'x'\n+++\n", "t.md:3: modle: unknown key (did you mean 'model'?)"),
        ("+++\nsystem = 1\n+++\n", "t.md:2: system: expected text, got 1"),
        ("+++\n\n[options\n+++\n", "t.md:3: not TOML"),
        ("+++\n[defaults]\nx = 1\n+++\n", "t.md:3: defaults.x: expected text, got 1"),
        ("+++\ncheck = 're:x'\n+++\n", "t.md:2: check: expected a list of texts"),
        ("+++\nprefer = 'dear'\n+++\n", "t.md:2: prefer: expected cheap, balanced or best"),
        ("+++\nmax_cost = -1\n+++\n", "t.md:2: max_cost: expected an amount in USD"),
    ],
)
def test_what_is_wrong_has_a_place(own, text, says):
    own.templates.mkdir(parents=True)
    path = own.templates / "t.md"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_template("t", own)
    assert caught.value.message.startswith(str(path.parent))
    assert says in caught.value.message


def test_aliases(own):
    assert read_aliases(own) == {}
    assert set_alias("fast", "openai/gpt-5-mini", own) is None
    assert set_alias("4o.mini-x", "small", own) is None
    assert set_alias("quick", "fast", own) is None  # followed once, here
    assert set_alias("fast", "large", own) == "openai/gpt-5-mini"
    assert read_aliases(own) == {"fast": "large", "4o.mini-x": "small", "quick": "openai/gpt-5-mini"}
    assert stat.S_IMODE(own.aliases.stat().st_mode) == 0o600
    assert remove_alias("quick", own) == "openai/gpt-5-mini"
    with pytest.raises(UsageError, match="did you mean 'fast'"):
        remove_alias("fats", own)
    for name, target in (("a b", "x"), ("", "x"), ("a", ""), ("a", "x y"), ("a", "a")):
        with pytest.raises(UsageError):
            set_alias(name, target, own)
    assert read_aliases(own) == {"fast": "large", "4o.mini-x": "small"}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a = 1\n", ":1: a: expected an arm or a model in quotes"),
        ("b = 'x'\n\n'a b' = 'x'\n", ":3: 'a b' is not a name"),
        ("b = 'x'\na = \n", ":2: not TOML"),
        ("[table]\na = 'x'\n", ":1: table: expected an arm or a model"),
    ],
)
def test_a_broken_file_of_aliases_names_its_line_and_stays(own, text, says):
    own.config.mkdir(parents=True)
    own.aliases.write_text(text)
    for broken in (lambda: read_aliases(own), lambda: set_alias("c", "x", own), lambda: remove_alias("b", own)):
        with pytest.raises(ConfigError) as caught:
            broken()
        assert f"{own.aliases}{says}" in caught.value.message
    assert own.aliases.read_text() == text


def test_a_file_elsewhere_is_read_where_there_is_none_of_ones_own(own, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("t").write_text("here")
    assert read_template("t", own).prompt == "here"
    save_template("t", Template(prompt="own"), own)
    assert read_template("t", own).prompt.strip() == "own"
    assert read_template("./t", own).prompt == "here"


@pytest.mark.parametrize(
    "line",
    [
        "check = ['cmd:touch it']", "file = ['~/secret']", "attachment = ['x.png']", "model = 'openai/gpt-5-mini'",
        "profile = 'other'", "plan = 'a > b'", "max_cost = 5", "schema = 'secrets.json'", "schema_multi = 'x str'",
        "tag = 'x'", "cascade = true",
    ],
)  # fmt: skip
def test_a_file_that_came_from_elsewhere_runs_and_reads_nothing(own, tmp_path, line):
    path = tmp_path / "theirs.md"
    path.write_text(f"+++\nsystem = 'Be brief.'\n{line}\n+++\nHi {{{{input}}}}")
    with pytest.raises(ConfigError) as caught:
        read_template(str(path), own)
    assert caught.value.message.startswith(f"{path}:3: {line.partition(' ')[0]}: only a template in your own folder")
    own.templates.mkdir(parents=True)
    (own.templates / "theirs.md").write_text(path.read_text())
    assert read_template("theirs", own).system == "Be brief."


def test_a_file_from_elsewhere_may_say_how_it_is_asked(own, tmp_path):
    path = tmp_path / "theirs.md"
    path.write_text("+++\nsystem = 'S'\nschema = '{}'\nbrief = true\n[options]\ntemperature = 0\n+++\nHi")
    read = read_template(str(path), own)
    assert (read.system, read.schema, read.brief, read.options) == ("S", "{}", True, {"temperature": 0})
