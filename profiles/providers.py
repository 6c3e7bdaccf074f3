"""Providers: the built-in profile of each, the variables that its key is under, and what people call it."""

from __future__ import annotations

import re
from typing import Final

from .errors import UsageError
from .keys import looks_secret, provider_keys
from .schema import did_you_mean

__all__ = ["KEYS_OF", "MAKERS", "OTHERS", "RESELLER", "key_name", "unread", "variable_of", "variables", "words"]

KEYS_OF: Final = {
    "openai": provider_keys("openai"),
    "anthropic": provider_keys("anthropic"),
    "google": provider_keys("gemini"),
    "deepseek": provider_keys("deepseek"),
    "mistral": provider_keys("mistral"),
    "xai": provider_keys("xai"),
    "groq": provider_keys("groq"),
    "cerebras": provider_keys("cerebras"),
    "together": provider_keys("together_ai"),
    "bedrock": provider_keys("bedrock"),
    "openrouter": provider_keys("openrouter"),
}
"""Built-in profiles that a key alone is enough for, in the order in which they are told of; the key's variables."""

MAKERS: Final = ("openai", "anthropic", "google")
"""The profiles whose arms `mixed` has of itself."""

RESELLER: Final = "openrouter"
"""The profile that counts only where no maker's own key is there: it sells what they sell."""

OTHERS: Final = {
    name: provider
    for provider in (
        "ai21", "amazon_nova", "baseten", "cohere", "dashscope", "deepinfra", "fireworks_ai", "hyperbolic",
        "inception", "lambda_ai", "minimax", "moonshot", "morph", "nebius", "novita", "nscale",
        "perplexity", "replicate", "sambanova", "v0", "vercel_ai_gateway", "volcengine", "zai",
    )
    for name in provider_keys(provider)
}  # fmt: skip
"""Variables of providers that LiteLLM calls and no built-in profile has; the provider of each."""

_CALLED: Final = {
    "azure": "AZURE_API_KEY", "chatgpt": "OPENAI_API_KEY", "claude": "ANTHROPIC_API_KEY", "gemini": "GEMINI_API_KEY",
    "gpt": "OPENAI_API_KEY", "grok": "XAI_API_KEY", "together-ai": "TOGETHERAI_API_KEY",
    "aws": "AWS_BEARER_TOKEN_BEDROCK",
    "together_ai": "TOGETHERAI_API_KEY", "togetherai": "TOGETHERAI_API_KEY", "x.ai": "XAI_API_KEY",
    "fireworks": "FIREWORKS_AI_API_KEY", "nvidia": "NVIDIA_NIM_API_KEY", "kimi": "MOONSHOT_API_KEY",
    "qwen": "DASHSCOPE_API_KEY", "z.ai": "ZAI_API_KEY", "huggingface": "HF_TOKEN", "hf": "HF_TOKEN",
}  # fmt: skip
"""What providers are called besides, and the variable of each."""


_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_WORD: Final = re.compile(r"[A-Za-z]{1,16}([ _-][A-Za-z]{1,16}){0,3}")
"""What a key is not: letters alone, in short words."""


def words() -> dict[str, str]:
    """Return every name of a provider that `keys set` takes, in lower case, and the variable that its key is under."""
    named = {name: variables[0] for name, variables in KEYS_OF.items()}
    return {provider: provider_keys(provider)[0] for provider in OTHERS.values()} | named | _CALLED


def variable_of(name: str) -> str | None:
    """Return the variable of a provider's key, by a name of the provider in any case; None for another word."""
    return words().get(name.strip().lower())


def variables() -> tuple[str, ...]:
    """Return every variable that a provider's key is looked for under, the built-in profiles' first."""
    return (*(name for names in KEYS_OF.values() for name in names), "AZURE_API_KEY", *OTHERS)


def key_name(given: str) -> str:
    """Return the name that a key is kept under: a variable's, or that of the provider's.

    Raises
    ------
    UsageError
        If it is neither. What is given is shown only where it is a plain word: it may be a key.
    """
    variable = variable_of(given)
    if variable is not None:
        return variable
    if _VARIABLE.fullmatch(given) and looks_secret(given):
        return given
    hint = "It is a provider's name, such as openai or groq, or a variable's, such as OPENAI_API_KEY."
    if not _WORD.fullmatch(given):
        raise UsageError("that is not a name for a key, and is not shown: it may be a key itself", hint=hint)
    known = [*words(), *variables()]
    near = did_you_mean(given, known) or did_you_mean(given.lower(), known)
    raise UsageError(f"no provider or variable for a key is called {given!r}{near}", hint=hint)


def unread(name: str) -> str | None:
    """Return what to say of a name that no provider's arms look under, where it may be a slip of one that they do."""
    known = {*words().values(), *variables()}
    if name in known:
        return None
    near = did_you_mean(name, sorted(known))
    return f"no provider's arms look for a key under {name}{near or ': an arm with that key_env does'}"
