"""`--brief`: a line of system text and a lower limit, in the trace, and never in what the log says the user wrote."""

import json

import pytest

from scrimp import Scrimp
from scrimp.profiles.schema import Arm
from scrimp.routing.batch.files.rows import Row, content_key
from scrimp.routing.prompts.brief import BRIEF_TOKENS, BRIEFLY, may_think
from scrimp.routing.prompts.instructions import dressed
from scrimp.routing.prompts.prompt import Prompt


@pytest.fixture
def arms(home, server, tmp_path):
    """A profile of an arm that is known not to think, and perhaps one more."""

    def write(*more, behaviour="echo", extra=""):
        text = 'name = "test"\n[caps]\nper_day_usd = 1.0\n'
        for name, keys in (("small", 'reasoning_effort = "none"'), *more):
            text += (
                f'[[arms]]\nname = "{name}"\nmodel = "openai/{behaviour}"\napi_base = "{server.base_url}"\n'
                "max_output_tokens = 2000\ncontext_window = 100000\ntags = ['json']\n"
                f"price = {{ input_usd_per_mtok = 1, output_usd_per_mtok = 4 }}\n{keys}\n"
            )
        path = tmp_path / "test.toml"
        path.write_text(text + extra)
        return path

    return write


def ask(scrimp, *argv):
    done = scrimp("ask", "--json", *argv)
    assert done.code == 0, done.err
    return json.loads(done.out)


def sent(server, n=-1):
    return [(message["role"], message["content"]) for message in server.chats[n].body["messages"]]


def logged(scrimp, which):
    return json.loads(scrimp("log", "show", which, "--json").out)


def test_a_line_is_told_the_limit_is_lower_and_the_log_has_what_was_typed(scrimp, arms, server):
    expected = [  # before any call: what is billed moves what is expected of the next
        json.loads(scrimp("route", "-p", arms(), *flag, "--json", "Why is the sky blue?").out)
        for flag in ((), ("--brief",))
    ]
    usual, short = (ask(scrimp, "-p", arms(), *flag, "Why is the sky blue?") for flag in ((), ("--brief",)))
    assert sent(server, 0) == [("user", "Why is the sky blue?")]
    assert sent(server, 1) == [("system", BRIEFLY), ("user", "Why is the sky blue?")]
    assert [chat.output_limit for chat in server.chats] == [2000, BRIEF_TOKENS]
    before, after = (each["arms"][0] for each in expected)
    assert after["output_tokens_p50"] == pytest.approx(before["output_tokens_p50"] / 2, abs=1)
    assert after["output_tokens_p90"] <= BRIEF_TOKENS
    assert after["bound_usd"] < before["bound_usd"]
    assert (usual["decision"]["brief"], short["decision"]["brief"]) == (False, True)
    row = logged(scrimp, short["id"])
    assert (row["prompt"], row["system"]) == ("Why is the sky blue?", None)
    assert row["decision"]["brief"] is True
    assert short["input_tokens"] <= short["decision"]["arms"][0]["input_bound"]


def test_short_answers_that_were_asked_for_tell_nothing_of_others(scrimp, arms, home):
    def predicted():
        return json.loads(scrimp("route", "-p", arms(), "--json", "Why is the sky blue?").out)["arms"][0]

    before = predicted()
    for _ in range(3):
        ask(scrimp, "-p", arms(), "--brief", "Why is the sky blue?")
    after = predicted()
    assert (after["output_tokens_p50"], after["length_rests_on"]) == (before["output_tokens_p50"], "the router")
    ask(scrimp, "-p", arms(), "Why is the sky blue?")
    assert predicted()["length_rests_on"] == "1 call of its own"


def test_it_is_said_where_the_choice_is_explained(scrimp, arms):
    done = scrimp("ask", "--dry-run", "-x", "--brief", "-p", arms(), "Why is the sky blue?")
    assert "brief: a line of system text asks for a short answer" in done.err
    assert "brief:" not in scrimp("ask", "--dry-run", "-x", "-p", arms(), "Why is the sky blue?").err


def test_the_line_comes_after_what_arm_and_user_say(scrimp, arms, server):
    path = arms(("told", 'reasoning_effort = "none"\nsystem = "You are a botanist."'))
    answer = ask(scrimp, "-p", path, "-m", "told", "--brief", "-s", "Answer in French.", "Why?")
    assert sent(server) == [("system", f"You are a botanist.\n\nAnswer in French.\n\n{BRIEFLY}"), ("user", "Why?")]
    assert logged(scrimp, answer["id"])["system"] == "Answer in French."


def test_a_conversation_does_not_gather_lines(scrimp, arms, server):
    path = arms()
    ask(scrimp, "-p", path, "--brief", "-s", "Be kind.", "first")
    ask(scrimp, "-p", path, "--brief", "-c", "second")
    ask(scrimp, "-p", path, "-c", "third")
    ask(scrimp, "-p", path, "-c", "--brief", "fourth")
    systems = [sent(server, n)[0] for n in range(4)]
    told, plain = ("system", f"Be kind.\n\n{BRIEFLY}"), ("system", "Be kind.")
    assert systems == [told, told, plain, told]
    assert [chat.output_limit for chat in server.chats] == [BRIEF_TOKENS, BRIEF_TOKENS, 2000, BRIEF_TOKENS]


def test_redo_asks_as_it_was_asked(scrimp, arms, server):
    path = arms(("large", 'reasoning_effort = "none"\ntier = "large"'))
    ask(scrimp, "-p", path, "-m", "small", "--brief", "Why is the sky blue?")
    done = scrimp("redo", "-p", path, "-m", "large", "--json")
    assert done.code == 0, done.err
    assert sent(server, 1) == sent(server, 0)
    assert server.chats[1].output_limit == BRIEF_TOKENS


def test_a_schema_says_itself_how_long_the_answer_is(scrimp, arms, server):
    done = scrimp("ask", "-p", arms(behaviour="json"), "--brief", "--schema", '{"type": "object"}', "a city")
    assert done.code == 0, done.err
    assert sent(server)[0] == ("system", BRIEFLY)
    assert server.chats[0].output_limit == 2000


@pytest.mark.parametrize("keys", ['reasoning_effort = "low"', "# nothing is known of its model"])
def test_thoughts_are_not_cut(scrimp, arms, server, keys):
    answer = ask(scrimp, "-p", arms(("deep", keys)), "-m", "deep", "--brief", "Why?")
    assert sent(server)[0] == ("system", BRIEFLY)
    assert server.chats[0].output_limit == 2000
    assert answer["decision"]["arms"][1]["output_limit"] == 2000


@pytest.mark.parametrize(
    ("model", "keys", "known", "reasoning", "thinks"),
    [
        ("openai/gpt-4o", {}, True, False, False),
        ("openai/gpt-5-mini", {}, True, True, True),
        ("openai/gpt-5-mini", {"reasoning_effort": "none"}, True, False, False),
        ("local/smollm2-135m-instruct", {}, False, False, False),
        ("hosted_vllm/llama", {}, False, False, True),
        ("deepinfra/Qwen/Qwen3-32B", {}, True, False, True),
        ("deepseek/deepseek-r1", {}, True, False, True),
        ("mistral/magistral-small", {}, True, False, True),
        ("anthropic/claude-3-haiku", {"params": {"thinking": {"budget_tokens": 1024}}}, True, False, True),
    ],
)
def test_which_arms_may_think(model, keys, known, reasoning, thinks):
    assert may_think(Arm(name="a", model=model, **keys), known=known, reasoning=reasoning) is thinks


def test_an_answer_that_is_cut_says_what_cut_it(scrimp, arms, server):
    answer = ask(scrimp, "-p", arms(behaviour="ok@tokens=900"), "--brief", "Tell me everything.")
    assert answer["finish_reason"] == "length"
    assert any(f"limit of {BRIEF_TOKENS} tokens (--brief)" in note for note in answer["notes"])


def test_a_batch_asks_each_row_so_and_resumes_so(scrimp, arms, server, tmp_path):
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(json.dumps({"prompt": f"Question {n}?"}) + "\n" for n in range(3)))
    done = scrimp("batch", rows, "-o", tmp_path / "out.jsonl", "-p", arms(), "--brief")
    assert done.code == 0, done.err
    assert {sent(server, n)[0] for n in range(3)} == {("system", BRIEFLY)}
    assert {chat.output_limit for chat in server.chats} == {BRIEF_TOKENS}


def test_a_kept_answer_is_of_the_same_way_of_asking():
    keys = {content_key(Row(0, 1, 1, Prompt("Why?", brief=brief))) for brief in (False, True)}
    assert len(keys) == 2


def test_route_decides_by_it(scrimp, arms):
    usual, short = (
        json.loads(scrimp("route", "-p", arms(), *flag, "--json", "Why is the sky blue?").out)
        for flag in ((), ("--brief",))
    )
    assert short["arms"][0]["cost_usd"] < usual["arms"][0]["cost_usd"]
    assert short["brief"] is True
    lines = scrimp("route", "-p", arms(), "--brief", "--json", "--lines", "-", stdin="Why?\n").out
    assert json.loads(lines)["brief"] is True


def test_from_python(arms, server):
    with Scrimp(arms(), seed=1) as s:
        answer = s.ask("Why?", brief=True)
        s.ask("And?", conversation=answer)
        assert s.route("Why?", brief=True).arms[0].output_limit == BRIEF_TOKENS
    assert [sent(server, n)[0][0] for n in range(2)] == ["system", "user"]


def test_what_is_counted_is_what_is_sent():
    prompt = dressed(Prompt("Why?", brief=True), Arm(name="a", model="m", system="Be kind.", prompt="Q: {{input}}"))
    assert list(prompt.parts()) == [message["content"] for message in prompt.messages()]
