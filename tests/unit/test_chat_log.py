"""Conversations in the log: what is new of each request, and the whole put together again."""

import json
import random

import pytest

from scrimp.profiles.errors import UsageError
from scrimp.profiles.schema import Arm, Profile
from scrimp.routing.asking.again import redo_request
from scrimp.routing.asking.log_rows import request_row
from scrimp.routing.asking.request import Ask
from scrimp.routing.deciding.decide import Decider, Wishes
from scrimp.routing.ledger.labels import add_label
from scrimp.routing.ledger.requests import auditable, by_id, checked, conversation_to, export, features, find
from scrimp.routing.ledger.store import open_ledger
from scrimp.routing.prices.table import PriceTable
from scrimp.routing.prompts.chat import Chat
from scrimp.routing.prompts.chat_log import After, Lost, columns, lines, rebuilt
from scrimp.routing.prompts.prompt import prompt_of_chat
from scrimp.routing.reports.log import show_request
from scrimp.routing.router.tier_prior import TierPrior

TOOL = {"type": "function", "function": {"name": "read_file", "parameters": {"type": "object"}}}
CALL = {"id": "c1", "type": "function", "function": {"name": "read_file", "arguments": '{"path": "a.py"}'}}
BRIEF = {"role": "system", "content": "be brief"}
ASKED = {"role": "user", "content": "Mend a.py"}
CALLS = {"role": "assistant", "content": None, "tool_calls": [CALL]}
GAVE = {"role": "tool", "tool_call_id": "c1", "content": "x = 1\n" * 500}
DONE = {"role": "assistant", "content": "It is mended."}
MORE = {"role": "user", "content": "And b.py"}
PNG = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}

TURNS = (
    ("r1", Chat((BRIEF, ASKED), (TOOL,)), None),
    ("r2", Chat((BRIEF, ASKED, CALLS, GAVE), (TOOL,)), After("r1", 1)),
    ("r3", Chat((BRIEF, ASKED, CALLS, GAVE, DONE, MORE), (TOOL,), "required"), After("r2", 3)),
)

PROFILE = Profile(
    name="test",
    arms=[Arm(name=tier, model=f"openai/{tier}", tier=tier, price=None, tags=["tools"]) for tier in ("small", "large")],
)


def kept(request_id, chat, after):
    return {"id": request_id, **columns(chat, after)}


class Zeros:
    id = "zeros"

    def embed(self, texts):
        import numpy as np

        return np.zeros((len(texts), 384), dtype=np.float32)


@pytest.fixture
def ledger(tmp_path):
    with open_ledger(tmp_path / "scrimp.db") as ledger:
        yield ledger


@pytest.fixture
def log(ledger):
    """Write a served request and its answer, as `serve` does."""
    decider = Decider(PROFILE, PriceTable(b"{}", "0"), TierPrior(), Zeros())

    def write(
        request_id, chat, after=None, *, answer="ok", keep="all", conversation="r1", command="serve", own_format=None
    ):
        prompt = prompt_of_chat(chat, own_format=own_format)
        (context,) = decider.contexts([prompt.text])
        decision = decider.decide(
            prompt, decider.predict([context]), Wishes(arm="small"), decision_id=request_id, rng=random.Random(0)
        )
        ask = Ask(prompt, Wishes(), command=command, conversation_id=conversation, after=after, keep=keep)
        row = request_row(ask, decision, context, 0.0)
        with ledger.transaction():
            ledger.insert(
                "requests", {**row, "arm": "small", "status": "ok", "answer": answer if keep == "all" else None}
            )

    return write


def test_only_what_is_new_is_kept():
    first, second, third = (kept(*turn) for turn in TURNS)
    assert (first["system"], first["prompt"]) == ("be brief", "Mend a.py")
    assert json.loads(first["messages"]) == {"messages": [ASKED], "tools": [TOOL]}
    assert second["system"] is None
    assert json.loads(second["messages"]) == {"in_tool_loop": True, "after": "r1", "messages": [CALLS, GAVE]}
    assert json.loads(third["messages"]) == {"after": "r2", "messages": [DONE, MORE], "tool_choice": "required"}
    assert third["prompt"] == "And b.py"


def test_what_a_tool_gave_is_shortened_where_it_stands_for_the_request():
    prompt = kept(*TURNS[1])["prompt"]
    assert prompt.startswith("[read_file gave] x = 1\n")
    assert prompt.endswith("… (3,000 characters)")
    assert len(prompt) < 500


def test_it_is_put_together_again():
    rows = [kept(*turn) for turn in TURNS]
    for n, (_, chat, after) in enumerate(TURNS, start=1):
        assert rebuilt(rows[:n]) == (chat, after)


def test_one_message_is_kept_as_any_prompt():
    row = kept("r", Chat((BRIEF, ASKED)), None)
    assert row == {"id": "r", "system": "be brief", "prompt": "Mend a.py", "attachments": None, "messages": None}
    for chat in (
        Chat((ASKED,), (TOOL,)),
        Chat((ASKED, DONE, MORE)),
        Chat(({"role": "user", "content": "<system-reminder>x</system-reminder>Mend"},)),
        Chat(({"role": "user", "content": [{"type": "text", "text": "?"}, PNG]},)),
    ):
        assert kept("r", chat, None)["messages"] is not None


def test_instructions_and_tools_that_change_are_kept_anew():
    other = {"role": "system", "content": "be long"}
    changed = Chat((other, ASKED, CALLS, GAVE), (TOOL, TOOL))
    rows = [kept(*TURNS[0]), kept("r2", changed, After("r1", 1, system=False, tools=False))]
    assert rebuilt(rows)[0] == changed
    bare = Chat((ASKED, CALLS, GAVE))
    assert rebuilt([rows[0], kept("r2", bare, After("r1", 1, system=False, tools=False))])[0] == bare


def test_what_the_log_holds_of_a_conversation_grows_with_its_length_not_its_square():
    messages, rows, after = [BRIEF], [], None
    for n in range(200):
        messages += [{"role": "user", "content": f"{n} " + "word " * 100}]
        rows.append(kept(f"r{n}", Chat(tuple(messages), (TOOL,) * 20), after))
        after = After(f"r{n}", len(messages) - 1)
        messages += [{"role": "assistant", "content": "word " * 100}]
    size = sum(len(json.dumps(row)) for row in rows)
    assert size < 2.5 * len(json.dumps(messages))
    assert rebuilt(rows)[0].messages == tuple(messages[:-1])


def test_images_are_described_and_not_kept():
    chat = Chat(({"role": "user", "content": [{"type": "text", "text": "What is it?"}, PNG]},))
    row = kept("r", chat, None)
    (described,) = json.loads(row["attachments"])
    assert (described["media_type"], described["n_bytes"]) == ("image/png", 8)
    assert "iVBOR" not in row["messages"]
    with pytest.raises(Lost, match="image"):
        rebuilt([row])
    far = Chat(({"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://e.org/a.png"}}]},))
    assert kept("r", far, None)["attachments"] is None
    assert rebuilt([kept("r", far, None)])[0] == far


def test_a_request_of_a_conversation_is_asked_again_whole(ledger, log):
    for turn in TURNS:
        log(*turn)
    ask = redo_request(find(ledger, "r3"), PROFILE, ledger=ledger, arm="large")
    assert ask.prompt.chat == TURNS[2][1]
    assert ask.prompt.messages() == [dict(each) for each in TURNS[2][1].messages]
    assert (ask.after, ask.redo_of, ask.conversation_id) == (After("r2", 3), "r3", "r1")
    again = {"id": "r4", **columns(ask.prompt.chat, ask.after)}
    assert rebuilt([*conversation_to(ledger, find(ledger, "r2")), again])[0] == TURNS[2][1]


def test_the_form_of_the_answer_is_asked_for_again(ledger, log):
    form = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}}
    log("j1", Chat((BRIEF, ASKED)), own_format=form)
    ask = redo_request(find(ledger, "j1"), PROFILE, ledger=ledger, arm="large")
    assert ask.response_format == ask.prompt.own_format == form
    assert ask.prompt.required == {"json"}
    assert ask.prompt.chat == Chat((BRIEF, ASKED))


def test_what_cannot_be_put_together_again_says_why(ledger, log):
    log(*TURNS[1])
    with pytest.raises(UsageError, match="goes on from r1, which is not in the log"):
        redo_request(find(ledger, "r2"), PROFILE, ledger=ledger, arm="large")
    shown = Chat(({"role": "user", "content": [{"type": "text", "text": "?"}, PNG]},))
    log("i1", shown)
    with pytest.raises(UsageError, match="attachments"):
        redo_request(find(ledger, "i1"), PROFILE, ledger=ledger, arm="large")
    log("i2", Chat((*shown.messages, DONE, MORE)), After("i1", 1))
    with pytest.raises(UsageError, match="an image or a file is in it"):
        redo_request(find(ledger, "i2"), PROFILE, ledger=ledger, arm="large")


def test_one_prompt_of_a_program_is_asked_again_as_any(ledger, log):
    log("r1", Chat((BRIEF, ASKED)))
    ask = redo_request(find(ledger, "r1"), PROFILE, ledger=ledger, arm="large")
    assert (ask.prompt.text, ask.prompt.system, ask.prompt.chat) == ("Mend a.py", "be brief", None)


@pytest.mark.parametrize("keep", ["features", "money"])
def test_nothing_of_text_is_kept_where_the_profile_says_so(ledger, log, keep):
    log(*TURNS[2], keep=keep)
    row = find(ledger, "r3")
    assert [row[name] for name in ("system", "prompt", "messages", "attachments", "schema")] == [None] * 5


def test_only_single_prompts_of_programs_are_audited_and_checked(ledger, log):
    log("plain", Chat((BRIEF, ASKED)))
    for turn in TURNS:
        log(*turn)
    log("again", *TURNS[2][1:], command="redo")
    for name in ("plain", "r1", "r2", "r3", "again"):
        add_label(ledger, request_id=name, arm="small", reward=1.0, source="check", at="2026-01-01")
    assert [row["id"] for row in auditable(ledger, "test", ["small"], last=9)] == ["plain"]
    assert [row["id"] for row in checked(ledger, "test", last=9)] == ["plain"]


def test_learning_does_not_take_what_a_tool_gave_for_a_prompt(ledger, log):
    for turn in TURNS:
        log(*turn)
    found = {row["id"]: row for row in features(ledger, "test")}
    assert [found[name]["prompt"] for name in ("r1", "r2", "r3")] == ["Mend a.py", None, "And b.py"]
    assert found["r2"]["embedding"] is not None
    assert by_id(ledger, ["r2"])["r2"]["prompt"].startswith("[read_file gave]")


def test_it_reads_well(ledger, log):
    for turn in TURNS:
        log(*turn)
    shown = show_request(ledger, "r2")
    before, new = shown.conversation
    assert before == "r1"
    assert new[0] == 'assistant: read_file({"path": "a.py"})'
    assert new[1].startswith("tool: x = 1 x = 1")
    assert show_request(ledger, "r1").conversation == (None, ["tools: 1 offered", "user: Mend a.py"])
    assert shown.to_dict()["messages"]["after"] == "r1"
    image = kept("i", Chat(({"role": "user", "content": [{"type": "text", "text": "?"}, PNG]},)), None)
    assert lines(image) == ["user: ? (image/png)"]
    assert [row["messages"] and row["messages"].get("after") for row in export(ledger)] == [None, "r1", "r2"]
