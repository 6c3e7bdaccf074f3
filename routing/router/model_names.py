"""What a model's name says: who makes it, its line, its size, its version, how many parameters it has.

Names are read, not looked up, so a model that came out after this was written is placed beside its relatives.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

__all__ = ["SIZES", "ModelName", "parse_name", "plain_name", "spellings", "undated", "without_effort"]

_DOTTED: Final = re.compile(r"^(?:[a-z][a-z0-9]*\.)+(?=[a-z])(?![vr]\d)")
"""Region and maker in front of a name, as Bedrock writes them: `us.anthropic.`"""

_BEDROCK: Final = re.compile(r"-v\d+(?::\d+k?)+$|-1:0$")
_RESOLD: Final = re.compile(
    r"^(?:databricks|openai|snowflake|anthropic|google|xai|fw)-"
    r"(?=gpt|o\d|claude|gemini|gemma|llama|meta-llama|kimi|deepseek|qwen|grok|glm|mistral)"
)
"""A maker or seller written as the first word of a name."""

_ROUTES: Final = re.compile(r":(?:free|extended|beta|floor|nitro|exacto|online|latest)$")
_QUANT: Final = re.compile(
    r"[-:_.](?:q\d(?:_\w+|-k-\w+|-\d)?|fp8(?:-dynamic)?|fp16|bf16|int[48]|awq|gptq|gguf|4bit|8bit|nvfp4|mxfp4|quality)(?=-|$)"
)
_DATE: Final = re.compile(
    r"-(?:20\d{2}-\d{2}-\d{2}|20\d{6}|\d{2}-20\d{2}|20\d{2}-\d{2}|(?:0\d|1[0-2])-(?:[0-2]\d|3[01])|v\d{8})(?=[-:]|$)"
)
_SHORT_DATE: Final = re.compile(r"-(?:\d{4}|00\d)(?=-|$)")
_STAGE: Final = re.compile(r"-(?:preview|latest|exp|experimental|beta|default|maas|tee|customtools|gv2|hf)(?=-|$)")
_TUNED: Final = re.compile(r"-(?:instruct|it|inst|instruct-turbo)(?=-|$)")
_EFFORT: Final = re.compile(
    r"[-:](non-reasoning|nothink(?:ing)?|no-think(?:ing)?|thinking|think|thk|reasoning|minimal|low|medium|high|xhigh)(?:-\d+k)?$"
)
_CLAUDE: Final = re.compile(r"^claude-(\d+(?:\.\d+)?)-(opus|sonnet|haiku|instant)")
_SPLIT_VERSION: Final = re.compile(r"(?<![\d.])(\d{1,2})-(\d{1,2})(?=-|$)")
_PARAMS: Final = re.compile(r"(?<![a-z0-9.])(?:(\d+)x)?(e?)(\d+(?:\.\d+)?)([bm])(?![a-z0-9])")
_ACTIVE: Final = re.compile(r"-a(\d+(?:\.\d+)?)b(?=-|$)")
_VERSION: Final = re.compile(r"(?<![\d.])[vkm]?(\d{1,2}(?:\.\d{1,2})?)(?![\d.]|b\b|m\b|x\d|k\b)")

_LEAST_PARAMS: Final = 0.001  # billions
_MOST_PARAMS: Final = 10_000.0

_OLLAMA: Final = {
    "llama-3.2": "llama-3.2-3b", "llama-3.1": "llama-3.1-8b", "llama-3": "llama-3-8b", "llama-3.3": "llama-3.3-70b",
    "llama-2": "llama-2-7b", "qwen-3": "qwen-3-8b", "qwen-2.5": "qwen-2.5-7b", "qwen-2": "qwen-2-7b",
    "gemma-3": "gemma-3-4b", "gemma-2": "gemma-2-9b", "gpt-oss": "gpt-oss-20b", "mistral": "mistral-7b-v0.3",
    "deepseek-r1": "deepseek-r1-0528-qwen3-8b", "phi-4": "phi-4", "smollm2": "smollm2-1.7b",
}  # fmt: skip
"""What Ollama serves under a name without a size."""

_MEANS: Final = {
    "gpt-4": "gpt-4-0613", "gpt-3.5-turbo": "gpt-3.5-turbo-0125",
    "deepseek-chat": "deepseek-v3.2", "deepseek-reasoner": "deepseek-v3.2",
}  # fmt: skip
"""What makers serve under a name that does not say which."""

_MAKERS: Final = {
    "openai": ("gpt", "chatgpt", "o1", "o3", "o4", "codex", "davinci", "text-davinci"),
    "anthropic": ("claude",),
    "google": ("gemini", "gemma", "palm"),
    "meta": ("llama", "codellama", "muse"),
    "mistral": (
        "mistral", "mixtral", "ministral", "magistral", "codestral", "devstral", "pixtral", "voxtral", "mathstral",
        "open-mistral", "open-mixtral",
    ),
    "alibaba": ("qwen", "qwq", "qvq", "codeqwen"),
    "deepseek": ("deepseek",),
    "xai": ("grok",),
    "microsoft": ("phi", "wizardlm"),
    "moonshot": ("kimi",),
    "zhipu": ("glm", "chatglm"),
    "amazon": ("nova", "amazon-nova", "titan"),
    "cohere": ("command", "aya"),
    "minimax": ("minimax",),
    "xiaomi": ("mimo",),
    "nvidia": ("nemotron", "nvidia"),
    "ai21": ("jamba",),
    "01": ("yi",),
    "ai2": ("olmo", "tulu"),
    "ibm": ("granite",),
    "hugging": ("smollm", "zephyr"),
    "bytedance": ("seed", "doubao"),
    "baidu": ("ernie",),
    "tencent": ("hunyuan",),
    "stepfun": ("step",),
    "liquid": ("lfm",),
    "tii": ("falcon",),
    "reka": ("reka",),
    "swiss": ("apertus",),
    "utter": ("eurollm",),
}  # fmt: skip

_MAKER_OF: Final = {start: maker for maker, starts in _MAKERS.items() for start in starts}
_STARTS: Final = re.compile("|".join(sorted(_MAKER_OF, key=len, reverse=True)))

SIZES: Final = {
    "nano": -2.0, "tiny": -2.0, "micro": -2.0, "flash-lite": -2.0, "luna": -2.0, "instant": -2.0,
    "mini": -1.0, "small": -1.0, "haiku": -1.0, "lite": -1.0, "fast": -1.0, "air": -1.0,
    "flash": -0.5, "scout": -0.5, "turbo": -0.5,
    "medium": 0.0, "sonnet": 0.0, "plus": 0.0, "terra": 0.0, "maverick": 0.0,
    "pro": 1.0, "opus": 1.0, "large": 1.0, "max": 1.0, "ultra": 1.0, "premier": 1.0, "heavy": 1.0, "sol": 1.0,
}  # fmt: skip
"""What makers call the members of a line, from least to most; 0 is the middle one."""

_SIZE: Final = re.compile(rf"(?<![a-z0-9])({'|'.join(sorted(SIZES, key=len, reverse=True))})(?![a-z0-9])")
_THINKS: Final = re.compile(
    r"^(?:o\d|qwq|qvq|magistral)|(?<![a-z0-9])(?:r1|thinking|think|reasoning|reasoner)(?![a-z0-9])"
)


@dataclass(frozen=True, slots=True)
class ModelName:
    """What a name says.

    Attributes
    ----------
    plain
        The name without provider, maker, date and stage.
    maker
        Who makes it; empty where the name does not tell.
    line
        The name without version, size, parameters and what else tells members of a line apart, such as `gpt`.
    size
        The word for its place in the line (`mini`, `opus`), or any other word that is left, such as a code name.
    rank
        What the word means, -2 to 1; None where it is not known.
    version
        The version as a decimal number (4.20 is 4.2, as xAI counts); None where there is none.
    params_b
        Parameters in billions; of a mixture of experts, the geometric mean of all and the active; None where not said.
    thinks
        Whether the name says that it reasons before it answers.
    effort
        A reasoning effort that the name ends in.
    """

    plain: str
    maker: str
    line: str
    size: str
    rank: float | None
    version: float | None
    params_b: float | None
    thinks: bool
    effort: str | None


def _bare(model: str) -> str:
    name = model.strip().lower().rsplit("/", 1)[-1].replace("@", "-").replace("_", "-")
    name = _ROUTES.sub("", name)
    name = _BEDROCK.sub("", name)
    name = _DOTTED.sub("", name)
    name = _QUANT.sub("", name.replace(" ", "-"))
    name = re.sub(r"^([a-z]+)\.(?=[vr]\d)", r"\1-", _RESOLD.sub("", name))
    name = name.removeprefix("meta-").removeprefix("c4ai-").removeprefix("nvidia-").removeprefix("amazon-")
    name = re.sub(r"(?<=\d)p(?=\d)", ".", name)
    name = re.sub(r"^(llama|qwen|gemma|phi|yi)-?v?(?=\d)", r"\1-", name)
    name = re.sub(r"^ll(?=3\.\d)", "llama-", name)
    if model.lower().startswith("ollama"):
        name = _OLLAMA.get(name, name)
    return _MEANS.get(name, name)


def _settled(name: str) -> str:
    """Return a name, its date gone, with one spelling of version and order."""
    name = _SPLIT_VERSION.sub(r"\1.\2", name.replace(":", "-"))
    name = re.sub(r"(?<![\d.])(\d)\.0(?![\d.])", r"\1", name)
    name = _CLAUDE.sub(r"claude-\2-\1", re.sub(r"^(claude-.+)-v\d$", r"\1", name))
    return re.sub(r"-{2,}", "-", name).strip("-.")


@lru_cache(maxsize=4096)
def spellings(model: str) -> tuple[str, ...]:
    """Return the names a model may be known by, the most exact first.

    Examples
    --------
    >>> spellings("bedrock/us.anthropic.claude-3-5-sonnet-20241022-v2:0")
    ('claude-3-5-sonnet-20241022', 'claude-sonnet-3.5')
    >>> spellings("openrouter/meta-llama/llama-3.1-8b-instruct:free")
    ('llama-3.1-8b-instruct', 'llama-3.1-8b')
    """
    bare = _bare(model)
    names = [bare.replace(":", "-")]
    undated = _STAGE.sub("", _DATE.sub("", _STAGE.sub("", bare)))
    names.append(_settled(undated))
    names.append(_settled(_TUNED.sub("", undated)))
    names.append(_settled(_TUNED.sub("", _SHORT_DATE.sub("", undated))))
    return tuple(dict.fromkeys(name for name in names if name))


def without_effort(model: str) -> str:
    """Return a model's id without the effort it ends in.

    Examples
    --------
    >>> without_effort("openrouter/openai/o3-mini-high")
    'openrouter/openai/o3-mini'
    """
    return _EFFORT.sub("", model.strip().lower())


def undated(plain: str) -> str:
    """Return a plain name without the short date, or the first versions' number, that it may have.

    Examples
    --------
    >>> undated("mistral-large-2411")
    'mistral-large'
    """
    return re.sub(r"-v0\.\d$", "", _settled(_SHORT_DATE.sub("", plain)))


def plain_name(model: str) -> str:
    """Return a model's name without provider, maker, dates written out, stage and tuning; its short date stays.

    Examples
    --------
    >>> plain_name("vertex_ai/claude-opus-4@20250514")
    'claude-opus-4'
    >>> plain_name("mistral/mistral-large-2411")
    'mistral-large-2411'
    """
    bare = _STAGE.sub("", _DATE.sub("", _STAGE.sub("", _bare(model))))
    return _settled(_TUNED.sub("", bare)) or _bare(model)


@lru_cache(maxsize=4096)
def parse_name(model: str) -> ModelName:
    """Return what a model's name says; of a name that says nothing, a `ModelName` that is mostly empty.

    Examples
    --------
    >>> name = parse_name("anthropic/claude-haiku-5-5")
    >>> name.maker, name.line, name.size, name.version
    ('anthropic', 'claude', 'haiku', 5.5)
    >>> parse_name("groq/qwen3-32b").params_b
    32.0
    """
    plain = plain_name(model)
    effort = None
    if (match := _EFFORT.search(plain)) is not None:
        effort = {"thinking": "high", "think": "high", "thk": "high", "reasoning": "high"}.get(match[1], match[1])
        effort = "none" if effort.startswith("no") else effort
    thinks = effort != "none" and _THINKS.search(plain) is not None
    rest = _SHORT_DATE.sub("", _EFFORT.sub("", plain))
    rest = rest.replace("gpt-4o", "gpt-4.05")  # later than gpt-4, before gpt-4.1
    active = _ACTIVE.search(rest)
    rest = _ACTIVE.sub("", rest)
    params = None
    experts = None
    for found in _PARAMS.finditer(rest):
        amount = float(found[3]) * float(found[1] or 1) / (1000.0 if found[4] == "m" else 1.0)
        if amount > (params or 0.0):
            params, experts = amount, 2.0 * float(found[3]) if found[1] else None
    if params and experts:
        params = (params * experts) ** 0.5  # two experts answer
    if params and active:
        params = (params * max(float(active[1]), 1e-3)) ** 0.5
    rest = _PARAMS.sub("", rest)
    if params:
        rest = re.sub(r"-turbo(?=-|$)", "", rest)  # a way of serving it
    maker = _maker(rest)
    sized = _SIZE.search(rest)
    size = sized[1] if sized else ""
    rest = _SIZE.sub("", rest)
    line_match = re.match(r"[a-z]+", rest)
    line = line_match[0] if line_match else ""
    version: float | None = None
    if (match := _VERSION.search(rest[len(line) :] if not re.match(r"o\d", rest) else rest[1:])) is not None:
        version = float(match[1])
    words = [
        word
        for word in re.split(r"[-:.]", rest[len(line) :])
        if re.fullmatch(r"[a-z]{2,}", word) and not _THINKS.search(word)
    ]
    if words:
        size = "-".join(filter(None, (*words, size)))
    rank = SIZES.get(sized[1]) if sized else None
    params = None if not params else min(max(params, _LEAST_PARAMS), _MOST_PARAMS)
    return ModelName(plain, maker, line, size, rank, version, params, thinks, effort)


def _maker(name: str) -> str:
    """Return who makes a model: by how its name begins, else by how a word of it does; empty where neither tells."""
    if (match := _STARTS.match(name)) is not None:
        return _MAKER_OF[match[0]]
    words = filter(None, map(_STARTS.match, name.split("-")))
    return next((_MAKER_OF[match[0]] for match in words if len(match[0]) > 3), "")
