"""How many tokens a prompt is: an estimate to plan with, a bound to reserve with, an exact count where there is one."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final

from .context import approx_tokens

if TYPE_CHECKING:
    from .prompt import Prompt

__all__ = ["bound_tokens", "estimate_tokens", "exact_tokens"]

_PER_MESSAGE: Final = 16
"""More than any provider's framing of one message (role, separators) takes."""

_PER_CALL: Final = 256
"""More than the framing of a whole call takes: begin and end marks, the reply's header, and what a chat template writes
ahead of the first message on its own (gpt-oss: about 70 tokens)."""

_PER_SCHEMA: Final = 640
"""More than a provider adds of its own where a schema is asked for (Anthropic explains tools to its models in 530)."""

_IMAGE: Final = 8_192
"""More than any provider but one charges for one image at its default detail."""

_IMAGE_GPT4O_MINI: Final = 2_833 + 8 * 5_667
"""gpt-4o-mini counts an image as 2,833 tokens and 5,667 a tile, of which the largest image it takes has eight."""


def estimate_tokens(prompt: Prompt) -> int:
    """Estimate the input tokens of a whole call (history, system and attachments included)."""
    text = sum(approx_tokens(part) + 4 for part in prompt.parts())
    images = sum(1_000 if attachment.is_image else 1_500 for attachment in prompt.attachments)
    return text + images + 3


def bound_tokens(prompt: Prompt, model: str, window: int | None) -> int | None:
    """Return more tokens than the call's input can be, or None where that cannot be said.

    Every token of a byte-level or byte-fallback tokeniser stands for at least one byte of the text, so the UTF-8 length
    is an over-count whatever the tokeniser. A PDF's text cannot be counted before the provider unpacks it: then the
    model's whole window is the bound, since no provider takes more.
    """
    n = _PER_CALL
    for part in prompt.parts():
        n += len(part.encode("utf-8", "surrogatepass")) + _PER_MESSAGE
    if prompt.schema is not None:
        n += 2 * len(prompt.schema_text.encode()) + _PER_SCHEMA
    for attachment in prompt.attachments:
        if not attachment.is_image:
            return window
        n += _IMAGE_GPT4O_MINI if "gpt-4o-mini" in model else _IMAGE
    return n if window is None else min(n, window)


def exact_tokens(text: str, model: str) -> int | None:
    """Count a text with the model's own tokeniser, or return None where that is not public.

    The tables are those litellm carries; nothing is fetched. Loading one takes about half a second.
    """
    encoding = _encoding(_encoding_name(model))
    return None if encoding is None else len(encoding.encode(text, disallowed_special=()))


def _encoding_name(model: str) -> str | None:
    provider, _, name = model.rpartition("/")
    if provider not in ("", "openai", "azure", "openrouter/openai"):
        return None
    if name.startswith(("gpt-3.5", "gpt-4-", "text-embedding")) or name == "gpt-4":
        return "cl100k_base"
    if name.startswith(("gpt-", "o1", "o3", "o4", "chatgpt-")):
        return "o200k_base"
    return None


@cache
def _encoding(name: str | None) -> Any:
    if name is None:
        return None
    import importlib.util
    import os
    from pathlib import Path

    spec = importlib.util.find_spec("litellm")
    if spec is None or spec.origin is None:
        return None
    tables = Path(spec.origin).parent / "litellm_core_utils" / "tokenizers"
    os.environ.setdefault("TIKTOKEN_CACHE_DIR", str(tables))
    import tiktoken

    try:
        return tiktoken.get_encoding(name)
    except Exception:  # noqa: BLE001 - tiktoken tries the network when a table is not there, and raises what that raises
        return None
