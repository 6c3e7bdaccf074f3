"""How many tokens a prompt is: an estimate to plan with, a bound to reserve with, an exact count where there is one."""

from __future__ import annotations

import json
import re
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from .chat import COUNTED, parts_of
from .context import approx_tokens
from .text_size import remembered, text_bound

if TYPE_CHECKING:
    from .chat import Chat
    from .prompt import Prompt

__all__ = ["bound_tokens", "estimate_tokens", "exact_tokens", "text_bound"]

_PER_MESSAGE: Final = 16
"""More than any provider's framing of one message (role, separators, a space put before the text) takes."""

_PER_CALL: Final = 256
"""More than the framing of a whole call takes: begin and end marks, the reply's header, and what a chat template writes
ahead of the first message on its own (gpt-oss: about 70 tokens)."""

_LONG_TEMPLATE: Final = re.compile(r"command-(r7b|a)|smollm3|grok", re.IGNORECASE)
"""Models whose chat template or provider puts a system prompt of its own ahead of ours."""

_PER_LONG_TEMPLATE: Final = 1_024
"""More than those take (SmolLM3: about 300 tokens, Command A: about 600, Grok 4: about 700)."""

_PER_SCHEMA: Final = 640
"""More than a provider adds of its own where a schema is asked for (Anthropic explains tools to its models in 530)."""

_PER_TOOLS: Final = 1_024
"""More than a provider adds of its own where tools are offered or were called: it tells the model how to call them
(Anthropic in up to 530 tokens, docs.anthropic.com/en/docs/tool-use-pricing-and-tokens; the templates of open models in
up to 400), and where none is offered any more LiteLLM adds one that does nothing."""

_PER_TOOL: Final = 64
"""More than the framing of one tool, or of one call of it, takes."""

_TYPICAL_TOOLS: Final = 300
"""What a provider typically adds where there are tools: most of Anthropic's models read 346 tokens."""

_IMAGES: Final = tuple(
    (re.compile(pattern, re.IGNORECASE), tokens)
    for pattern, tokens in (
        # gpt-4o-mini: 2,833 and 5,667 a tile, and 2,048 x 768 pixels, the most it keeps of an image, are eight tiles
        # (platform.openai.com/docs/guides/images-vision, "Calculating costs").
        (r"gpt-4o-mini", 2_833 + 8 * 5_667),
        # The other OpenAI models until GPT-5.1, from the same page: at most 75 + 8 x 150 where they count tiles (o1),
        # and 1,536 patches at up to 2.46 each where they count those (gpt-4.1-nano, gpt-5-nano).
        (r"gpt-4(?!o-mini)|gpt-5(?!\.[2-9]|\.\d\d)|computer-use|(^|/)o[134](-|$)", 3_779),
        # Until GPT-5.5 an image may be 10,000 patches ("original"). From GPT-5.6 on it keeps its size, and one of more
        # than 30,000 is refused (developers.openai.com/api/docs/guides/images-vision). Each at up to 2.46, as above.
        (r"gpt-5\.[2-5]", 24_600),
        (r"gpt-5\.([6-9]|\d\d)|gpt-([6-9]|\d\d)|chatgpt|chat-latest", 73_800),
        # Claude: at most 4,784 with high resolution (Opus 4.7 on), 1,600 before
        # (platform.claude.com/docs/en/build-with-claude/vision).
        (r"claude", 4_784),
        # Gemini 3: 1,120, and 2,240 at most. Before: 258 a tile, which is two thirds of the shorter side and 256 to 768
        # pixels, within 3,072 x 3,072: 12 x 2 tiles at most (ai.google.dev/gemini-api/docs/media-resolution; Vertex
        # AI's "Image understanding").
        (r"gemini", 24 * 258),
        # Qwen2-VL, 2.5-VL and 3-VL: `max_pixels` is 16,384 tokens of 28 x 28 (32 x 32) pixels, and two marks
        # (preprocessor_config.json of the models; DashScope's vl_high_resolution_images).
        (r"qwen|qvq", 16_384 + 2),
        # Llama 3.2 Vision: four tiles of 1,601; Llama 4: 16 tiles of 144, and the whole (the models' configurations).
        (r"llama-?[34]", 4 * 1_601),
        # Pixtral and Mistral: 64 x 64 patches of 16 pixels and a mark a row; later 55 x 55
        # (docs.mistral.ai/capabilities/vision).
        (r"pixtral|mistral|magistral|ministral", 64 * 65),
    )
)
"""The most that a family of models counts one image as, whatever its size. `detail` is never sent, so that the
provider's default holds; the bounds hold for the dearest."""

_ANY_IMAGE: Final = max(tokens for _, tokens in _IMAGES)
"""The same for a model of no family that is known, such as one behind a name of one's own: the most that any takes."""


def estimate_tokens(prompt: Prompt) -> int:
    """Estimate the input tokens of a whole call (history, system and attachments included)."""
    text = sum(remembered(part, approx_tokens) + 4 for part in prompt.parts())
    n_images = sum(attachment.is_image for attachment in prompt.attachments)
    n_files = len(prompt.attachments) - n_images
    if prompt.chat is not None:
        n_images, n_files = n_images + prompt.chat.n_images, n_files + prompt.chat.n_files
        text += _TYPICAL_TOOLS if prompt.chat.with_tools else 0
    return text + 1_000 * n_images + 1_500 * n_files + 3


def bound_tokens(prompt: Prompt, model: str, window: int | None) -> int | None:
    """Return more tokens than the call's input can be, or None where that cannot be said.

    An image counts as the most that the model counts one as, whether its bytes are sent or a URL that the provider
    fetches. A PDF is text and an image a page, and neither can be counted before the provider unpacks it (a few
    kilobytes may unpack to thousands of pages): then the model's whole window is the bound, since no provider takes
    more.
    """
    n = _PER_CALL + (_PER_LONG_TEMPLATE if _LONG_TEMPLATE.search(model) else 0)
    if prompt.forms:
        n += _json_bound(prompt.forms) + _PER_SCHEMA
    n_images = sum(attachment.is_image for attachment in prompt.attachments)
    n_files = len(prompt.attachments) - n_images
    if prompt.chat is None:
        for part in prompt.parts():
            n += text_bound(part) + _PER_MESSAGE
    else:
        n += prompt.chat.once("bound", _texts_bound)
        n += 0 if prompt.hint is None else text_bound(prompt.hint) + _PER_MESSAGE
        n_images, n_files = n_images + prompt.chat.n_images, n_files + prompt.chat.n_files
    if n_files:
        return window
    n += n_images * _image_bound(model)
    return n if window is None else min(n, window)


def _texts_bound(chat: Chat) -> int:
    """Bound a conversation's texts: all but images and files.

    What tools give back is counted as it is and as JSON, since some templates (Llama 3.1's) write it so; what they are
    called with, and what they are, twice over, as a schema is: servers parse it and write it anew, indented or not,
    with characters escaped or not, or as a language of their own (OpenAI as types of TypeScript, Anthropic as marked-up
    parameters).
    """
    bound = 0
    for message in chat.messages:
        parts = list(parts_of(message))
        bound += _PER_MESSAGE * max(1, len(parts))
        for part in parts:
            if isinstance(part, str):
                bound += _result_bound(part) if message.get("role") == "tool" else text_bound(part)
            elif part.get("type") not in chat.media:
                bound += _json_bound(part)
        calls = message.get("tool_calls") or ()
        if calls:
            bound += _json_bound(calls) + _PER_TOOL * len(calls)
        if more := {key: value for key, value in message.items() if key not in COUNTED}:
            bound += _json_bound(more)
    if chat.tools:
        bound += _json_bound(chat.tools) + _PER_TOOL * len(chat.tools)
    if chat.tool_choice is not None:
        bound += _json_bound(chat.tool_choice)
    return bound + (_PER_TOOLS if chat.with_tools else 0)


def _json_bound(value: Any) -> int:
    """Bound what is sent as JSON: twice its text with escapes or without, whichever a model may read more of."""
    return 2 * _escaped_bound(json.dumps(value, ensure_ascii=False))


def _result_bound(text: str) -> int:
    """Bound a text that is sent as it is, or as a string of JSON, which is longer."""
    return _escaped_bound(json.dumps(text, ensure_ascii=False))


def _escaped_bound(written: str) -> int:
    """Bound JSON whose characters beyond ASCII may be escaped (six characters for each unit of UTF-16), or not."""
    if written.isascii():
        return len(written)
    n_ascii = len(written.encode("ascii", "ignore"))
    n_units = len(written.encode("utf-16-le", "surrogatepass")) // 2
    return max(text_bound(written), n_ascii + 6 * (n_units - n_ascii))


@cache
def _image_bound(model: str) -> int:
    """Return the most tokens that a model counts one image as; where a name speaks of two families, of the dearer."""
    return max((tokens for family, tokens in _IMAGES if family.search(model)), default=_ANY_IMAGE)


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
