"""What coding agents send beyond what the interfaces' own clients do: the essentials of requests that were captured."""

import json
import urllib.error
import urllib.request

import pytest
from serving.shape_clients import SHAPES, Endpoint, sent

from scrimp.routing.calls.call import TextDelta, ToolDelta
from scrimp.routing.serving.shapes.shape import ShapeError

_, RESPONSES, ANTHROPIC = SHAPES.values()
OBJECT = {"type": "object", "properties": {}}
GRAMMAR = {"type": "grammar", "syntax": "lark", "definition": "start: /.+/"}
EXEC = {"type": "custom", "name": "exec", "description": "Run a script.", "format": GRAMMAR}
WAIT = {"type": "function", "name": "wait", "parameters": OBJECT, "strict": False}
SEARCH = {"type": "web_search", "external_web_access": True}


def names(wanted):
    return [tool["function"]["name"] for tool in wanted.chat.tools]


# --- Codex -----------------------------------------------------------------------------------------------------------


def codex(*items, **fields):
    """As Codex 0.171 asks: tools stand ahead of the messages, in groups."""
    tools = [
        {"type": "namespace", "name": "functions", "tools": [EXEC, WAIT]},
        {"type": "namespace", "name": "clock", "description": "Time.", "tools": [{**WAIT, "name": "sleep"}]},
    ]
    asked = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "make a file"}]}
    return {
        "model": "gpt-6.2-sol",
        "input": [{"type": "additional_tools", "role": "developer", "tools": tools}, asked, *items],
        "tool_choice": "auto",
        "parallel_tool_calls": False,
        "reasoning": {"effort": "low", "context": "all_turns"},
        "store": False,
        "include": ["reasoning.encrypted_content"],
        "prompt_cache_key": "k",
        "client_metadata": {"thread_id": "t"},
        **fields,
    }


def answer(endpoint, **fields):
    """What an endpoint answers to such a request, read by the official client."""
    body = codex(**fields)
    extra = {"client_metadata": body.pop("client_metadata")}
    return endpoint.openai().responses.create(**body, extra_body=extra)


def test_tools_of_codex_become_functions():
    wanted = RESPONSES.read(codex(), {"session-id": "s"})
    assert names(wanted) == ["exec", "wait", "clock__sleep"]
    function = wanted.chat.tools[0]["function"]
    assert function["parameters"] == {
        "type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"],
    }  # fmt: skip
    assert function["description"].startswith("Run a script.")
    assert "start: /.+/" in function["description"]
    assert wanted.session == "s"


@pytest.mark.parametrize("streamed", [True, False])
def test_codex_is_called_back_by_the_names_that_it_knows(streamed):
    calls = [("exec", '{"input": "text(1)"}'), ("clock__sleep", '{"s": 1}'), ("wait", "{}")]
    pieces = [
        TextDelta("On it."), ToolDelta(0, "call_0", "exec"), ToolDelta(0, arguments='{"input": "te'),
        ToolDelta(0, arguments='xt(1)"}'),
    ]  # fmt: skip
    endpoint = Endpoint(sent("On it.", calls, "tool_calls"), pieces)
    if streamed:
        events = list(answer(endpoint, stream=True))
        items = events[-1].response.output
        assert items == [event.item for event in events if event.type == "response.output_item.done"]
        said = [event for event in events if event.type == "response.custom_tool_call_input.delta"]
        assert "".join(event.delta for event in said) == "text(1)"
        ids = {event.item_id for event in events if event.type.startswith("response.custom_tool_call_input")}
        assert ids == {items[1].id}
    else:
        items = answer(endpoint).output
    _, custom, timed, plain = items
    assert (custom.type, custom.name, custom.namespace) == ("custom_tool_call", "exec", "functions")
    assert (custom.input, custom.call_id) == ("text(1)", "call_0")
    assert (timed.type, timed.name, timed.namespace, timed.arguments) == ("function_call", "sleep", "clock", '{"s": 1}')
    assert (plain.name, plain.namespace) == ("wait", "functions")


def test_what_codex_sends_back_reads_as_what_it_was_told():
    endpoint = Endpoint(sent("", [("exec", '{"input": "é"}'), ("clock__sleep", '{"s": 1}')], "tool_calls"))
    told = [item.to_dict() for item in answer(endpoint).output]
    told[1:1] = [{"type": "reasoning", "summary": [], "encrypted_content": "x"}]
    done = {"type": "custom_tool_call_output", "call_id": "call_0", "output": [{"type": "input_text", "text": "ok"}]}
    slept = {"type": "function_call_output", "call_id": "call_1", "output": "1 s"}
    messages = RESPONSES.read(codex(*told, done, slept), {}).chat.messages
    made = [(call["function"]["name"], json.loads(call["function"]["arguments"])) for call in messages[1]["tool_calls"]]
    assert made == [("exec", {"input": "é"}), ("clock__sleep", {"s": 1})]
    assert messages[2:] == (
        {"role": "tool", "tool_call_id": "call_0", "content": "ok"},
        {"role": "tool", "tool_call_id": "call_1", "content": "1 s"},
    )


def test_a_custom_call_that_is_no_json_is_passed_on_as_it_is():
    endpoint = Endpoint(sent("", [("exec", "text(1)")], "tool_calls"))
    assert answer(endpoint).output[0].input == "text(1)"


def test_a_tool_that_is_given_again_takes_the_place_of_the_first():
    again = {"type": "additional_tools", "tools": [{"type": "function", "name": "exec", "parameters": OBJECT}]}
    wanted = RESPONSES.read(codex(again), {})
    assert names(wanted) == ["exec", "wait", "clock__sleep"]
    assert wanted.chat.tools[0]["function"]["parameters"] == OBJECT
    assert "exec" not in wanted.offered


def test_a_custom_tool_can_be_chosen():
    choice = {"type": "custom", "name": "exec"}
    wanted = RESPONSES.read(codex(tool_choice=choice), {})
    assert wanted.chat.tool_choice == {"type": "function", "function": {"name": "exec"}}


def test_long_names_of_a_group_stay_within_what_providers_take_and_apart():
    tools = [{**WAIT, "name": name * 40} for name in ("a", "b")]
    group = {"type": "namespace", "name": "n" * 40, "tools": tools}
    flat = names(RESPONSES.read({"model": "m", "input": "?", "tools": [group]}, {}))
    assert len(set(flat)) == 2
    assert all(len(name) <= 64 for name in flat)


@pytest.mark.parametrize(
    ("shape", "body", "left"),
    [
        (RESPONSES, {"model": "m", "input": "?", "tools": [WAIT, SEARCH]}, "wait"),
        (
            ANTHROPIC,
            {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "?"}],
             "tools": [{"type": "web_search_20250305", "name": "web_search"}, {"name": "Bash", "input_schema": OBJECT}]},
            "Bash",
        ),
    ],
    ids=["codex", "claude"],
)  # fmt: skip
def test_tools_that_the_provider_runs_are_left_out_only_where_there_are_others(shape, body, left):
    wanted = shape.read(body, {})
    assert names(wanted) == [left]
    assert any(each.startswith("tools[].web_search") for each in wanted.ignored)
    alone = [tool for tool in body["tools"] if tool.get("type", "").startswith("web_search")]
    with pytest.raises(ShapeError, match="only its own provider runs"):
        shape.read({**body, "tools": alone}, {})


@pytest.mark.parametrize("kind", ["local_shell", "apply_patch", "computer_use_preview", "of_next_year"])
def test_tools_that_the_program_runs_by_a_form_of_their_own_are_refused(kind):
    with pytest.raises(ShapeError) as caught:
        RESPONSES.read({"model": "m", "input": "?", "tools": [WAIT, {"type": kind}]}, {})
    assert caught.value.param == "tools[1].type"


# --- Claude Code -----------------------------------------------------------------------------------------------------


def claude(*messages, tools=()):
    """As Claude Code 2.1.332 asks: instructions within the conversation, tools that are loaded when they are found."""
    kept = {"cache_control": {"type": "ephemeral"}}
    billing = "x-anthropic-billing-header: cc_version=2.1.332.b81; cc_entrypoint=sdk-cli;"
    reminder = "<system-reminder>\nAbout commits.\n</system-reminder>\n"
    asked = [{"type": "text", "text": reminder}, {"type": "text", "text": "Read a page"}]
    environment = {"role": "system", "content": [{"type": "text", "text": "# Environment", **kept}]}
    return {
        "model": "claude-opus-5-5",
        "max_tokens": 128_000,
        "system": [{"type": "text", "text": billing}, {"type": "text", "text": "You are an agent.", **kept}],
        "messages": [
            {"role": "user", "content": asked}, {**environment, "output_config": {"effort": "medium"}}, *messages,
        ],
        "tools": [
            {"name": "ToolSearch", "input_schema": OBJECT},
            {"name": "WebFetch", "input_schema": OBJECT, "defer_loading": True},
            {"name": "Placeholder", "input_schema": OBJECT, "defer_loading": True},
            *tools,
        ],
        "metadata": {"user_id": '{"device_id":"d","account_uuid":"","session_id":"s"}'},
        "thinking": {"type": "adaptive", "display": "omitted"},
        "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
        "output_config": {"effort": "medium"},
        "stream": True,
    }  # fmt: skip


def test_tools_that_wait_are_given_once_they_are_found():
    wanted = ANTHROPIC.read(claude(), {})
    assert names(wanted) == ["ToolSearch"]
    assert wanted.chat.asked == "Read a page"
    call = {"type": "tool_use", "id": "c", "name": "ToolSearch", "input": {}}
    found = [{"type": "tool_reference", "tool_name": "WebFetch"}]
    result = {"type": "tool_result", "tool_use_id": "c", "content": found}
    loaded = [result, {"type": "text", "text": "Tool loaded."}]
    wanted = ANTHROPIC.read(
        claude({"role": "assistant", "content": [call]}, {"role": "user", "content": loaded}), {}
    )  # fmt: skip
    assert names(wanted) == ["ToolSearch", "WebFetch"]
    assert wanted.chat.messages[-2]["role"] == "tool"
    assert "WebFetch" in wanted.chat.messages[-2]["content"]


def test_a_request_whose_tools_all_wait_has_them():
    tools = [{"name": "WebFetch", "input_schema": OBJECT, "defer_loading": True}]
    assert names(ANTHROPIC.read({**claude(), "tools": tools}, {})) == ["WebFetch"]


def test_a_line_for_the_books_is_not_told_to_a_model():
    told = ANTHROPIC.read(claude(), {}).chat.messages[0]["content"]
    assert [part["text"] for part in told] == ["You are an agent."]
    line = "x-anthropic-billing-header: cc_version=2.1; cch=1;\n"
    assert ANTHROPIC.read({**claude(), "system": f"{line}Be brief."}, {}).chat.system == "Be brief."
    assert ANTHROPIC.read({**claude(), "system": line}, {}).chat.messages[0]["role"] == "user"


# --- conversations that no arm can take ------------------------------------------------------------------------------


@pytest.mark.parametrize("path", SHAPES)
def test_a_conversation_that_is_too_long_is_told_as_programs_know_it(serve, server, path):
    """Agents shorten the conversation where they are told so, and give up, or try the same again, where they are not."""
    serving = serve(small="ok")
    said = "word " * 120_000
    body = {"model": "scrimp", "max_tokens": 9, "messages": [{"role": "user", "content": said}], "input": said}
    headers = {"authorization": f"Bearer {serving.token}", "content-type": "application/json"}
    request = urllib.request.Request(serving.url + path, json.dumps(body).encode(), headers)
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, timeout=60)
    assert caught.value.code == 400
    error = json.load(caught.value)["error"]
    assert "window of 100,000" in error["message"]
    if path == "/v1/messages":
        assert error["message"].startswith("prompt is too long")
    else:
        assert error["code"] == "context_length_exceeded"
    assert not server.chats
