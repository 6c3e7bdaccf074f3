"""Conversations of programs through the whole service: who answers, what is sent, and what the log holds of it."""

import asyncio
import json
import random

import pytest

from scrimp.profiles.keys import Keys
from scrimp.profiles.load import load_profile
from scrimp.profiles.paths import paths
from scrimp.routing.asking.again import redo_request
from scrimp.routing.asking.workspace import Workspace
from scrimp.routing.ledger.requests import find
from scrimp.routing.ledger.store import open_ledger
from scrimp.routing.prompts.chat import Chat
from scrimp.routing.serving.service import Asking, Service, message_of
from scrimp.routing.serving.shapes.shape import Wanted

TOOL = {
    "type": "function",
    "function": {
        "name": "read_file",
        "description": "Read one.",
        "parameters": {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]},
    },
}
BRIEF = {"role": "system", "content": "be brief"}


@pytest.fixture
def service(profile, home):
    """A service over the loopback server, without its door: `talk(messages, ...)` returns the answer."""
    opened = []

    def start(*, keep="all", **behaviours):
        path = profile(extra=f'[log]\nkeep = "{keep}"\n[policy]\nexplore = 0.0\n', **behaviours)
        path.write_text(path.read_text().replace('"pdf"]', '"pdf", "tools"]'))
        found = paths({"SCRIMP_HOME": str(home)})
        loaded = load_profile(str(path), env={}, cwd=path.parent, paths=found).profile
        ledger = open_ledger(found.ledger)
        space = Workspace.open(loaded, found, ledger, Keys({}, found), say=lambda _line: None, rng=random.Random(0))
        opened.append(ledger)
        return Service(lambda: space, lambda: 0)

    yield start
    for ledger in opened:
        ledger.close()


async def talk(service, *messages, tools=(), model="scrimp", session=None):
    wanted = Wanted(Chat(messages, tools), model, session=session)
    return (await service.answer(wanted, Asking(), None)).answer


def going(service, steps):
    """Run the steps of a conversation in one event loop, and close the service."""

    async def run():
        try:
            return await steps()
        finally:
            await service.close()

    return asyncio.run(run())


def test_a_tool_loop_stays_on_its_arm_and_is_logged_by_what_is_new(service, server):
    serve = service(small="tools", large="tools")

    async def steps():
        asked = [BRIEF, {"role": "user", "content": "Mend a.py, please, and say what was wrong"}]
        first = await talk(serve, *asked, tools=(TOOL,), model="large")  # asked for by name once
        (call,) = first.tool_calls
        loop = [*asked, message_of(first), {"role": "tool", "tool_call_id": call.id, "content": "x = 1"}]
        second = await talk(serve, *loop, tools=(TOOL,))
        third = await talk(serve, *loop, message_of(second), {"role": "user", "content": "thanks"}, tools=(TOOL,))
        return first, second, third

    first, second, third = going(serve, steps)
    assert (first.arm, second.arm) == ("large", "large")
    assert second.decision.choice.propensity is None
    assert "x = 1" in second.text
    assert {each.conversation_id for each in (first, second, third)} == {first.id}
    ledger = serve.space.ledger
    rows = [find(ledger, each.id) for each in (first, second, third)]
    kept = [json.loads(row["messages"]) for row in rows]
    assert [each.get("after") for each in kept] == [None, first.id, second.id]
    assert [len(each["messages"]) for each in kept] == [1, 2, 2]
    assert ["tools" in each for each in kept] == [True, False, False]
    assert rows[1]["prompt"] == "[read_file gave] x = 1"
    for row, sent in zip(rows, server.chats, strict=True):
        ask = redo_request(row, serve.space.profile, ledger=ledger, arm="small" if row["arm"] == "large" else "large")
        told = [{"content": None, **each} for each in sent.body["messages"]]
        assert [{"content": None, **each} for each in ask.prompt.messages()] == told
        assert sent.body["tools"] == [TOOL]


def test_conversations_side_by_side_stay_apart(service, server):
    serve = service(small="echo", large="echo")

    async def one(n):
        said = [BRIEF, {"role": "user", "content": f"count from {n % 4}"}]
        ids = set()
        for turn in range(4):
            answer = await talk(serve, *said, session=f"s{n}")
            ids.add(answer.conversation_id)
            said += [message_of(answer), {"role": "user", "content": f"{n} goes on with {turn}"}]
        return ids

    async def steps():
        return await asyncio.gather(*(one(n) for n in range(12)))

    found = going(serve, steps)
    assert all(len(ids) == 1 for ids in found)
    assert len(set.union(*found)) == 12


@pytest.mark.parametrize("keep", ["features", "money"])
def test_nothing_of_a_conversation_is_kept_where_the_profile_says_so(service, server, home, keep):
    serve = service(small="ok", keep=keep)

    async def steps():
        said = [{"role": "user", "content": "okapiprompt"}]
        first = await talk(serve, *said)
        return await talk(serve, *said, message_of(first), {"role": "user", "content": "quaggaprompt"})

    going(serve, steps)
    for path in home.rglob("scrimp.db*"):
        assert b"okapiprompt" not in path.read_bytes()
        assert b"quaggaprompt" not in path.read_bytes()
