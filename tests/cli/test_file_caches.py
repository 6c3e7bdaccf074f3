"""Files that are asked about again: what providers' prompt caches hold of them, marked, priced and shown."""

import contextlib
import json
import sqlite3
import textwrap

import pytest

MARK = {"type": "ephemeral"}
FILLER = "The committee met again and spoke at length about the roof, the garden and the choir.\n\n"


@pytest.fixture
def minutes(home):
    path = home.parent / "work" / "minutes.txt"
    path.write_text(FILLER * 120 + "The deficit of the year was forty two in all.\n\n" + FILLER * 120)
    return path


@pytest.fixture
def arm(tmp_path, server):
    """Write a profile of one arm, `one`; return its path."""

    def write(model, price, *, reply="ok", name="caches", extra=""):
        server.script([reply], model=model.rpartition("/")[2])
        path = tmp_path / f"{name}.toml"
        path.write_text(
            textwrap.dedent(f"""
                name = "{name}"
                [caps]
                per_day_usd = 5
                [[arms]]
                name = "one"
                model = "{model}"
                api_base = "{server.base_url}"
                tier = "small"
                max_output_tokens = 200
                context_window = 100000
                price = {{ {price}, output_usd_per_mtok = 15 }}
                """)
            + extra
        )
        return path

    return write


CLAUDE = (
    "openrouter/anthropic/claude-sonnet-4.5",
    "input_usd_per_mtok = 3, cache_read_usd_per_mtok = 0.3, cache_write_usd_per_mtok = 3.75",
)
GPT = ("openai/gpt-x", "input_usd_per_mtok = 3, cache_read_usd_per_mtok = 0.3")


def ask(scrimp, path, minutes, question, *flags):
    done = scrimp("ask", "--json", "-p", path, "-f", minutes, *flags, question)
    assert done.code == 0, done.err
    return json.loads(done.out)


def options(answer):
    return {each["name"]: each for each in answer["decision"]["arms"]}


def marks(server):
    return [json.dumps(request.body).count("cache_control") for request in server.chats]


def test_a_second_question_has_the_file_marked_and_a_third_reads_it(scrimp, arm, minutes, server):
    path = arm(*CLAUDE, reply="cached")
    first, second, third = (ask(scrimp, path, minutes, f"{i}?", "--read", "whole") for i in "abc")
    assert marks(server) == [0, 1, 1]
    block, question = server.chats[1].body["messages"][-1]["content"]
    assert (block["cache_control"], question["text"].strip()) == (MARK, "b?")
    assert server.chats[0].body["messages"][-1]["content"] == block["text"] + question["text"].replace("b?", "a?")
    one, two, three = (options(each)["one/whole"] for each in (first, second, third))
    # The server says that it read a part from its cache: the file is thought to be there from then on.
    assert (one["cached_tokens"], two["cached_tokens"] > 4_000, three["cached_tokens"] > 4_000) == (None, True, True)
    assert three["cost_usd"] < 0.3 * one["cost_usd"]
    assert three["bound_usd"] == pytest.approx(one["bound_usd"], rel=0.001)


def test_what_was_not_marked_is_written_and_costs_more(scrimp, arm, minutes, server):
    path = arm(*CLAUDE)
    first, second = (ask(scrimp, path, minutes, f"{i}?", "--read", "whole") for i in "ab")
    one, two = options(first)["one/whole"], options(second)["one/whole"]
    assert (one["cached_tokens"], two["cached_tokens"]) == (None, 0)
    assert two["cost_usd"] > 1.15 * one["cost_usd"]  # though its answer is expected to be as short as the first one was
    assert two["bound_usd"] == pytest.approx(one["bound_usd"], rel=0.001)  # the dearest of all prices, either way


def test_where_nothing_needs_a_mark_the_second_question_reads_the_cache(scrimp, arm, minutes, server):
    path = arm(*GPT)
    first, second = (ask(scrimp, path, minutes, f"{i}?", "--read", "whole") for i in "ab")
    assert marks(server) == [0, 0]
    assert isinstance(server.chats[1].body["messages"][-1]["content"], str)
    one, two = options(first)["one/whole"], options(second)["one/whole"]
    assert one["cached_tokens"] is None
    assert two["cached_tokens"] > 4_000
    assert two["cost_usd"] < 0.3 * one["cost_usd"]


@pytest.mark.parametrize("other", ["another file", "another system prompt", "passages", "long ago"])
def test_a_cache_of_something_else_is_none(scrimp, arm, minutes, server, other, home):
    path = arm(*GPT)
    more = ("-s", "Be brief.") if other == "another system prompt" else ()
    ask(scrimp, path, minutes, "a?", "--read", "passages" if other == "passages" else "whole", *more)
    if other == "another file":
        minutes.write_text(minutes.read_text().replace("forty two", "forty one"))
    if other == "long ago":
        with contextlib.closing(sqlite3.connect(home / "scrimp.db")) as db, db:
            db.execute("UPDATE requests SET created_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '-400 seconds')")
    assert options(ask(scrimp, path, minutes, "b?", "--read", "whole"))["one/whole"]["cached_tokens"] is None


def test_the_whole_is_read_once_it_is_cached(scrimp, arm, minutes, server):
    """Passages are cheaper than the whole, until that is read at a tenth of its price."""
    path = arm(*GPT, extra="[policy]\nwtp_usd = 0.0001\nexplore = 0\n")
    question = "What was the deficit of the year?"
    first = ask(scrimp, path, minutes, question)
    assert first["arm"] == "one/passages"
    ask(scrimp, path, minutes, "Sum it up.", "--read", "whole")
    second = ask(scrimp, path, minutes, question)
    assert second["arm"] == "one/whole"
    shown = scrimp("ask", "--dry-run", "-x", "-p", path, "-f", minutes, question)
    assert "from its provider's cache" in " ".join((shown.out + shown.err).split())
