"""The fields of a call as OpenAI's interface spells them, by what becomes of each: every reader keeps to these."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["AS_WE_DO", "LIMITS", "PARAMS", "WITHOUT_EFFECT", "image_in", "is_as_we_do", "kind_of", "output_limit"]

LIMITS: Final = frozenset({"max_tokens", "max_completion_tokens"})
PARAMS: Final = frozenset({"temperature", "top_p", "seed", "stop", "presence_penalty", "frequency_penalty"})
WITHOUT_EFFECT: Final = frozenset(
    {"model", "user", "metadata", "store", "service_tier", "stream_options", "safety_identifier", "prompt_cache_key"}
)
"""What is left out: it changes no answer, or (`model`) is what scrimp decides."""

AS_WE_DO: Final[Mapping[str, Any]] = {"n": 1, "stream": False, "modalities": ["text"], "logprobs": False}
"""What may be said, since it is so in any case."""

_DATA_URL: Final = re.compile(r"data:(image/(?:png|jpeg|gif|webp));base64,(.*)", re.DOTALL)


def kind_of(value: Any) -> str:
    """Return what a JSON value is, in words."""
    names = {dict: "an object", list: "a list", str: "text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")


def output_limit(value: Any) -> int | None:
    """Return a limit on output, tokens; None where the value is no whole number above 0."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # as programs write it that know no whole numbers
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def is_as_we_do(key: str, value: Any) -> bool:
    """Return whether a field says what is so in any case."""
    if key not in AS_WE_DO or value != AS_WE_DO[key]:
        return False
    return isinstance(value, bool) is isinstance(AS_WE_DO[key], bool)


def image_in(url: Any) -> tuple[str, str] | None:
    """Return the media type and the base64 text of an image's data: URL; None where it is none that models take."""
    found = _DATA_URL.fullmatch(url) if isinstance(url, str) else None
    return None if found is None else (found[1], found[2])
