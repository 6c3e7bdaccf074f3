"""What providers refuse, cut, count and ask to wait, seen from the command line: in `ask` and `batch` alike."""

import csv
import json
from collections import Counter

import pytest

BAD_KEY = [{"error": {"code": 400, "message": "API key not valid. Please pass a valid API key.", "status": "INVALID"}}]
NO_CREDIT = {"type": "error", "error": {"type": "invalid_request_error", "message": "Your credit balance is too low"}}
KEY_LIMIT = {"error": {"message": "Key limit exceeded (total limit). Manage it in settings", "code": 403}}
HTML = b"<html><head><title>401 Authorization Required</title></head></html>"
BY_DAY = {"error": {"message": "Limit reached on requests per day (RPD). Please try again in 7h12m0s."}}
TOO_FAST = {"error": {"message": "Rate limit reached"}}
DAY_QUOTA = {
    "error": {
        "code": 429, "message": "You exceeded your current quota, please check your plan.", "status": "RESOURCE_EXHAUSTED",
        "details": [{"violations": [{"quotaId": "GenerateRequestsPerDayPerProjectPerModel"}]}, {"retryDelay": "2s"}],
    }
}  # fmt: skip

REFUSED = {
    # name: status, body, headers, exit code, what the user is told
    "bad-key": (400, BAD_KEY, {}, 4, "scrimp keys set"),
    "html": (401, HTML, {}, 4, "scrimp keys set"),
    "no-credit": (400, NO_CREDIT, {}, 4, "add credit"),
    "key-limit": (403, KEY_LIMIT, {}, 4, "add credit"),
    "by-day": (429, BY_DAY, {}, 75, "7 h 12 min"),
    "day-quota": (429, DAY_QUOTA, {}, 75, "quota of the day"),
    "in-headers": (429, TOO_FAST, {"x-ratelimit-reset-requests": "2h0m0s"}, 75, "2 h, after"),
    "in-a-date": (429, TOO_FAST, {"retry-after": "Fri, 15 Jan 2100 00:00:00 GMT"}, 75, "31 d"),
}


def jsonl(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def rows_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def work(home):
    return home.parent / "work"


@pytest.fixture
def prompts(work):
    return jsonl(work / "in.jsonl", [{"id": f"r{i}", "prompt": f"prompt {i}"} for i in range(12)])


@pytest.fixture
def out(work):
    return work / "out.jsonl"


# ---- arms that would fail alike for every row


@pytest.mark.parametrize("name", REFUSED)
def test_an_arm_that_takes_no_call_is_asked_twice_at_most(scrimp, profile, prompts, out, server, name):
    status, body, headers, code, told = REFUSED[name]
    server.refuse(name, status, body, headers)
    path = profile(small=f"refuse@as={name}")
    done = scrimp("ask", "-p", path, "hello")
    assert (done.code, len(server.chats)) == (code, 1), done.err
    assert told in done.err
    done = scrimp("batch", prompts, "-o", out, "-p", path)
    assert done.code == code, done.err
    assert len(server.chats) <= 1 + 2
    assert told in done.err
    assert f"scrimp batch --resume -o {out}" in done.err
    assert json.loads(scrimp("spend", "--json").out)["rows"] in ([], [{}]) or server.cost_nano == 0
    server.script(["ok"], model=f"refuse@as={name}")  # the key is mended
    assert scrimp("batch", "--resume", "--retry-errors", "-o", out).code == 0
    assert [row["status"] for row in rows_of(out)] == ["ok"] * 12


def test_a_server_that_sends_callers_elsewhere_is_not_followed(scrimp, profile, prompts, out, server):
    done = scrimp("batch", prompts, "-o", out, "-p", profile(small="redirect"))
    assert done.code == 5
    assert len(server.chats) <= 2
    assert server.cost_nano == 0
    assert "sends callers elsewhere to 127.0.0.1" in done.err
    assert "api_base" in done.err


@pytest.mark.parametrize("name", ["bad-key", "no-credit", "by-day"])
def test_rows_go_to_the_arm_that_is_left(scrimp, profile, prompts, out, server, name):
    hard = "Prove that every group of order p^2 q is solvable, and classify them up to isomorphism, for q ="
    rows = [{"id": f"r{i}", "prompt": f"{hard} {i}"} for i in range(12)]
    prompts.write_text("".join(json.dumps(row) + "\n" for row in rows))
    status, body, headers, _, _ = REFUSED[name]
    server.refuse(name, status, body, headers)
    path = profile(small="ok", large=f"refuse@as={name}", caps="per_day_usd = 10", extra="[policy]\nwtp_usd = 1000\n")
    done = scrimp("batch", prompts, "-o", out, "-p", path)
    assert done.code == 0, done.err
    assert {row["arm"] for row in rows_of(out)} == {"small"}
    assert 1 <= sum("refuse" in chat.model for chat in server.chats) <= 2
    assert "no more rows are sent to large" in done.err


@pytest.mark.parametrize(
    ("status", "body"),
    [(400, {"message": "Input is too long for requested model."}),
     (403, {"error": {"message": "This model requires moderation and your input was flagged", "code": 403}})],
)  # fmt: skip
def test_what_is_about_one_prompt_does_not_rest_the_arm(scrimp, profile, prompts, out, server, status, body):
    server.refuse("x", status, body)
    server.script(["refuse@as=x"] * 2)
    done = scrimp("batch", prompts, "-o", out, "-p", profile(), "-j", "1")
    assert done.code == 6
    assert Counter(row["status"] for row in rows_of(out)) == {"ok": 10, "failed": 2}


def test_a_short_wait_is_kept_wherever_it_stands(scrimp, profile, server):
    server.refuse("text", 429, {"error": {"message": "Rate limit reached. Please try again in 300ms."}})
    server.refuse("headers", 429, TOO_FAST, {"x-ratelimit-reset-tokens": "0.2s", "x-ratelimit-remaining-tokens": "0"})
    server.refuse("body", 429, {"error": {"message": "slow down", "details": [{"retryDelay": "0.1s"}]}})
    server.script(["refuse@as=text", "refuse@as=headers", "refuse@as=body", "ok"])
    done = scrimp("ask", "-p", profile(), "hello")
    assert (done.code, len(server.chats)) == (0, 4), done.err
    assert [word in done.err for word in ("in 0.3 s", "in 0.2 s", "in 0.1 s")] == [True] * 3


# ---- answers that were cut

CUT = {
    # behaviour: finish_reason, answer, what the row says
    "length@tokens=400": ("length", True, "cut at its limit of 200 tokens"),
    "length-empty": ("length", False, "cut at its limit of 200 tokens"),
    "content-filter": ("content_filter", None, "filter"),
    "refusal": ("refusal", True, "refused"),
}


@pytest.mark.parametrize("behaviour", CUT)
def test_a_cut_answer_is_a_state_of_its_own(scrimp, profile, prompts, out, server, behaviour):
    finish, has_text, told = CUT[behaviour]
    server.script([behaviour] * 3)
    path = profile()
    done = scrimp("batch", prompts, "-o", out, "-p", path, "-j", "1", "--json")
    assert done.code == 6
    assert "3 cut" in done.err
    assert "--retry-cut" in done.err
    data = json.loads(done.out)
    assert (data["ok"], data["cut"], data["failed"]) == (9, 3, 0)
    cut = [row for row in rows_of(out) if row["status"] == "cut"]
    assert [row["finish_reason"] for row in cut] == [finish] * 3
    assert all(told in row["error"] for row in cut)
    assert has_text is None or all(bool(row["answer"]) == has_text for row in cut)
    assert all(row["cost_usd"] > 0 for row in cut)
    assert {row["finish_reason"] for row in rows_of(out) if row["status"] == "ok"} == {"stop"}
    n = len(server.chats)
    assert scrimp("batch", "--resume", "-o", out).code == 6
    assert scrimp("batch", "--resume", "--retry-errors", "-o", out).code == 6
    assert len(server.chats) == n, "nothing is paid again unasked"
    assert json.loads(scrimp("batch", "--resume", "--retry-cut", "-o", out, "--dry-run", "--json").out)["n_rows"] == 3
    assert scrimp("batch", "--resume", "--retry-cut", "-o", out).code == 0
    assert len(server.chats) == n + 3
    assert [row["status"] for row in rows_of(out)] == ["ok"] * 12


def test_asked_again_with_a_larger_limit(scrimp, profile, prompts, out, server):
    path = profile(small="length@tokens=400")
    assert scrimp("batch", prompts, "-o", out, "-p", path).code == 6
    path.write_text(path.read_text().replace("max_output_tokens = 200", "max_output_tokens = 900"))
    server.script(["ok@tokens=400"] * 12)
    assert scrimp("batch", "--resume", "--retry-cut", "-o", out, "-p", path).code == 0
    assert {chat.output_limit for chat in server.chats[12:]} == {900}


def test_equal_rows_are_not_asked_again_to_be_cut_again(scrimp, profile, work, out, server):
    rows = jsonl(work / "same.jsonl", [{"prompt": "the same"}] * 8)
    path = profile(small="length@tokens=400", extra="")
    path.write_text(path.read_text() + "params = { temperature = 0 }\n")
    done = scrimp("batch", rows, "-o", out, "-p", path)
    assert (done.code, len(server.chats)) == (6, 1), done.err
    assert [row["status"] for row in rows_of(out)] == ["cut"] * 8


def test_a_table_and_openais_shape_tell_it_too(scrimp, profile, work, server):
    table = work / "in.csv"
    table.write_text("id,prompt\na,one\nb,two\n")
    server.script(["length@tokens=400", "ok"])
    out = work / "out.csv"
    assert scrimp("batch", table, "-o", out, "-p", profile(), "-j", "1").code == 6
    with out.open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["status"], row["finish_reason"]) for row in rows] == [("cut", "length"), ("ok", "stop")]
    asked = {"custom_id": "a", "body": {"messages": [{"role": "user", "content": "one"}]}}
    server.script(["length@tokens=400"])
    out = work / "openai.jsonl"
    assert scrimp("batch", jsonl(work / "openai-in.jsonl", [asked]), "-o", out, "-p", profile()).code == 6
    (row,) = rows_of(out)
    assert row["response"]["body"]["choices"][0]["finish_reason"] == "length"
    assert row["error"]["code"] == "cut"
    assert (row["scrimp"]["status"], row["scrimp"]["finish_reason"]) == ("cut", "length")


def test_a_failed_check_goes_first_and_both_are_told(scrimp, profile, prompts, out, server):
    done = scrimp("batch", prompts, "-o", out, "-p", profile(small="length@tokens=400"), "--check", "json")
    assert done.code == 6
    assert {(row["status"], row["finish_reason"]) for row in rows_of(out)} == {("failed", "length")}
    assert all("cut at its limit" in row["error"] for row in rows_of(out))


def test_ask_says_that_an_answer_was_cut_and_fails_where_nothing_came(scrimp, profile):
    done = scrimp("ask", "-p", profile(small="length@tokens=400"), "hello")
    assert done.code == 0
    assert done.out.strip()
    assert "cut at its limit of 200 tokens" in done.err
    done = scrimp("ask", "-p", profile(small="length-empty"), "hello")
    assert (done.code, done.out.strip()) == (5, "")
    assert "Raise max_output_tokens" in done.err


# ---- prompts that were read in part

OLLAMA = {
    "model": "m", "created_at": "2026-01-01T00:00:00Z", "message": {"role": "assistant", "content": "Nairobi"},
    "done": True, "done_reason": "stop", "prompt_eval_count": 2048, "eval_count": 5,
}  # fmt: skip


@pytest.fixture
def ollama(work, server):
    """Write a profile of an Ollama arm; the server says that it read 2,048 tokens, whatever it is sent."""
    server.can("/api/chat", "application/json", json.dumps(OLLAMA).encode())

    def write(*lines):
        path = work / "ollama.toml"
        path.write_text(
            f'name = "o"\n[[arms]]\nname = "home"\nmodel = "ollama_chat/home"\napi_base = "{server.url}"\n'
            'max_output_tokens = 400\ntier = "small"\nprice = { input_usd_per_mtok = 0, output_usd_per_mtok = 0 }\n'
            + "".join(f"{line}\n" for line in lines)
        )
        return path

    return write


def windows(server):
    """Return the window that each call to Ollama asked for."""
    return [each.body["options"].get("num_ctx") for each in server.requests if each.path == "/api/chat"]


def test_ollama_is_told_the_window(scrimp, ollama, server):
    for lines in ([], ["context_window = 32768"], ["params = { num_ctx = 16384 }"]):
        assert scrimp("ask", "-p", ollama(*lines), "hello").code == 0
    assert windows(server) == [None, 32768, 16384]


def test_a_prompt_beyond_ollamas_window_is_not_sent(scrimp, ollama, server):
    done = scrimp("ask", "-p", ollama("params = { num_ctx = 4096 }"), "word " * 9_000)
    assert (done.code, windows(server)) == (2, [])
    assert "window of 4,096" in done.err


def test_a_prompt_that_was_read_in_part_is_said(scrimp, ollama, work, out):
    path = ollama()
    done = scrimp("ask", "-p", path, "--json", "word " * 9_000)
    assert done.code == 0
    assert json.loads(done.out)["prompt_cut"] is True
    assert "read 2,048 tokens of a prompt of at least 9,000" in done.err
    assert "context_window of arm home (num_ctx)" in done.err
    assert "read 2,048 tokens" in scrimp("log", "show", "last").out
    assert json.loads(scrimp("ask", "-p", path, "--json", "word " * 3_000).out)["prompt_cut"] is False
    rows = jsonl(work / "long.jsonl", [{"id": "long", "prompt": "word " * 9_000}, {"id": "short", "prompt": "hello"}])
    done = scrimp("batch", rows, "-o", out, "-p", path, "--json")
    assert done.code == 0
    assert json.loads(done.out)["prompts_cut"] == 1
    assert "not all of the prompt seems to have been read: 1 row" in done.err
    long, short = rows_of(out)
    assert "read 2,048 tokens" in long["note"]
    assert short["note"] is None
    assert "context_window" in scrimp("profile", "check", path).out


# ---- reasoning

ANTHROPIC = {
    "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5", "stop_reason": "end_turn",
    "content": [{"type": "text", "text": "Nairobi"}], "usage": {"input_tokens": 20, "output_tokens": 5},
}  # fmt: skip


@pytest.mark.parametrize(
    ("limit", "effort", "budget", "found"),
    [(400, "low", None, "never sent"), (1024, "low", None, "never sent"), (1500, "low", 1024, ""),
     (1500, "high", 1024, "cut from 4,096 tokens to 1,024"), (4000, "high", 2000, "cut from 4,096 tokens to 2,000"),
     (9000, "high", 4096, ""), (400, "none", 0, "")],
)  # fmt: skip
def test_reasoning_leaves_room_for_an_answer(scrimp, work, server, limit, effort, budget, found, monkeypatch):
    monkeypatch.setenv("MY_KEY", "sk-test")
    server.can("/v1/messages", "application/json", json.dumps(ANTHROPIC).encode())
    path = work / "a.toml"
    path.write_text(
        f'name = "a"\n[[arms]]\nname = "a"\nmodel = "anthropic/claude-sonnet-4-5"\napi_base = "{server.url}"\n'
        f'key_env = "MY_KEY"\nmax_output_tokens = {limit}\nreasoning_effort = "{effort}"\ntier = "small"\n'
        "price = { input_usd_per_mtok = 1, output_usd_per_mtok = 4 }\n"
    )
    done = scrimp("ask", "-p", path, "--json", "hello")
    sent = [each.body for each in server.requests]
    if budget is None:
        assert (done.code, sent) == (2, [])
        assert "leaves no room" in done.err
    else:
        assert done.code == 0, done.err
        (body,) = sent
        assert body["max_tokens"] == limit
        assert body.get("thinking", {}).get("budget_tokens", 0) == budget
        assert ("was let reason with" in done.err) == bool(found)
    checked = scrimp("profile", "check", path).out
    assert (found or "fine") in checked or not found
    assert ("never sent" in checked or "cut from" in checked) == bool(found)
