"""Where calls go is said by a profile alone: the variables that would send them elsewhere, and are ignored.

LiteLLM and the providers' own libraries read hundreds of variables at any moment of a call. One that is left in a shell
(`OPENAI_BASE_URL`, for another program) would send prompts and keys to a host that no profile names, at prices that are
not that host's. So such variables are taken out of the process before LiteLLM is imported (`drop_ignored`), and named.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from .keys import provider_of
from .served import unnamed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, MutableMapping

    from .schema import Arm

__all__ = ["NO_ADDRESS", "OURS", "drop_ignored", "ignored_variables", "needs_address", "note_ignored"]

NO_ADDRESS: Final = frozenset({
    "ai21", "aiohttp_openai", "azure", "azure_ai", "azure_text", "custom", "custom_openai", "heroku", "hosted_vllm",
    "litellm_proxy", "lm_studio", "oobabooga", "openai_like", "triton", "xinference",
})  # fmt: skip
"""Providers whose address only the user knows. Without one LiteLLM sends several of them to api.openai.com."""

OURS: Final = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_MODE": "PRODUCTION", "LITELLM_RUST": "False"}
"""What LiteLLM is told by its own variables: it takes its price table from its wheel, reads no `.env`, and sends
nothing by its compiled part, past our transports."""

_IGNORED: Final = re.compile(
    # PROVIDER_API_BASE and PROVIDER_BASE_URL of whatever provider.
    r"[A-Z0-9_]*(?:_API_BASE|_BASE_URL)(?:_[A-Z0-9_]+)?"
    # The same under other names.
    r"|AGENTCORE_GATEWAY_URL|AI_API_URL|AWS_BEDROCK_RUNTIME_ENDPOINT|AWS_ENDPOINT_URL(?:_[A-Z0-9_]+)?|AWS_STS_ENDPOINT"
    r"|AZURE_AUTHORITY_HOST|AZURE_OPENAI_ENDPOINT|BING_GROUNDING_PROJECT_ENDPOINT|DATABRICKS_HOST|DATAROBOT_ENDPOINT"
    r"|GIGACHAT_AUTH_URL|GITHUB_COPILOT_[A-Z_]+_URL|GRADIENT_AI_AGENT_ENDPOINT|OLLAMA_HOST"
    r"|WATSONX_(?:IAM_)?URL|WML_URL|WX_URL"
    # What else LiteLLM and OpenAI's library are told: a proxy of their own, another protocol, headers, logs, limits.
    r"|USE_LITELLM_PROXY|LITELLM_[A-Z0-9_]+|OPENAI_(?:API_TYPE|API_VERSION|CUSTOM_HEADERS|LOG)"
    r"|EXPERIMENTAL_OPENAI_BASE_LLM_HTTP_HANDLER|AIOHTTP_[A-Z_]+|DISABLE_AIOHTTP_[A-Z_]+"
    r"|DEFAULT_[A-Z0-9_]+_THINKING_BUDGET[A-Z0-9_]*|REQUEST_TIMEOUT"
)
_PLACE: Final = re.compile(
    r"(?:AWS|BEDROCK(?:_MANTLE)?|CLOUDFLARE|GOOGLE|OCI|SNOWFLAKE|VERTEX(?:AI)?|WATSONX|WX)"
    r"_(?:DEFAULT_REGION|REGION|REGION_NAME|LOCATION|ACCOUNT_ID|PROJECT|PROJECT_ID)"
)
"""Variables that become a part of a host's name or of its path."""

_ALL_CALLS: Final = frozenset({"USE_LITELLM_PROXY", "LITELLM_PROXY_API_BASE"})
_MORE_STEMS: Final = {"bedrock": ("AWS",), "gemini": ("GOOGLE",), "watsonx": ("WX", "WML"), "vertex_ai": ("VERTEXAI",)}


def ignored_variables(env: Mapping[str, str]) -> tuple[str, ...]:
    """Return the names of variables that would change where calls go, or how; none of them does.

    Which region or account a provider is asked for stays the environment's to say, unless its value would make another
    host of the provider's.
    """
    return tuple(sorted(name for name, value in env.items() if value and name not in OURS and _is_ignored(name, value)))


def _is_ignored(name: str, value: str) -> bool:
    if _PLACE.fullmatch(name):
        return re.search(r"[/\\?#@\s]", value) is not None
    return _IGNORED.fullmatch(name) is not None


def needs_address(arm: Arm) -> str | None:
    """Return what to say of an arm that cannot be called since it has no address, or nobody answers there; or None."""
    if unnamed(arm) and arm.api_base is not None:
        return f"no server on this machine answers at {arm.api_base}/models: start it, or name the model"
    if arm.api_base is not None or arm.provider not in NO_ADDRESS:
        return None
    return f"{arm.provider} has no address of its own: the arm needs an api_base (and a key_env, if it takes a key)"


def drop_ignored(env: MutableMapping[str, str]) -> None:
    """Take the variables that are ignored out of an environment, and say in it what LiteLLM is told instead."""
    for name in ignored_variables(env):
        env.pop(name, None)
    env.update(OURS)


def note_ignored(arms: Iterable[Arm], env: Mapping[str, str]) -> str | None:
    """Return a line that names the variables which would have mattered to calls of these arms; None without any."""
    stems = {stem for arm in arms if arm.provider != "local" for stem in _stems(arm)}
    found = [
        name
        for name in ignored_variables(env)
        if (name in _ALL_CALLS and stems) or any(name.startswith(f"{stem}_") for stem in stems)
    ]
    if not found:
        return None
    names = found[0] if len(found) == 1 else f"{', '.join(found[:-1])} and {found[-1]}"
    return (
        f"{names} {'is' if len(found) == 1 else 'are'} set, and ignored: calls go to the provider's own address, "
        "or to an arm's api_base"
    )


def _stems(arm: Arm) -> set[str]:
    """Return how the names of variables begin that are about an arm's provider."""
    provider = provider_of(arm)
    if not provider:
        return set()
    name = re.sub(r"[^A-Z0-9]", "_", provider.upper())
    return {name, name.partition("_")[0], *_MORE_STEMS.get(provider, ())}
