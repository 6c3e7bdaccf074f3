"""Long chats of programs through the whole service, where it cuts them: what is sent, logged and asked again."""

import asyncio
import json
import random

import pytest

from scrimp.cli.options import Memory
from scrimp.cli.serve import Cut
from scrimp.profiles.keys import Keys
from scrimp.profiles.load import load_profile
from scrimp.profiles.paths import paths
from scrimp.routing.asking.again import redo_request
from scrimp.routing.asking.memory import TIERS
from scrimp.routing.asking.workspace import Workspace
from scrimp.routing.ledger.requests import find
from scrimp.routing.ledger.store import open_ledger
from scrimp.routing.prompts.chat import Chat
from scrimp.routing.serving.cutting import CUTS
from scrimp.routing.serving.service import Asking, Service, message_of
from scrimp.routing.serving.shapes.shape import Wanted

BRIEF = {"role": "system", "content": "be brief"}
FACTS = ["You help a household", "The cat is called Miro", "The rent is 900", *(f"Remark number {n}" for n in range(8))]
WORDS = " and so it goes on for a while in this house" * 18
TOOL = {"type": "function", "function": {"name": "look", "description": "", "parameters": {"type": "object"}}}


@pytest.fixture
def service(profile, home):
    opened = []

    def start(memory):
        path = profile(large="ok@tokens=5", medium="ok", extra="[policy]\nexplore = 0.0\n")
        path.write_text(path.read_text().replace('"pdf"]', '"pdf", "tools"]'))
        found = paths({"SCRIMP_HOME": str(home)})
        loaded = load_profile(str(path), env={}, cwd=path.parent, paths=found).profile
        ledger = open_ledger(found.ledger)
        space = Workspace.open(loaded, found, ledger, Keys({}, found), say=lambda _line: None, rng=random.Random(0))
        opened.append(ledger)
        return Service(lambda: space, lambda: 0, memory=memory)

    yield start
    for ledger in opened:
        ledger.close()


async def talk(service, messages, tools=()):
    return (await service.answer(Wanted(Chat(tuple(messages), tools), "large"), Asking(), None)).answer


def chat():
    messages = [BRIEF]
    for fact in FACTS:
        messages += [{"role": "user", "content": fact + WORDS}, {"role": "assistant", "content": "Noted."}]
    return [*messages, {"role": "user", "content": "What is the cat called?"}]


def going(service, *asked):
    async def run():
        try:
            return [await talk(service, *each) for each in asked]
        finally:
            await service.close()

    return asyncio.run(run())


def test_a_long_chat_is_cut_and_goes_on(service, server):
    serve, messages = service("relevant"), chat()

    async def run():
        first = await talk(serve, messages)
        more = [*messages, message_of(first), {"role": "user", "content": "And the rent?"}]
        try:
            return first, await talk(serve, more)
        finally:
            await serve.close()

    first, second = asyncio.run(run())
    sent = [message["content"] for message in server.chats[0].body["messages"]]
    assert sent[0] == "be brief"
    assert sent[1].startswith("You help a household")
    assert sent[3].startswith("The cat is called Miro")
    assert sent[5].startswith("[7 earlier turns are left out here]\n\nRemark number 6")
    assert sent[7].startswith("Remark number 7")
    assert sent[-1] == "What is the cat called?"
    again = server.chats[1].prompt
    assert "The rent is 900" in again
    assert "What is the cat called?" in again
    assert "Remark number 3" not in again
    assert second.conversation_id == first.id
    for answer, request in zip((first, second), server.chats, strict=True):
        row = find(serve.space.ledger, answer.id)
        note = json.loads(row["memory"])
        assert (note["tier"], note["n_turns"]) == ("relevant", len(FACTS) + (answer is second))
        assert note["n_tokens"] < note["n_all"] / 2
        ask = redo_request(row, serve.space.profile, ledger=serve.space.ledger, arm="medium")
        assert ask.prompt.messages() == request.body["messages"]


def test_nothing_is_cut_unless_asked_for_nor_where_tools_are(service, server):
    for memory, tools in ((None, ()), ("relevant", (TOOL,))):
        (answer,) = going(service(memory), (chat(), tools))
        assert server.chats[-1].body["messages"] == chat()
        assert answer.text


def test_an_endpoint_sums_up_nothing():
    assert [each.value for each in Cut] == list(CUTS)
    assert set(CUTS) < set(TIERS)
    assert [each.value for each in Memory] == list(TIERS)
