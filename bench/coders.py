"""Coding agents from npm for `agents.py`: how each is run headless under `scrimp run`, and what the loopback provider has it do.

Each runs without the variables of whoever starts the bench (an agent of its own may be what starts it), in a home of
its own, with what it would send elsewhere switched off as far as it can be.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ERRAND, NOTES = "run the errand", "quiet notes\n"
_COPY = "cat notes.txt | tee copy.txt"
_CALLS: list[tuple[str, dict[str, Any]]] = [
    ("ToolSearch", {"query": "select:WebFetch"}),
    ("Bash", {"command": _COPY, "description": "Copy the notes"}),
    ("bash", {"command": _COPY, "description": "Copy the notes"}),
    ("exec_command", {"cmd": _COPY}),
    ("exec", {"input": f"const r = await tools.exec_command({{cmd: {json.dumps(_COPY)}}}); text(r.output)"}),
]
"""Which tools are called with what, of those that an agent offers: Claude Code's, opencode's, Codex's (by either way)."""


@dataclass(frozen=True)
class Coder:
    """An agent: its npm package, its command, its environment, what it needs in its folder, and how many tools it calls."""

    package: str
    argv: list[str]
    env: dict[str, str]
    n_calls: int
    prepare: Callable[[Path], object] = lambda _folder: None


def _opencode(folder: Path) -> None:
    provider = {
        "npm": "@ai-sdk/openai-compatible",
        "options": {"baseURL": "{env:OPENAI_BASE_URL}", "apiKey": "{env:OPENAI_API_KEY}"},
        "models": {"scrimp": {}},
    }
    config = {"autoupdate": False, "share": "disabled", "provider": {"scrimp": provider}}
    (folder / "opencode.json").write_text(json.dumps(config))


_CODEX = ["codex", "exec", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox"]
CODERS = {
    "claude": Coder(
        "@anthropic-ai/claude-code@2.1.332",
        ["claude", "--dangerously-skip-permissions", "-p"],
        {"CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1", "DISABLE_TELEMETRY": "1", "IS_SANDBOX": "1"},
        2,
    ),
    "codex": Coder("@openai/codex@0.171.0", _CODEX, {}, 1),
    "codex, its own model": Coder("@openai/codex@0.171.0", [*_CODEX, "-m", "gpt-6.2-sol"], {}, 1),
    "opencode": Coder("opencode-ai@1.18.33", ["opencode", "run", "-m", "scrimp/scrimp"], {}, 1, _opencode),
}


def _text(message: dict[str, Any]) -> str:
    content = message.get("content")
    return content if isinstance(content, str) else "".join(part.get("text") or "" for part in content or [])


def errand(body: dict[str, Any]) -> dict[str, Any]:
    """Return the next message of the model's on an errand: a call of the next tool, and at last what the tools said."""
    messages = body["messages"]
    asked = max(n for n, message in enumerate(messages) if message["role"] == "user" and ERRAND in _text(message))
    said = [_text(message) for message in messages[asked:] if message["role"] == "tool"]
    offered = {tool["function"]["name"] for tool in body.get("tools") or []}
    calls = [call for call in _CALLS if call[0] in offered]
    if len(said) >= len(calls):
        return {"content": f"The errand is over: {' '.join(said)}"}
    name, arguments = calls[len(said)]
    function = {"name": name, "arguments": json.dumps(arguments)}
    return {"content": None, "tool_calls": [{"id": f"call_{len(said)}", "type": "function", "function": function}]}
