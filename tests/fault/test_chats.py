"""Chats with tools through the one way for money: settled by their usage, logged as answers, never bought twice."""

import asyncio
import json
import random
import sqlite3

import pytest

from scrimp.profiles.errors import ProviderError
from scrimp.profiles.keys import Keys
from scrimp.profiles.load import load_profile
from scrimp.profiles.paths import paths
from scrimp.routing.asking.awaiting import AwaitingHands, begin_scribe
from scrimp.routing.asking.home import Home
from scrimp.routing.asking.request import Ask, Way
from scrimp.routing.asking.workspace import Workspace
from scrimp.routing.calls.call import TextDelta, ToolDelta
from scrimp.routing.calls.dispatch import aclose
from scrimp.routing.calls.tool_calls import gathered
from scrimp.routing.deciding.decide import Wishes
from scrimp.routing.prompts.chat import Chat
from scrimp.routing.prompts.prompt import prompt_of_chat

# As `prepare` does for a process; pytest makes its own filters for each test.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Pydantic serializer warnings"),
    pytest.mark.filterwarnings("ignore:Items? .*`ReadOnly`:UserWarning"),
]

PROFILE = """
name = "chats"
[caps]
per_day_usd = 1.0
[policy]
explore = 0.0
[[arms]]
name = "small"
model = "{model}"
api_base = "{base}"
tier = "small"
tags = ["tools"]
max_output_tokens = 300
timeout_s = 10
context_window = 100000
price = {{ input_usd_per_mtok = 1, output_usd_per_mtok = 4{more} }}
"""
WEATHER = {
    "type": "function",
    "function": {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}},
}
USER = {"role": "user", "content": "Bern?"}
WAYS = ("blocking", "awaiting", "streaming")
every_way = pytest.mark.parametrize("way", WAYS)


class Talk:
    """A workspace over one arm, and what came of chats in it."""

    def __init__(self, folder, base, model, more=""):
        file = folder / "chats.toml"
        file.write_text(PROFILE.format(model=model, base=base, more=more))
        self.home = Home(paths())
        self.ledger = self.home.ledger()
        loaded = load_profile(str(file), env={}, cwd=folder, paths=paths())
        self.said = []
        self.space = Workspace.open(
            loaded.profile, paths(), self.ledger, Keys({}, paths()), say=self.said.append, rng=random.Random(1)
        )

    def ask(self, way, *messages, tools=(WEATHER,), **more):
        """Return the answer, and the pieces that were heard of it."""
        ask = Ask(prompt_of_chat(Chat(messages, tools, **more)), Wishes())
        (context,) = self.space.decider.contexts([ask.prompt.text])
        heard = []
        if way == "blocking":
            decision, plan = self.space.choose(ask, context, Way())
            return self.space.run(ask, decision, context, plan).answer, heard

        async def go():
            scribe = begin_scribe(self.ledger)
            try:
                decision, plan = await self.space.achoose(ask, context, Way())
                hear = (lambda delta, _arm: heard.append(delta)) if way == "streaming" else None
                hands = AwaitingHands(self.space, ask, scribe, hear)
                done = await self.space.arun(ask, decision, context, plan, hands=hands)
                return done.answer
            finally:
                await aclose()
                await asyncio.to_thread(scribe.close)

        return asyncio.run(go()), heard

    def rows(self, table):
        with sqlite3.connect(self.home.paths.ledger) as db:
            db.row_factory = sqlite3.Row
            return [dict(row) for row in db.execute(f"SELECT * FROM {table}")]

    def close(self):
        self.ledger.close()


@pytest.fixture
def talk(home, tmp_path, server):
    """Return a function that opens a workspace over an arm of the loopback server."""
    opened = []

    def make(model, more="", base=server.base_url):
        opened.append(Talk(tmp_path, base, model, more))
        return opened[-1]

    yield make
    for each in opened:
        each.close()


@every_way
def test_a_call_of_tools_is_an_answer(talk, server, way):
    chat = talk("openai/tools@calls=2")
    answer, heard = chat.ask(way, USER)
    assert (answer.text, answer.finish_reason, answer.cost_status) == ("", "tool_calls", "settled")
    assert [call.name for call in answer.tool_calls] == ["weather", "weather"]
    assert "the answer is empty" not in answer.notes
    assert answer.total_charged_nano == server.cost_nano > 0
    (request,), (held,), (attempt,) = chat.rows("requests"), chat.rows("reservations"), chat.rows("attempts")
    assert (request["status"], held["status"], held["charged_nano"]) == ("ok", "settled", server.cost_nano)
    assert attempt["finish_reason"] == "tool_calls"
    assert json.loads(request["answer"]) == [call.to_dict() for call in answer.tool_calls]
    assert request["answer"].startswith('[{"id":"call_')
    if way == "streaming":
        assert gathered(each for each in heard if isinstance(each, ToolDelta)) == answer.tool_calls

    results = [{"role": "tool", "tool_call_id": call.id, "content": "rain"} for call in answer.tool_calls]
    called = {"role": "assistant", "content": None, "tool_calls": [call.to_dict() for call in answer.tool_calls]}
    last, heard = chat.ask(way, USER, called, *results)
    assert (last.text, last.tool_calls, last.finish_reason) == ("rain\nrain", (), "stop")
    assert last.total_charged_nano + answer.total_charged_nano == server.cost_nano
    if way == "streaming":
        assert "".join(each.text for each in heard if isinstance(each, TextDelta)) == "rain\nrain"


@every_way
def test_a_text_before_the_call_is_what_is_kept(talk, way):
    chat = talk("openai/tools@text=Let_me_look")
    answer, _ = chat.ask(way, USER)
    assert (answer.text, len(answer.tool_calls)) == ("Let me look", 1)
    assert chat.rows("requests")[0]["answer"] == "Let me look"


@every_way
def test_a_call_without_usage_is_charged_at_its_bound(talk, way):
    chat = talk("openai/tools@usage=none")
    answer, _ = chat.ask(way, USER)
    (held,) = chat.rows("reservations")
    assert (answer.cost_nano, answer.cost_status) == (None, "unverified")
    assert answer.charged_nano == held["charged_nano"] == held["reserved_nano"]


@every_way
def test_a_call_that_is_cut_is_charged_and_not_bought_again(talk, server, way):
    chat = talk("openai/cut-tools")
    with pytest.raises(ProviderError):
        chat.ask(way, USER)
    assert len(server.chats) == 1
    (held,), (request,) = chat.rows("reservations"), chat.rows("requests")
    assert held["charged_nano"] == held["reserved_nano"] >= server.cost_nano
    assert request["status"] == "failed"
    assert "weather" in request["answer"] if way == "streaming" else request["answer"]


def test_tools_are_part_of_what_is_reserved(talk):
    """A tool's description is input: the more of it, the higher the bound."""
    chat = talk("openai/tools")
    wordy = {"type": "function", "function": WEATHER["function"] | {"description": "word " * 2000}}
    chat.ask("blocking", USER)
    chat.ask("blocking", USER, tools=(wordy,))
    short, long = (held["reserved_nano"] for held in chat.rows("reservations"))
    assert long > short + 1000 * 2000


@pytest.mark.parametrize(("more", "n"), [(", cache_write_usd_per_mtok = 1.25", 3), ("", 0)])
def test_caches_are_asked_for_where_their_price_is_known(talk, server, more, n):
    """And then the bound holds what writing to them costs."""
    chat = talk("anthropic/claude-sonnet-4-5", more, base=server.url)
    called = {"role": "assistant", "content": "Sun.", "tool_calls": []}
    usage = {"input_tokens": 2, "output_tokens": 5, "cache_creation_input_tokens": 900, "cache_read_input_tokens": 0}
    reply = {"id": "x", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5", "stop_reason": "end_turn",
             "content": [{"type": "text", "text": "Rain."}], "usage": usage}  # fmt: skip
    server.can("/v1/messages", "application/json", json.dumps(reply).encode())
    system = {"role": "system", "content": "word " * 900}
    answer, _ = chat.ask("blocking", system, USER, called, USER)
    assert json.dumps(server.requests[-1].body).count("cache_control") == n
    (held,) = chat.rows("reservations")
    assert answer.charged_nano == 2 * 1000 + 900 * (1250 if n else 1000) + 5 * 4000 <= held["reserved_nano"]
