"""A server that misbehaves, seen from the command line: exit codes, what is charged, and no key anywhere."""

import json

import pytest
from conftest import CANARY
from pauses import no_pause

UNKNOWN = "unverified"

CASES = [
    # behaviour, exit code, what counts against the caps: "cost" (the server's bill), "bound", or nothing
    ("401", 4, 0),
    ("402", 4, 0),
    ("403", 4, 0),
    ("404", 5, 0),
    ("400", 5, 0),
    ("400-context", 5, 0),
    ("429-then-ok", 0, "cost"),
    ("429-quota", 4, 0),
    ("500-then-ok", 0, "at least cost"),
    ("garbage", 5, "bound"),
    ("html", 5, "bound"),
    ("choices-empty", 5, "at least cost"),
    ("choices-missing", 5, "at least cost"),
    ("no-usage", 0, "bound"),
    ("zero-usage", 0, "bound"),
    ("negative-usage", 0, "bound"),
    ("huge-usage", 0, "bound"),
    ("null-content", None, "at least cost"),
    ("escape", 0, "cost"),
    ("other-model", 0, "cost"),
    ("bad-utf8", None, "at least cost"),
]


@pytest.mark.parametrize(("behaviour", "code", "charged"), CASES, ids=[case[0] for case in CASES])
def test_each_fault_has_its_exit_code_and_charge(scrimp, profile, server, home, monkeypatch, behaviour, code, charged):
    monkeypatch.setenv("CANARY_KEY", CANARY)
    no_pause(monkeypatch)
    path = profile(small=behaviour, key_env="CANARY_KEY")
    done = scrimp("--debug", "ask", "-p", path, "--json", "hello")
    if code is not None:
        assert done.code == code, done.err
    (row,) = json.loads(scrimp("spend", "--json", "-p", path).out)["rows"]
    true_nano = server.cost_nano
    charged_nano = round(row["charged_usd"] * 1e9)
    n_bound = len(server.chats)
    if charged == 0:
        assert charged_nano == 0
    elif charged == "cost":
        assert charged_nano == true_nano
    elif charged == "bound":
        assert charged_nano >= true_nano
        assert row["unverified_usd"] > 0
    else:
        assert charged_nano >= true_nano
    assert n_bound >= 1
    everything = (
        done.out
        + done.err
        + "".join(
            file.read_bytes().decode("latin1")
            for file in home.rglob("*")
            if file.is_file() and "embedder" not in str(file)
        )
    )
    assert CANARY not in everything
    assert CANARY[-8:] not in everything
    assert server.chats[0].authorization == f"Bearer {CANARY}"
    if done.code != 0:
        assert done.out == ""


def test_a_failing_arm_falls_back_to_the_next_best(scrimp, profile, server, monkeypatch):
    no_pause(monkeypatch)
    done = scrimp("ask", "-p", profile(small="500", large="echo"), "--prefer", "cheap", "--json", "hello")
    assert done.code == 0
    answer = json.loads(done.out)
    assert answer["arm"] == "large"
    assert "falling back to large" in done.err
    shown = json.loads(scrimp("log", "show", "last", "--json").out)
    assert [each["kind"] for each in shown["attempts"]][-1] == "fallback"
    assert shown["propensity"] is None
    assert answer["total_charged_usd"] > answer["charged_usd"]


def test_an_arm_asked_for_by_name_does_not_fall_back(scrimp, profile, server, monkeypatch):
    no_pause(monkeypatch)
    done = scrimp("ask", "-p", profile(small="404", large="echo"), "-m", "small", "hello")
    assert done.code == 5
    assert {request.model for request in server.chats} == {"404"}


def test_retry_after_is_honoured(scrimp, profile, server, monkeypatch):
    waits = no_pause(monkeypatch)
    assert scrimp("ask", "-p", profile(small="429-2-then-ok@retry_after=3"), "hello").code == 0
    assert waits == [3.0, 3.0]


def test_a_breach_is_charged_in_full_and_suspends_the_arm(scrimp, profile, server):
    path = profile(small="breach")
    done = scrimp("ask", "-p", path, "--json", "hello")
    assert done.code == 0
    answer = json.loads(done.out)
    assert answer["breach"]
    done = scrimp("ask", "-p", path, "hello")
    assert done.code == 2
    assert "scrimp models resume small" in done.err
    assert scrimp("ask", "-p", path, "-m", "small", "hello").code == 2
    assert scrimp("models", "resume", "small", "-p", path).code == 0
    assert scrimp("ask", "-p", path, "hello").code == 0


def test_a_cut_stream_is_not_an_answer(scrimp, profile, server, monkeypatch):
    """Asked for whole, a dropped connection is an error, tried again, each try charged."""
    no_pause(monkeypatch)
    done = scrimp("ask", "-p", profile(small="drop-headers"), "hello")
    assert done.code == 5
    row = json.loads(scrimp("spend", "--json", "-p", profile(small="cut")).out)["rows"][0]
    assert row["unverified_usd"] > 0


def test_another_models_name_is_told(scrimp, profile):
    done = scrimp("ask", "-p", profile(small="other-model"), "hello")
    assert "served by" in done.err


def test_no_server_at_all(scrimp, tmp_path, monkeypatch):
    no_pause(monkeypatch)
    path = tmp_path / "gone.toml"
    path.write_text(
        'name = "gone"\n[[arms]]\nname = "a"\nmodel = "openai/ok"\napi_base = "http://127.0.0.1:9/v1"\n'
        "price = { input_usd_per_mtok = 1, output_usd_per_mtok = 1 }\n"
    )
    done = scrimp("ask", "-p", path, "hello")
    assert done.code == 5
    assert json.loads(scrimp("spend", "--json", "-p", path).out)["rows"][0]["charged_usd"] == 0


def test_without_a_log_no_error_text_is_kept(scrimp, profile, home):
    assert scrimp("ask", "-p", profile(small="400"), "--no-log", "hello").code == 5
    from scrimp.profiles.paths import paths
    from scrimp.routing.ledger.store import open_ledger

    with open_ledger(paths().ledger) as ledger:
        (row,) = ledger.rows("SELECT error_kind, error FROM attempts")
    assert row == {"error_kind": "bad_request", "error": None}


@pytest.mark.parametrize(
    ("said", "charged_nano", "status", "note"),
    [
        ({"cost": 0.0001}, 100_000, "settled", "the provider says that it cost $0.00010"),
        ({"cost": 0.0123}, 12_300_000, "settled", "the provider says that it cost $0.012"),
        ({"cost": -1}, None, "unverified", "a cost that cannot be (-1)"),
        ({"service_tier": "platinum"}, None, "unverified", "terms whose price is not known (platinum)"),
    ],
)
def test_what_a_reply_says_of_its_price_is_charged_and_told(
    scrimp, profile, server, tmp_path, said, charged_nano, status, note
):
    message = {"index": 0, "message": {"role": "assistant", "content": "Blue."}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 20, "completion_tokens": 5, "total_tokens": 25, **said}
    body = {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [message], "usage": usage}
    server.can("/v1/chat/completions", "application/json", json.dumps(body).encode())
    path = profile(small="m")
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"prompt": "hello"}\n')
    answer = scrimp("ask", "-p", path, "--json", "hello")
    assert note in answer.err
    charged = [json.loads(answer.out)["charged_usd"]]
    if charged_nano == 12_300_000:
        assert "suspended until" in answer.err
        assert scrimp("models", "resume", "small", "-p", path).code == 0
    scrimp("batch", rows, "-p", path, "-o", tmp_path / "out.jsonl", "--yes")
    (row,) = json.loads(scrimp("spend", "--json", "-p", path).out)["rows"]
    charged.append(row["charged_usd"] - charged[0])
    assert charged[0] == pytest.approx(charged[1])
    assert row["n_calls"] == 2
    if charged_nano is not None:
        assert charged[0] == pytest.approx(charged_nano / 1e9)
    assert (row["unverified_usd"] > 0) == (status == "unverified")
    log = scrimp("log", "show", "last", "--json").out
    assert note in log
