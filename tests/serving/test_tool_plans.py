"""Plans and checks where the answer is a call of tools: nothing that a check could read yet, and no failure."""

import json

import pytest

WEATHER = {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}
USER = [{"role": "user", "content": "What is the weather in Oslo?"}]


@pytest.fixture
def asked(serve, server, openai_of):
    """Ask with a tool on offer by a plan; return the message, its arm, and the steps in the log."""

    def ask(plan, **serving):
        endpoint = serve(**serving)
        reply = openai_of(endpoint).chat.completions.create(
            model=plan, messages=USER, tools=[{"type": "function", "function": WEATHER}]
        )
        steps = endpoint.rows("SELECT * FROM steps ORDER BY seq")
        assert endpoint.charged() == sum(row.n for row in endpoint.rows("SELECT charged_nano AS n FROM steps"))
        return reply.choices[0], reply.model, steps

    return ask


def outcomes(step):
    return {each["check"]: each["outcome"] for each in json.loads(step.verdicts)}


@pytest.mark.parametrize("said", ["", ",text=Let_me_look"])
@pytest.mark.parametrize("gate", ["has:42", "json", "words:9..99", "judge:large"])
def test_a_check_abstains_and_nothing_is_escalated(asked, server, gate, said):
    choice, arm, steps = asked(f"small ? {gate} > large", small=f"tools@calls=1{said}", large="ok")
    assert [call.function.name for call in choice.message.tool_calls] == ["weather"]
    assert (arm, choice.finish_reason, len(server.chats)) == ("small", "tool_calls", 1)
    (step,) = steps
    assert outcomes(step) == {gate: "abstain"}
    assert step.answer == "Let me look" if said else "weather" in step.answer


def test_calls_of_the_same_tool_agree_whatever_their_ids(asked, server):
    choice, _, steps = asked("small + large ? agree > large", small="tools", large="tools@text=Let_me_look")
    assert [call.function.name for call in choice.message.tool_calls] == ["weather"]
    assert (len(server.chats), len(steps)) == (2, 2)


@pytest.mark.parametrize("other", ["tools@calls=2", "say@text=It_rains"])
def test_other_calls_do_not(asked, server, other):
    asked("small + large ? agree > large", small="tools", large=other)
    assert len(server.chats) == 3


def test_most_votes_for_a_call(asked, server):
    choice, arm, _ = asked("small + small + large vote", small="tools", large="say@text=It_rains")
    assert choice.message.tool_calls
    assert (arm, len(server.chats)) == ("small", 3)


@pytest.mark.parametrize(
    ("plan", "arm"),
    [
        ("small + large => large", "large"),
        ("large leads small", "large"),
        ("small + large bid", "large"),
        ("small + large knockout small", "large"),
    ],
)
def test_where_tools_are_offered_one_arm_of_a_plan_answers(asked, server, plan, arm):
    choice, by, steps = asked(plan, small="say@text=It_rains", large="tools", caps="per_day_usd = 20")
    assert [call.function.name for call in choice.message.tool_calls] == ["weather"]
    assert (by, len(server.chats), [step.kind for step in steps]) == (arm, 1, ["ask"])
