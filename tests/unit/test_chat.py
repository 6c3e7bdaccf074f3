"""A program's conversation as a prompt: what the user asked, what it needs, and all that is sent."""

import json
import time

import pytest

from scrimp.routing.calls.whole_prompt import least_tokens
from scrimp.routing.prompts.chat import Chat, speech
from scrimp.routing.prompts.prompt import Prompt, prompt_of_chat
from scrimp.routing.prompts.tokens import bound_tokens, estimate_tokens

READ = {
    "type": "function",
    "function": {"name": "read_file", "description": "Read one.", "parameters": {"type": "object"}},
}
CALL = {"id": "c1", "type": "function", "function": {"name": "read_file", "arguments": '{"path": "a.py"}'}}
IMAGE = {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}
LOOP = (
    {"role": "system", "content": [{"type": "text", "text": "Be brief."}]},
    {"role": "user", "content": [{"type": "text", "text": "Mend a.py", "cache_control": {"type": "ephemeral"}}]},
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "c1", "content": "x = 1"},
)


def said(*messages, **more):
    return prompt_of_chat(Chat(tuple(messages), **more))


def user(content):
    return {"role": "user", "content": content}


def test_a_chat_is_a_prompt_of_what_the_user_said_last():
    prompt = prompt_of_chat(Chat(LOOP, (READ,)), needs=["json"])
    assert (prompt.text, prompt.system) == ("Mend a.py", "Be brief.")
    assert prompt.messages() == [dict(each) for each in LOOP]
    assert prompt.required == {"json", "tools"}
    assert prompt.chat.in_tool_loop
    assert prompt.chat.results == (("read_file", "x = 1"),)


def test_every_text_that_is_sent_is_told():
    odd = {"role": "assistant", "content": [{"type": "refusal", "refusal": "I will not"}], "reasoning_content": "hm"}
    texts = " ".join(Chat((*LOOP, odd), (READ,), {"type": "function", "function": {"name": "chosen"}}).texts())
    for text in ("Be brief.", "Mend a.py", "read_file", '{"path": "a.py"}', "x = 1", "I will not", "hm", "Read one.",
                 "chosen", "c1"):  # fmt: skip
        assert text in texts


@pytest.mark.parametrize(
    ("messages", "tools", "needs"),
    [
        ([user("hello")], (), set()),
        ([user("hello")], (READ,), {"tools"}),
        (LOOP, (), {"tools"}),
        ([user([{"type": "text", "text": "what is it?"}, IMAGE])], (), {"vision"}),
        ([user([{"type": "file", "file": {"file_data": "data:application/pdf;base64,AA=="}}])], (), {"pdf"}),
        ([{"role": "tool", "tool_call_id": "c1", "content": [IMAGE]}], (), {"tools", "vision"}),
    ],
)
def test_what_a_chat_needs_of_an_arm(messages, tools, needs):
    assert said(*messages, tools=tools).required == needs


def test_what_an_agent_wrote_around_it_is_not_what_the_user_said():
    parts = [{"type": "text", "text": "<system-reminder>\nIt is Monday.\n</system-reminder>"}]
    assert said(user([*parts, {"type": "text", "text": "Mend it"}])).text == "Mend it"
    assert speech(parts) == parts[0]["text"], "where there is nothing else, that is it"


def test_saying_something_else_keeps_all_that_came_before_and_what_went_with_it():
    prompt = said(LOOP[0], user("first"), {"role": "assistant", "content": "yes"}, user([IMAGE, LOOP[1]["content"][0]]))
    other = prompt.saying("anew")
    assert other.text == "anew"
    assert other.messages()[:3] == prompt.messages()[:3]
    assert other.messages()[3]["content"] == [{"type": "text", "text": "anew"}, IMAGE]
    assert Prompt("plain", "be brief").saying("anew") == Prompt("anew", "be brief")


def test_a_bound_has_room_for_tools_and_what_a_provider_says_of_them():
    plain, offered = said(user("x")), said(user("x"), tools=(READ, READ))
    room = bound_tokens(offered, "m", None) - bound_tokens(plain, "m", None)
    assert room > 1_000 + 2 * len(json.dumps([READ, READ]))
    assert 300 < estimate_tokens(offered) - estimate_tokens(plain) < 400


@pytest.mark.parametrize("url", ["https://example.org/a.png", "data:image/png;base64,iVBORw0K"])
def test_an_image_counts_the_most_that_the_model_takes_of_one(url):
    part = {"type": "image_url", "image_url": {"url": url, "detail": "high"}}
    none, one = (
        bound_tokens(said(user([{"type": "text", "text": "?"}, *images])), "openai/gpt-4o", None)
        for images in ([], [part])
    )
    assert 3_779 <= one - none <= 3_800
    assert bound_tokens(said(user([{"type": "file", "file": {"file_id": "f"}}])), "m", 9_000) == 9_000
    assert bound_tokens(said(user([{"type": "file", "file": {"file_id": "f"}}])), "m", None) is None


def test_words_of_a_tool_are_counted_as_read_too():
    assert least_tokens(LOOP) == 7
    assert least_tokens([user("-" * 640)]) == 11


@pytest.mark.parametrize("odd", ["", "é日本"])
def test_the_next_turn_of_a_long_conversation_is_counted_at_once(odd):
    """100,000 tokens are told in a few milliseconds: what was counted once is known (of the processor's time, the best of five)."""
    turn = "where is the file that the parser reads its table from? " * 20 + odd
    messages = [{"role": role, "content": f"{n} {turn}"} for n in range(200) for role in ("user", "assistant")]
    raw = json.dumps(messages)
    took = []
    for n in range(6):
        prompt = said(*json.loads(raw), user(f"go on {n}"))
        begun = time.process_time()
        assert estimate_tokens(prompt) > 100_000
        took.append(time.process_time() - begun)
    assert min(took[1:]) < 0.005
