"""What an arm is told, in what programs send: chats, loops of tools, and efforts by a model's name."""

import openai
import pytest

LADDER = 'system = "Be brief."\nprompt = "Q: {{input}}"\nefforts = ["low", "high"]\n'
TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}
CALL = {
    "role": "assistant",
    "content": None,
    "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}],
}
GAVE = {"role": "tool", "tool_call_id": "c1", "content": "12 degrees"}


def sent(chat):
    return [(each["role"], each.get("content")) for each in chat.body["messages"]]


def test_a_chat_is_told_by_its_arm_through_a_loop_of_tools(serve, server, openai_of):
    serving = serve(small="say@text=Warm", extra=LADDER)
    ask = openai_of(serving).chat.completions.create
    turn = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "How warm is it?"}]
    ask(model="small:low", messages=turn, tools=[TOOL])
    ask(model="small:low", messages=[*turn, CALL, GAVE], tools=[TOOL])
    first, loop = map(sent, server.chats)
    assert first == [("system", "Be brief.\n\nBe kind."), ("user", "Q: How warm is it?")]
    assert loop[:2] == first
    assert loop[3] == ("tool", "12 degrees")
    logged = serving.rows("SELECT system, prompt FROM requests")
    assert logged[0].system == "Be kind."
    assert logged[0].prompt == "How warm is it?"  # the program's own words, as it would say them again
    held = serving.rows("SELECT reserved_nano, charged_nano FROM reservations")
    assert all(each.charged_nano <= each.reserved_nano for each in held)
    assert len({each.instructions for each in serving.rows("SELECT instructions FROM attempts")} - {None}) == 1


@pytest.mark.parametrize(
    ("model", "effort", "arm"),
    [
        ("small:high", None, "small:high"),
        ("small", "high", "small:high"),
        ("small", "low", "small:low"),
        ("say@text=Warm", "high", "small:high"),
        ("say@text=Warm", None, "small:low"),
    ],
)
def test_a_model_is_asked_at_the_effort_that_is_wished_for(serve, server, openai_of, model, effort, arm):
    serving = serve(small="say@text=Warm", extra=LADDER)
    more = {} if effort is None else {"reasoning_effort": effort}
    reply = openai_of(serving).chat.completions.create(
        model=model, messages=[{"role": "user", "content": "Hi"}], **more
    )
    assert reply.model == arm
    assert server.chats[0].body["reasoning_effort"] == arm.partition(":")[2]
    assert {each.id for each in openai_of(serving).models.list()} >= {"small:low", "small:high"}


def test_a_ladders_name_alone_is_no_model(serve, openai_of):
    serving = serve(small="ok", extra=LADDER)
    with pytest.raises(openai.NotFoundError, match="small has efforts: take one of small:low, small:high"):
        openai_of(serving).chat.completions.create(model="small", messages=[{"role": "user", "content": "Hi"}])
