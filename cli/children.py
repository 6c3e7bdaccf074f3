"""What a command that `run` starts is told of the endpoint: by variables, and by options where a program reads none."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["Address", "command_of", "environment_of"]

_CLAUDE_MODELS: Final = (
    "ANTHROPIC_MODEL",
    "ANTHROPIC_DEFAULT_MODEL",
    "ANTHROPIC_DEFAULT_FABLE_MODEL",
    "ANTHROPIC_DEFAULT_OPUS_MODEL",
    "ANTHROPIC_DEFAULT_SONNET_MODEL",
    "ANTHROPIC_DEFAULT_HAIKU_MODEL",
    "ANTHROPIC_SMALL_FAST_MODEL",
    "CLAUDE_CODE_SUBAGENT_MODEL",
)

_ELSEWHERE: Final = (
    "CLAUDE_CODE_USE_BEDROCK",
    "CLAUDE_CODE_USE_MANTLE",
    "CLAUDE_CODE_USE_VERTEX",
    "CLAUDE_CODE_USE_FOUNDRY",
    "CLAUDE_CODE_USE_ANTHROPIC_AWS",
    "CLAUDE_CODE_USE_ANTHROPIC_GOOGLE_CLOUD",
    "CLAUDE_CODE_OAUTH_TOKEN",
    "ANTHROPIC_AUTH_TOKEN",
)
"""Variables by which Claude Code would go to another provider, or show another token than the endpoint's."""


_LEAST_WINDOW: Final = 100_000
"""Claude Code takes less for this, and says so."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where the endpoint is, and how it is asked.

    Attributes
    ----------
    url
        Without `/v1`.
    model
        What the command is told to ask for; None leaves that to it.
    window
        Tokens of the longest conversation that an arm can take; None where that is not known.
    """

    url: str
    token: str
    model: str | None = None
    window: int | None = None


def environment_of(command: Sequence[str], env: Mapping[str, str], to: Address) -> dict[str, str]:
    """Return the environment of a command: its own, with the endpoint in the place of the providers.

    Claude Code asks at its start whether a key that it finds is to be used, and takes no for an answer; a token it does
    not ask about.
    """
    told = {name: value for name, value in env.items() if name not in _ELSEWHERE}
    told |= dict.fromkeys(("OPENAI_BASE_URL", "OPENAI_API_BASE"), f"{to.url}/v1")
    told |= {"ANTHROPIC_BASE_URL": to.url, "OPENAI_API_KEY": to.token, "ANTHROPIC_API_KEY": to.token}
    if _is(command, "claude", "claude-code"):
        del told["ANTHROPIC_API_KEY"]
        told["ANTHROPIC_AUTH_TOKEN"] = to.token
    if to.window is not None and to.window >= _LEAST_WINDOW:
        told.setdefault("CLAUDE_CODE_AUTO_COMPACT_WINDOW", str(to.window))
    if to.model is not None:
        told |= dict.fromkeys((*_CLAUDE_MODELS, "OPENAI_MODEL"), to.model)
    for name in ("no_proxy", "NO_PROXY"):
        told[name] = ",".join(filter(None, (told.get(name), "127.0.0.1")))
    return told


def command_of(command: Sequence[str], to: Address) -> list[str]:
    """Return the command, with the options that Codex needs, which reads no address from its environment.

    They stand ahead of its own, which win: so it can still be told another model.
    """
    if not command or PurePath(command[0]).name != "codex":
        return list(command)
    provider = f'{{name="scrimp", base_url="{to.url}/v1", env_key="OPENAI_API_KEY", wire_api="responses"}}'
    settings = [f"model_providers.scrimp={provider}", 'model_provider="scrimp"', f'model="{to.model or "scrimp"}"']
    if to.window is not None:
        settings.append(f"model_context_window={to.window}")
    return [command[0], *(word for setting in settings for word in ("-c", setting)), *command[1:]]


def _is(command: Sequence[str], *names: str) -> bool:
    """Tell whether a command is a program of these names, itself or by a launcher (`npx @anthropic-ai/claude-code`)."""
    return any(word.rpartition("/")[2].partition("@")[0] in names for word in command[:3])
