"""What a profile may say: the types."""

from __future__ import annotations

import difflib
import re
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, get_args

import msgspec

from .rungs import bare_of, base_of, reading_of

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "ALERT_PERCENTS",
    "DEFAULT_OUTPUT_LIMIT",
    "EFFORTS",
    "INPUT",
    "MAX_TEXT",
    "NAME_PATTERN",
    "NAME_WORDS",
    "PARAMS",
    "PRESETS_USD",
    "REASONING_OUTPUT_LIMIT",
    "TIERS",
    "Alerts",
    "Arm",
    "ArmCaps",
    "Caps",
    "Check",
    "Effort",
    "Embedding",
    "Guard",
    "Keep",
    "Limits",
    "Log",
    "Otel",
    "PlacedRule",
    "Policy",
    "Pool",
    "Prefer",
    "Price",
    "Private",
    "Profile",
    "Resident",
    "Rule",
    "Scope",
    "Tier",
    "Unsafe",
    "Weights",
    "When",
    "did_you_mean",
]

DEFAULT_OUTPUT_LIMIT: Final = 4096
"""Output tokens an arm may spend when its profile does not say."""

REASONING_OUTPUT_LIMIT: Final = 16_384
"""The same for an arm that reasons, whose thinking is output too."""

PRESETS_USD: Final = {"cheap": Decimal("0.01"), "balanced": Decimal("0.1"), "best": Decimal("1.0")}
"""What a right answer is worth under each `prefer`, in USD."""

TIERS: Final = ("small", "medium", "large")
"""Tiers from least to most capable."""

NAME_PATTERN: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
"""Names of profiles, arms and checks: they become file names and parts of scopes such as `arm:NAME:day`."""

PARAMS: Final = frozenset(
    {
        "frequency_penalty", "keep_alive", "logit_bias", "min_p", "num_ctx", "presence_penalty", "repetition_penalty",
        "seed", "stop", "temperature", "thinking", "top_k", "top_p", "user", "verbosity",
    }
)  # fmt: skip
"""Everything `params` may hold. Other parameters can change what a call costs or where it goes."""

Prefer = Literal["cheap", "balanced", "best"]
Keep = Literal["all", "features", "money"]
Tier = Literal["small", "medium", "large"]
Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]

Private = Literal["off", "warn", "redact", "local", "refuse"]

EFFORTS: Final[tuple[Effort, ...]] = get_args(Effort)
"""Reasoning efforts, ascending."""

INPUT: Final = "{{input}}"
"""What stands for the prompt in an arm's own `prompt`."""

MAX_TEXT: Final = 200_000
"""The most characters of a text that an arm is told."""

NAME_WORDS: Final = "a name: up to 64 letters, digits, dots, dashes and underscores, the first a letter or digit"
"""What `NAME_PATTERN` asks for, in words."""

_Meta = msgspec.Meta
_Usd = Annotated[Decimal, _Meta(description="an amount in USD, 0 or more")]
_Count = Annotated[int, _Meta(ge=1, le=10**9, description="a whole number, 1 or more")]
_Name = Annotated[str, _Meta(pattern=rf"^{NAME_PATTERN.pattern}\Z", description=NAME_WORDS)]
_ArmName = Annotated[
    str,
    _Meta(
        pattern=rf"^{NAME_PATTERN.pattern}(:({'|'.join(EFFORTS)}))?\Z",
        description='the name of an arm, or of one of its efforts such as "sonnet:low"',
    ),
]
_ArmNames = Annotated[tuple[_ArmName, ...], _Meta(description='a list of arms, such as ["small", "sonnet:low"]')]
_Model = Annotated[
    str,
    _Meta(
        pattern=r"^[^\s\x00-\x1f\x7f]{1,256}\Z", description='a model as LiteLLM names it, such as "openai/gpt-5-mini"'
    ),
]
_Url = Annotated[
    str,
    _Meta(
        pattern=r"^https?://[^\s/?#@\x00-\x1f]+(/[^\s?#@\x00-\x1f]*)?\Z",
        description="an http:// or https:// address without user name, password, ? or #",
    ),
]
_Hook = Annotated[
    str,
    _Meta(
        pattern=r"^(https://[^\s/?#@\x00-\x1f]+|http://(localhost|127\.0\.0\.1|\[::1\])(:\d{1,5})?)([/?][^\s#\x00-\x1f]*)?\Z",
        description="an https:// address (http:// on this machine only) without user name, password or #",
    ),
]
_Percent = Annotated[int, _Meta(ge=1, le=100, description="a whole number from 1 to 100")]
_Variable = Annotated[
    str,
    _Meta(
        pattern=r"^[A-Za-z_][A-Za-z0-9_]*\Z", description="the name of an environment variable, never the key itself"
    ),
]
_Command = Annotated[
    tuple[Annotated[str, _Meta(min_length=1)], ...],
    _Meta(min_length=1, description='a list of words, such as ["pass", "show", "openai"]; no shell reads it'),
]
_Tag = Annotated[str, _Meta(pattern=r"^[a-z0-9][a-z0-9_-]{0,31}\Z")]
_Text = Annotated[
    str,
    _Meta(
        min_length=1,
        max_length=MAX_TEXT,
        description=f'text of up to {MAX_TEXT:,} characters, or "file:NAME" to read it from a file',
    ),
]
_SentTo = Annotated[
    str,
    _Meta(
        pattern=rf"^arm:{NAME_PATTERN.pattern}(:({'|'.join(EFFORTS)}))?\Z", description='an arm, such as "arm:careful"'
    ),
]
_FileName = Annotated[
    str, _Meta(min_length=1, max_length=4096, description='the name of a file, such as "scope.jsonl"')
]
_Seconds = Annotated[float, _Meta(gt=0, le=86_400, description="a number of seconds above 0")]
_PlanText = Annotated[str, _Meta(min_length=1, max_length=4096, description='a plan such as "small ? checks > large"')]


class Price(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an arm costs when the profile says so, in USD per million tokens; it wins over every price table."""

    input_usd_per_mtok: _Usd
    output_usd_per_mtok: _Usd
    cache_read_usd_per_mtok: _Usd | None = None
    cache_write_usd_per_mtok: _Usd | None = None
    reasoning_usd_per_mtok: _Usd | None = None
    per_request_usd: _Usd = Decimal(0)


class Limits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How fast a provider lets an arm go."""

    rpm: _Count | None = None
    tpm: _Count | None = None
    concurrency: _Count | None = None


class Caps(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The most a profile may spend; None is no cap of that kind."""

    per_call_usd: _Usd | None = None
    per_run_usd: _Usd | None = None
    per_day_usd: _Usd | None = None
    per_month_usd: _Usd | None = None
    timezone: Annotated[str, _Meta(description='"local" or a zone such as "Europe/Paris"')] = "local"


class ArmCaps(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The most one arm may spend, within the profile's own caps."""

    per_call_usd: _Usd | None = None
    per_day_usd: _Usd | None = None
    per_month_usd: _Usd | None = None


class Weights(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What else is held against an arm beside its cost, in USD: a billion parameters, a year of age, and so on.

    `verbosity` is of 1,000 output tokens, `security` of a call that leaves this machine; 0 holds nothing against it.
    """

    size: _Usd = Decimal(0)
    recency: _Usd = Decimal(0)
    verbosity: _Usd = Decimal(0)
    security: _Usd = Decimal(0)


class Policy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the router weighs quality against cost."""

    mode: Literal["route", "cascade"] = "route"
    prefer: Prefer = "balanced"
    wtp_usd: _Usd | None = None
    min_quality: Annotated[float, _Meta(ge=0, le=1, description="a number from 0 to 1")] = 0.0
    explore: Annotated[float, _Meta(ge=0, le=0.5, description="a number from 0 to 0.5")] = 0.02
    pace: Literal["off", "month"] = "off"
    minute_usd: _Usd | None = None
    max_seconds: _Seconds | None = None
    weights: Weights = Weights()

    @property
    def wtp(self) -> float:
        """Return the willingness to pay: USD for one unit of quality."""
        return float(PRESETS_USD[self.prefer] if self.wtp_usd is None else self.wtp_usd)


class Log(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the ledger keeps of a prompt besides its money, and for how long.

    Attributes
    ----------
    signals
        Which of what a user does goes down as a weak label of an answer: nothing, that it was asked again by `redo`, or
        also that nearly the same was asked within a minute.
    """

    keep: Keep = "all"
    signals: Literal["off", "redo", "all"] = "redo"
    retention_days: Annotated[int, _Meta(ge=1, le=36_500, description="a number of days, 1 or more")] | None = 365


class Arm(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One choice the policy can make: a model, its effort, its limits, and what it is told.

    Of a profile that was built, an arm with `efforts` is one rung of that ladder: it is called `NAME:EFFORT`, asks at
    that `reasoning_effort`, and keeps the whole of `efforts`.
    """

    name: _Name
    model: _Model
    api_base: _Url | None = None
    batch_api: Literal["openai", "anthropic", "gemini"] | None = None
    key_env: _Variable | None = None
    key_cmd: _Command | None = None
    max_output_tokens: _Count | None = None
    reasoning_effort: Effort | None = None
    tier: Tier | None = None
    tags: Annotated[tuple[_Tag, ...], _Meta(description='a list of lower-case words, such as ["json", "local"]')] = ()
    price: Price | None = None
    limits: Limits = Limits()
    cap: ArmCaps | None = None
    params: dict[str, Any] = {}
    timeout_s: Annotated[float, _Meta(gt=0, le=86_400, description="a number of seconds above 0")] = 120.0
    context_window: _Count | None = None
    system: _Text | None = None
    prompt: _Text | None = None
    about: _Text | None = None
    like: _ArmName | None = None
    efforts: Annotated[tuple[Effort, ...], _Meta(description='a list such as ["low", "high"]')] = ()
    release: (
        Annotated[str, _Meta(pattern=r"^20\d\d-(0[1-9]|1[0-2])\Z", description='a month such as "2026-03"')] | None
    ) = None
    size: (
        Annotated[str, _Meta(pattern=r"^\d{1,5}(\.\d{1,3})?[MB]\Z", description='a number of parameters such as "8B"')]
        | None
    ) = None

    @property
    def base(self) -> str:
        """Return the name of the `[[arms]]` that it comes of: its own, less the effort of a ladder's rung."""
        return base_of(self.name)

    @property
    def provider(self) -> str:
        """Return the model's provider prefix, or "" for a bare model id."""
        prefix, slash, _ = self.model.partition("/")
        return prefix if slash else ""

    @property
    def output_limit(self) -> int:
        """Return the enforced limit on output tokens, as far as the profile alone can tell.

        A model that reasons without being told to is known to the price table only: see `PriceTable.output_limit`.
        """
        if self.max_output_tokens is not None:
            return self.max_output_tokens
        return REASONING_OUTPUT_LIMIT if self.reasoning_effort not in {None, "none"} else DEFAULT_OUTPUT_LIMIT


class Check(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A named check of an answer: a command, or any other check spelled as for `--check`."""

    cmd: _Command | None = None
    spec: Annotated[str, _Meta(min_length=1, max_length=4096, description='a check such as "re:^[A-D]$"')] | None = None
    timeout_s: Annotated[float, _Meta(gt=0, le=3_600, description="a number of seconds above 0")] = 60.0


class Embedding(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The model that embeds prompts on this machine."""

    model: Annotated[str, _Meta(min_length=1, max_length=256, description="the name of an embedding model")] = "builtin"


ALERT_PERCENTS: Final = (50, 80, 100)
"""Shares of a cap at which the user is told where the profile does not say."""


class Alerts(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is told of events as they happen: a command that is run, or an address that is posted to."""

    cmd: _Command | None = None
    url: _Hook | None = None
    at: Annotated[tuple[_Percent, ...], _Meta(min_length=1, description="a list of percents such as [50, 80, 100]")] = (
        ALERT_PERCENTS
    )
    timeout_s: Annotated[float, _Meta(gt=0, le=60, description="a number of seconds up to 60")] = 10.0

    @property
    def wanted(self) -> bool:
        """Whether anything is told."""
        return self.cmd is not None or self.url is not None


class Otel(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where spans and metrics of paid requests go, over OTLP/HTTP, and whether with texts."""

    endpoint: _Hook
    content: bool = False
    timeout_s: Annotated[float, _Meta(gt=0, le=60, description="a number of seconds up to 60")] = 3.0


class Resident(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whether a process that has everything loaded is kept for the next command."""

    start: Literal["auto", "off"] = "auto"


class Pool(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A folder of Markdown files, each of them an arm."""

    folder: Annotated[str, _Meta(min_length=1, max_length=4096, description='a folder, such as "skills/"')]
    like: _ArmName | None = None


class Scope(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the arms are for, by examples, and what becomes of a prompt that is nothing of the kind."""

    examples: _FileName
    outside: Annotated[
        str,
        _Meta(
            pattern=rf"^(refuse|default|arm:{NAME_PATTERN.pattern}(:({'|'.join(EFFORTS)}))?)\Z",
            description='"refuse", "default", or an arm such as "arm:careful"',
        ),
    ] = "refuse"


class Unsafe(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The arm that takes prompts which are like unsafe ones, and examples of those beside the shipped ones."""

    use: _SentTo
    examples: _FileName | None = None


class Guard(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is looked at before a prompt leaves, and what becomes of it then."""

    private: Private = "off"
    names: Annotated[
        tuple[Annotated[str, _Meta(min_length=1, max_length=4096)], ...],
        _Meta(description='a list of names, or of files with a name a line, such as ["file:clients.txt"]'),
    ] = ()
    risky: Annotated[
        str,
        _Meta(
            pattern=rf"^(off|warn|ask|refuse|arm:{NAME_PATTERN.pattern}(:({'|'.join(EFFORTS)}))?)\Z",
            description='"off", "warn", "ask", "refuse", or an arm such as "arm:careful"',
        ),
    ] = "off"
    risk_below: Annotated[float, _Meta(ge=0, le=1, description="a number from 0 to 1")] = 0.25
    scope: Scope | None = None
    unsafe: Unsafe | None = None


class When(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which prompts a rule is about: all that is said here has to hold."""

    match: Annotated[str, _Meta(min_length=1, max_length=4096, description='a text, or "re:PATTERN"')] | None = None
    language: Annotated[str, _Meta(pattern=r"^[a-z]{2,3}\Z", description='a language code such as "de"')] | None = None
    has: Literal["code", "image", "file"] | None = None
    tag: Annotated[str, _Meta(min_length=1, max_length=256)] | None = None
    command: Literal["ask", "redo", "batch", "serve", "duel", "probe", "audit"] | None = None


class Rule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which arms may take certain prompts; of a profile's rules the first that fits holds."""

    when: When
    use: _ArmNames = ()
    never: _ArmNames = ()


class PlacedRule(Rule, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A rule with where it stands, "FILE:LINE"."""

    at: str = ""


class Profile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Arms, caps and a policy under one name, complete: every default is filled in."""

    name: _Name
    extends: str | None = None
    default_arm: str = ""
    caps: Caps = Caps()
    policy: Policy = Policy()
    log: Log = Log()
    arms: tuple[Arm, ...] = ()
    checks: dict[str, Check] = {}
    embedding: Embedding = Embedding()
    resident: Resident = Resident()
    plans: dict[str, _PlanText] = {}
    pool: Pool | None = None
    guard: Guard = Guard()
    alerts: Alerts = Alerts()
    otel: Otel | None = None
    rules: tuple[PlacedRule, ...] = ()

    def arm(self, name: str) -> Arm:
        """Return the arm called `name`; with a reading in its name, that arm under this name.

        Raises
        ------
        KeyError
            If no arm has that name.
        """
        for arm in self.arms:
            if arm.name == bare_of(name):
                return arm if reading_of(name) is None else msgspec.structs.replace(arm, name=name)
        raise KeyError(name)

    def rungs(self, name: str) -> tuple[Arm, ...]:
        """Return the arms of the ladder called `name`, the least effort first; none where it is no ladder."""
        return tuple(arm for arm in self.arms if arm.efforts and arm.base == name)

    def known_arms(self, asked: str) -> str:
        """Return in words which arms there are, for who asked for one that is not there."""
        if rungs := self.rungs(asked):
            return f"{asked} has efforts: take one of {', '.join(arm.name for arm in rungs)}."
        return f"It has: {', '.join(arm.name for arm in self.arms)}."

    @property
    def default(self) -> Arm:
        """Return the safe arm: the one taken when the router should not be trusted."""
        return self.arm(self.default_arm)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return " (did you mean ...?)", or "" when nothing known comes near."""
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f" (did you mean {near[0]!r}?)" if near else ""
