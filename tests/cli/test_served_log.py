"""A program's conversation in the log: listed, shown, rated, asked again, and partly forgotten."""

import json
import random
import time

import pytest

from scrimp.profiles.paths import paths
from scrimp.routing.asking.log_rows import request_row
from scrimp.routing.asking.request import Ask
from scrimp.routing.deciding.decide import Decider, Wishes
from scrimp.routing.ledger.store import open_ledger
from scrimp.routing.prices.table import PriceTable
from scrimp.routing.prompts.chat import Chat
from scrimp.routing.prompts.chat_log import After
from scrimp.routing.prompts.embedding import Embedder
from scrimp.routing.prompts.prompt import prompt_of_chat
from scrimp.routing.router.tier_prior import TierPrior

TOOL = {"type": "function", "function": {"name": "read_file", "parameters": {"type": "object"}}}
CALL = {"id": "c1", "type": "function", "function": {"name": "read_file", "arguments": '{"path": "a.py"}'}}
FIRST = ({"role": "system", "content": "be brief"}, {"role": "user", "content": "Mend a.py"})
LOOP = (
    *FIRST,
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "c1", "content": "x = 1"},
)


@pytest.fixture
def path(profile, scrimp, home):
    """Write a profile, and a conversation of two requests as `serve` logs them."""
    from scrimp.profiles.load import load_profile

    path = profile(small="ok", large="ok")
    path.write_text(path.read_text().replace('"pdf"]', '"pdf", "tools"]'))
    found = paths({"SCRIMP_HOME": str(home)})
    loaded = load_profile(str(path), env={}, cwd=path.parent, paths=found).profile
    decider = Decider(loaded, PriceTable(b"{}", "0"), TierPrior(), Embedder())
    (context,) = decider.contexts(["Mend a.py"])
    with open_ledger(found.ledger) as ledger:
        for name, messages, after in (("01aaaa-one", FIRST, None), ("01bbbb-two", LOOP, After("01aaaa-one", 1))):
            prompt = prompt_of_chat(Chat(messages, (TOOL,)))
            decision = decider.decide(
                prompt, decider.predict([context]), Wishes(arm="small"), decision_id=name, rng=random.Random(0)
            )
            ask = Ask(prompt, Wishes(), command="serve", conversation_id="01aaaa-one", after=after)
            with ledger.transaction():
                row = request_row(ask, decision, context, time.time() - (after is None))
                ledger.insert("requests", {**row, "arm": "small", "status": "ok", "answer": "It is mended."})
    return path


def told(request):
    """The messages that arrived; an empty content that LiteLLM leaves out is put back."""
    return [{"content": None, **message} for message in request.body["messages"]]


def test_a_conversation_is_listed_and_shown(scrimp, path):
    rows = json.loads(scrimp("log", "--json").out)["rows"]
    assert [row["prompt"] for row in rows] == ["[read_file gave] x = 1", "Mend a.py"]
    shown = scrimp("log", "show", "01bbbb").out
    assert "after 01aaaa-one:" in shown
    assert 'assistant: read_file({"path": "a.py"})' in shown
    assert "tool: x = 1" in shown
    first = scrimp("log", "show", "01aaaa").out
    assert "prompt:\ntools: 1 offered\nuser: Mend a.py" in first
    kept = json.loads(scrimp("log", "show", "01bbbb", "--json").out)["messages"]
    assert kept["messages"] == [*LOOP[2:]]


def test_a_request_of_it_is_rated(scrimp, path):
    assert scrimp("rate", "01bbbb", "bad").code == 0
    assert "label: 0 for small" in scrimp("log", "show", "01bbbb").out


def test_a_request_of_it_is_asked_again_whole(scrimp, path, server):
    done = scrimp("redo", "01bbbb", "-m", "large", "-p", path)
    assert done.code == 0, done.err
    (sent,) = server.chats
    assert told(sent) == [*LOOP]
    (newest, *_) = json.loads(scrimp("log", "--json").out)["rows"]
    assert (newest["command"], newest["arm"]) == ("redo", "large")
    assert scrimp("redo", newest["id"], "-m", "small", "-p", path).code == 0
    assert told(server.chats[1]) == [*LOOP]


def test_what_it_went_on_from_is_forgotten(scrimp, path, server):
    assert scrimp("log", "rm", "01aaaa", "--yes").code == 0
    done = scrimp("redo", "01bbbb", "-m", "large", "-p", path)
    assert done.code == 2
    assert "goes on from 01aaaa-one, which is not in the log any more" in done.err
    assert server.chats == []
