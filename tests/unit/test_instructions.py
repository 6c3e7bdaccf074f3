"""What an arm is told: around a prompt, in a chat, in a loop of tools, and in the bound of what is read."""

import contextlib
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scrimp.profiles.schema import Arm
from scrimp.routing.prompts.chat import Chat, text_of
from scrimp.routing.prompts.instructions import copies, dressed, instructions_id
from scrimp.routing.prompts.prompt import Prompt, Turn, prompt_of_chat
from scrimp.routing.prompts.tokens import bound_tokens, estimate_tokens

CALL = {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": "{}"}}]}
GAVE = {"role": "tool", "tool_call_id": "1", "content": "42"}


def arm(**told):
    return Arm(name="a", model="openai/gpt-5-mini", **told)


def user(text):
    return {"role": "user", "content": text}


def chat(*messages, **told):
    prompt = prompt_of_chat(Chat(tuple(messages)))
    return dressed(prompt, arm(**told)).messages()


def test_an_arm_that_is_told_nothing_asks_as_it_was_asked():
    prompt = Prompt("Why?")
    assert dressed(prompt, arm(about="why")) is prompt
    assert instructions_id(arm(about="why")) is None


def test_instructions_are_told_apart():
    texts = [{"system": "a"}, {"prompt": "a"}, {"system": "ab"}, {"system": "a", "prompt": "b"}, {"system": "b"}]
    assert len({instructions_id(arm(**each)) for each in texts}) == len(texts)
    assert instructions_id(arm(system="a")) == instructions_id(Arm(name="z", model="other", system="a"))
    assert len(instructions_id(arm(system="a"))) == 16


def test_the_system_text_stands_first_and_the_template_around_the_last_turn():
    prompt = Prompt("Why?", system="Be kind.", history=(Turn("Hi", "Hello"),))
    told = dressed(prompt, arm(system="Be brief.", prompt="Q: {{input}}\nA:")).messages()
    assert [each["content"] for each in told] == ["Be brief.\n\nBe kind.", "Hi", "Hello", "Q: Why?\nA:"]
    assert dressed(Prompt("x {{input}} y"), arm(prompt="{{input}}!{{input}}")).text == "x {{input}} y!x {{input}} y"


def test_what_is_embedded_stays_the_users_own_text():
    prompt = prompt_of_chat(Chat((user("Why?"),)))
    assert dressed(prompt, arm(prompt="Q: {{input}}")).text == "Why?"


def test_a_chats_own_instructions_come_after_the_arms_in_one_message():
    own = {"role": "developer", "content": "Be kind."}
    assert chat(own, user("Why?"), system="Be brief.")[0] == {"role": "developer", "content": "Be brief.\n\nBe kind."}
    parts = {"role": "system", "content": [{"type": "text", "text": "Kind", "cache_control": {"type": "ephemeral"}}]}
    told = chat(parts, user("Why?"), system="Be brief.")
    assert told[0]["content"] == [{"type": "text", "text": "Be brief."}, parts["content"][0]]
    assert chat(user("Why?"), system="Be brief.")[0] == {"role": "system", "content": "Be brief."}
    assert chat({"role": "system", "content": None}, system="Be brief.")[0]["content"] == "Be brief."


def test_parts_keep_their_places_and_marks():
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    mark = {"cache_control": {"type": "ephemeral"}}
    said = [{"type": "text", "text": "one"}, image, {"type": "text", "text": "two", **mark}]
    told = chat(user(said), prompt="<{{input}}>")[0]["content"]
    assert told == [{"type": "text", "text": "<one"}, image, {"type": "text", "text": "two>", **mark}]
    assert said[0]["text"] == "one"  # what the program holds is not changed
    twice = chat(user(said), prompt="<{{input}}|{{input}}>")[0]["content"]
    assert twice[-1]["text"] == "two|one\n\ntwo>"
    assert chat(user([image]), prompt="Look: {{input}}.")[0]["content"] == [{"type": "text", "text": "Look: ."}, image]


def test_in_a_loop_of_tools_the_turn_that_began_it_stays_as_it_was_sent():
    template = "Think.\n{{input}}"
    first = chat(user("Old"), {"role": "assistant", "content": "Yes"}, user("How warm?"), prompt=template)
    loop = (user("Old"), {"role": "assistant", "content": "Yes"}, user("How warm?"), CALL, GAVE)
    for more in ((), (user("<system-reminder>Stay</system-reminder>"),), (user("One"), user("Two")), (CALL, GAVE)):
        told = chat(*loop, *more, prompt=template)
        assert told[:3] == first
        assert told[3:] == [CALL, GAVE, *more]
    after = chat(*loop, {"role": "assistant", "content": "Warm"}, user("Thanks"), prompt=template)
    assert [text_of(each["content"]) for each in after if each["role"] == "user"] == [
        "Old", "How warm?", "Think.\nThanks",
    ]  # fmt: skip


def test_a_chat_without_a_users_turn_is_left_as_it_is():
    assert chat({"role": "assistant", "content": "Hi"}, prompt="Q: {{input}}") == [
        {"role": "assistant", "content": "Hi"}
    ]


def test_a_chat_is_told_once_for_all_that_ask():
    prompt, who = prompt_of_chat(Chat((user("Why?"),))), arm(system="Be brief.")
    assert dressed(prompt, who).chat is dressed(prompt, who).chat
    assert dressed(prompt, arm(system="Be long.")).chat is not dressed(prompt, who).chat


texts = st.text(st.characters(codec="utf-8"), max_size=40)
templates = st.lists(texts.filter(lambda text: "{{input}}" not in text), min_size=2, max_size=4).map("{{input}}".join)


@given(texts, texts.filter(str.strip) | st.none(), templates | st.none())
def test_every_text_that_is_told_is_in_the_bound(asked, system, template):
    who = arm(system=system, prompt=template)
    for prompt in (Prompt(asked), prompt_of_chat(Chat((user(asked), CALL, GAVE)))):
        told = dressed(prompt, who)
        assert bound_tokens(told, who.model, None) >= bound_tokens(prompt, who.model, None)
        assert estimate_tokens(told) >= estimate_tokens(prompt)
        sent = "".join(text_of(each.get("content")) for each in told.messages())
        assert len(sent.encode()) <= bound_tokens(told, who.model, None)
        if system is not None:
            assert system in sent
        if template is not None:
            assert asked.join(template.split("{{input}}")) in sent
            assert copies(who) == template.count("{{input}}")


@pytest.mark.parametrize("role", ["ask", "sample", "judge", "merge", "lead", "bid", "drop", "feedback"])
def test_who_answers_the_request_is_told(role):
    from scrimp.routing.strategies.protocol import Role

    assert Role(role).answers == (role in ("ask", "sample", "merge"))


def test_a_request_that_goes_on_is_bound_by_what_its_arm_is_told_now():
    """It was decided by a process that was killed; the text in the profile has grown since."""
    import random
    from decimal import Decimal

    from scrimp.profiles.schema import Price, Profile
    from scrimp.routing.asking.asked import Asked, Kit
    from scrimp.routing.asking.paid_call import Halted, Reserve
    from scrimp.routing.asking.plan_run import plan_run
    from scrimp.routing.asking.request import Ask
    from scrimp.routing.deciding.decide import Decider, Wishes
    from scrimp.routing.plans.plan import Plan, Stage
    from scrimp.routing.prices.table import PriceTable
    from scrimp.routing.router.tier_prior import TierPrior

    class Embedder:
        id = "zeros"

        def embed(self, texts):
            return np.zeros((len(texts), 4), dtype=np.float32)

    def decider(**told):
        price = Price(input_usd_per_mtok=Decimal(1), output_usd_per_mtok=Decimal(4))
        arms = (Arm(name="a", model="openai/x", api_base="http://127.0.0.1:1/v1", price=price, **told),)
        profile = Profile(name="p", arms=arms, default_arm="a")
        return Decider(profile, PriceTable(b"{}", "test"), TierPrior(), Embedder())

    ask = Ask(Prompt("hello"), Wishes())

    def decided(by):
        predictions = by.predict(by.contexts(["hello"]))
        decision = by.decide(ask.prompt, predictions, ask.wishes, decision_id="d", rng=random.Random(0))
        return replace(decision, by=None)  # as it comes back from a journal

    def reserved(by, decision):
        kit = Kit(by, lambda _arm: None, lambda _arm: 1, timer=lambda: 0.0)
        asked = Asked(ask, decision, None, Plan((Stage(("a",)),)))
        run = plan_run(asked, kit)
        reserve = next(command for command in run if isinstance(command, Reserve))
        with contextlib.suppress(Halted):
            run.throw(Halted())
        return reserve

    before, after = decider(system="Be brief."), decider(system="Be brief. " * 500)
    assert reserved(before, decided(before)).charge.bound_nano == decided(before).choice.taken.bound_nano
    grown = reserved(after, decided(before))
    assert grown.charge.bound_nano == decided(after).choice.taken.bound_nano > decided(before).choice.taken.bound_nano
    assert grown.attempt["input_bound"] == decided(after).choice.taken.input_bound
    assert grown.attempt["instructions"] == instructions_id(after.profile.arms[0])
    assert reserved(before, decided(after)).charge.bound_nano == decided(after).choice.taken.bound_nano
