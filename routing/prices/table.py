"""What a call costs: a dated price table, the most a call can cost, and what a provider's usage comes to."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from scrimp.profiles.errors import ConfigError, DataError
from scrimp.profiles.money import NANO
from scrimp.profiles.reading import read_bytes
from scrimp.profiles.schema import DEFAULT_OUTPUT_LIMIT, REASONING_OUTPUT_LIMIT

from .successors import Candidate, successor

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from scrimp.profiles.schema import Arm, Price
from .batch_price import batch_entry, halved
from .price import EXACT, ArmPrice, Tier
from .surcharges import surcharges, uplift

__all__ = ["ModelInfo", "PriceTable", "check_table", "read_stored"]


_TABLE_FILE: Final = "model_prices_and_context_window_backup.json"
_MAX_TABLE_BYTES: Final = 64 << 20
_CHAT_MODES: Final = frozenset({"chat", "completion", "responses"})
_RATES: Final = {
    "input": "input_cost_per_token",
    "output": "output_cost_per_token",
    "cache_read": "cache_read_input_token_cost",
    "cache_write": "cache_creation_input_token_cost",
    "cache_write_1h": "cache_creation_input_token_cost_above_1hr",
    "reasoning": "output_cost_per_reasoning_token",
}
_TIER_KEY: Final = re.compile(r"(?P<rate>[a-z_0-9]+?)_above_(?P<count>\d+)(?P<kilo>k?)_tokens")
_INCLUSIVE_TIERS: Final = frozenset({"xai"})
"""Providers that charge a tier from its threshold on, not above it."""

_SAME_SELLER: Final = frozenset({("bedrock", "bedrock_converse"), ("cohere", "cohere_chat")})
"""Pairs of a prefix and the name under which its provider's own prices are listed."""

_ALWAYS_SEARCH: Final = re.compile(r"(^|/)sonar|-search-(preview|api)")
"""Models that search once on every request and charge for it, whatever the request says."""

_UNBOUNDED: Final = re.compile(r"deep-research")
"""Models that search as often as they like and charge each time: no bound on their cost exists."""

_CAPABILITIES: Final = {
    "vision": ("supports_vision", "supports_image_input"),
    "pdf": ("supports_pdf_input",),
    "tools": ("supports_function_calling",),
    "json": ("supports_response_schema", "supports_native_structured_output"),
    "reasoning": ("supports_reasoning",),
}


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What the price table knows of a model besides its price; None is unknown."""

    max_input_tokens: int | None = None
    max_output_tokens: int | None = None
    capabilities: frozenset[str] = frozenset()
    deprecation_date: str | None = None
    known: bool = False
    successor: str | None = None


class PriceTable:
    """A snapshot of model prices: LiteLLM's own table, read without importing LiteLLM, and the user's over it.

    Parameters
    ----------
    data
        The table's JSON: an object of models, each an object of prices in USD per token.
    version
        The version of LiteLLM it came with.
    own, own_name
        The user's own table in the same form, and how prices from it are named. What it lists wins, model by model.

    Raises
    ------
    ConfigError
        If `data` is not such a table.
    """

    def __init__(self, data: bytes, version: str, *, own: bytes | None = None, own_name: str = "prices.json") -> None:
        self.version = version
        self.own_name = None if own is None else own_name
        self._data = data if own is None else own + data
        bundled = _entries(data, f"the price table of litellm {version}", None)
        listed = f"litellm {version}"
        self._tables: tuple[tuple[dict[str, msgspec.Raw], str], ...] = ((bundled, listed),)
        if own is not None:
            hint = "`scrimp models prices --forget` removes it; `--update FILE` puts another in its place."
            self._tables = ((_entries(own, f"the price table {own_name}", hint), own_name), *self._tables)
        self._found: dict[str, tuple[dict[str, Any], str] | None] = {}
        self._successors: dict[str, str | None] = {}

    @classmethod
    def load(cls, own: Path | None = None) -> PriceTable:
        """Return the table of the installed LiteLLM; costs a few milliseconds and no import.

        Parameters
        ----------
        own
            The user's own table, which wins; it need not exist.

        Raises
        ------
        ConfigError
            If LiteLLM or its table is not there, or the user's cannot be read.
        """
        stored = None if own is None else read_stored(own)
        from importlib.util import find_spec

        spec = find_spec("litellm")
        folders = list(spec.submodule_search_locations or ()) if spec else []
        for folder in map(Path, folders):
            try:
                data = (folder / _TABLE_FILE).read_bytes()
            except OSError:
                continue
            if stored is None:
                return cls(data, _installed_version(folder))
            return cls(data, _installed_version(folder), own=stored[0], own_name=stored[1])
        raise ConfigError("the price table that comes with litellm is missing", hint="Install scrimp again.")

    @cached_property
    def sha256(self) -> str:
        """The hash of the table, in hexadecimal."""
        import hashlib

        return hashlib.sha256(self._data).hexdigest()

    @property
    def source(self) -> str:
        """Return how this table is named."""
        return " over ".join(name for _, name in self._tables)

    def entry(self, model: str) -> dict[str, Any] | None:
        """Return a model's entry, its numbers exact, or None.

        A model is looked up by its full id, then without its provider's prefix if the entry is that provider's own.
        The same model at another provider is another price: it is never looked up.
        """
        found = self._look_up(model)
        return None if found is None else found[0]

    def _look_up(self, model: str) -> tuple[dict[str, Any], str] | None:
        """Return a model's entry and the name of the table it stands in."""
        if model not in self._found:
            self._found[model] = next(self._matches(model), None)
        return self._found[model]

    def _matches(self, model: str) -> Iterator[tuple[dict[str, Any], str]]:
        for entries, name in self._tables:
            for key, provider in _lookups(model):
                raw = entries.get(key)
                found = None if raw is None else _decode(raw)
                if found is not None and (provider is None or _sells(provider, str(found.get("litellm_provider", "")))):
                    yield found, name

    def price(self, arm: Arm) -> ArmPrice | None:
        """Return what an arm costs, or None when nobody has said.

        A price in the profile wins. From the table, a price of 0 for input or output counts as not said: there it
        mostly means that nobody filled it in, so a free model has to be stated as free.
        """
        found = self._look_up(arm.model)
        if arm.price is not None:
            return replace(_stated(arm.price), surcharges=() if found is None else surcharges(found[0]))
        if found is None:
            return None
        return _listed(found[0], arm.model, arm.api_base, found[1])

    def batch_price(self, arm: Arm) -> ArmPrice | None:
        """Return what an arm costs through its provider's Batch API, or None when nobody has said what it costs."""
        found = self._look_up(arm.model)
        if arm.price is not None:
            price = self.price(arm)
            return None if price is None else replace(halved(price), source=f"{price.source}, batch")
        if found is None:
            return None
        return _listed(batch_entry(found[0]), arm.model, arm.api_base, f"{found[1]}, batch")

    def model_info(self, arm: Arm) -> ModelInfo:
        """Return what is known of an arm's model, with a successor when it is deprecated or unknown."""
        found = self.entry(arm.model)
        if found is None:
            return ModelInfo(successor=None if arm.price is not None else self.successor(arm.model))
        date = found.get("deprecation_date")
        return ModelInfo(
            max_input_tokens=_count(found.get("max_input_tokens")),
            max_output_tokens=_count(found.get("max_output_tokens")),
            capabilities=frozenset(
                name for name, flags in _CAPABILITIES.items() if any(found.get(flag) is True for flag in flags)
            ),
            deprecation_date=date if isinstance(date, str) else None,
            known=True,
            successor=self.successor(arm.model) if isinstance(date, str) else None,
        )

    def output_limit(self, arm: Arm) -> int:
        """Return the limit on output tokens to enforce on an arm.

        `max_output_tokens` when the profile says; else 16,384 where the arm or its model reasons and 4,096 elsewhere,
        never more than the model can produce.
        """
        info = self.model_info(arm)
        limit = arm.output_limit
        if arm.max_output_tokens is None and arm.reasoning_effort is None:
            limit = REASONING_OUTPUT_LIMIT if "reasoning" in info.capabilities else DEFAULT_OUTPUT_LIMIT
        if arm.max_output_tokens is None and info.max_output_tokens is not None:
            limit = min(limit, info.max_output_tokens)
        return limit

    def successor(self, model: str) -> str | None:
        """Return the model that most likely takes a model's place: same provider, same family, newest, still sold."""
        if model not in self._successors:
            provider = model.partition("/")[0] if "/" in model else ""
            found = self.entry(model)
            price = _listed(found, model, None, self.source) if found else None
            if found and not provider:
                provider = str(found.get("litellm_provider", ""))
            candidates = [
                Candidate(name, "deprecation_date" in entry, float(listed.input + listed.output))
                for name, entry, listed in self._sold_by(provider)
            ]
            cost = float(price.input + price.output) if price else None
            self._successors[model] = successor(model, cost, candidates)
        return self._successors[model]

    @cached_property
    def models(self) -> tuple[str, ...]:
        """The names of all models that the table lists for text, as it writes them, priced or not."""
        names = {key: raw for entries, _ in reversed(self._tables) for key, raw in entries.items()}
        modes = [f'"{mode}"'.encode() for mode in _CHAT_MODES]
        return tuple(key for key, raw in names.items() if any(mode in bytes(raw) for mode in modes))

    def models_called(self, name: str) -> tuple[str, ...]:
        """Return the priced models that a name may mean which lacks its provider's prefix, each with that prefix.

        A name that the table lists as it stands is its provider's own, whoever else sells the model; one of Google's
        is that of the Gemini API.

        Examples
        --------
        >>> table = PriceTable.load()
        >>> table.models_called("gpt-5-mini"), table.models_called("gemini-2.5-flash"), table.models_called("gpt-99")
        (('openai/gpt-5-mini',), ('gemini/gemini-2.5-flash',), ())
        """
        listed = (self.entry(name) or {}).get("litellm_provider")
        own = [f"{provider}/{name}" for provider in ("gemini", listed) if provider and listed is not None]
        if (found := next((model for model in own if self._is_priced(model)), None)) is not None:
            return (found,)
        return tuple(model for model in self.models if model.endswith(f"/{name}") and self._is_priced(model))

    def _is_priced(self, model: str) -> bool:
        found = self._look_up(model)
        return found is not None and _listed(found[0], model, None, found[1]) is not None

    def _sold_by(self, provider: str) -> Iterable[tuple[str, dict[str, Any], ArmPrice]]:
        """Yield a provider's priced chat models: the id to write in a profile, the entry, the price."""
        mark = f'"{provider}'.encode()
        merged = {key: raw for entries, _ in reversed(self._tables) for key, raw in entries.items()}
        for key, raw in merged.items():
            if not provider or mark not in bytes(raw):
                continue
            found = _decode(raw)
            if found is None or not _sells(provider, str(found.get("litellm_provider", ""))):
                continue
            price = _listed(found, key, None, self.source)
            if price is not None:
                yield key if key.startswith(f"{provider}/") else f"{provider}/{key}", found, price


def _entries(data: bytes, what: str, hint: str | None) -> dict[str, msgspec.Raw]:
    try:
        return msgspec.json.decode(data, type=dict[str, msgspec.Raw])
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ConfigError(f"{what} cannot be read: {error}", hint=hint) from None


def check_table(data: bytes, what: str) -> int:
    """Return how many models of a user's own price table have a price for text.

    Parameters
    ----------
    data
        JSON in the form of LiteLLM's table.
    what
        What the file is called, for messages.

    Raises
    ------
    DataError
        If it is not such a table, or an entry's price is negative, not a number, or absurd.
    """
    if len(data) > _MAX_TABLE_BYTES:
        raise DataError(f"{what}: a price table of {len(data):,} bytes is too large")
    try:
        entries = _entries(data, what, None)
    except ConfigError as error:
        raise DataError(error.message, hint="It is an object of models, in the form of LiteLLM's table.") from None
    n_priced = 0
    for model, raw in entries.items():
        found = _decode(raw)
        if found is None:
            continue  # LiteLLM's own has such entries: remarks on its form
        for key, value in found.items():
            if "cost_per" not in key or isinstance(value, (dict, list, str)) or value is None:
                continue
            if model == "sample_spec":
                continue
            number = isinstance(value, (int, Decimal)) and not isinstance(value, bool)
            if not number or not (Decimal(value).is_finite() and 0 <= value <= 1000):
                raise DataError(f"{what}: {model}: {key}: expected an amount in USD from 0 to 1000, got {value}")
        n_priced += _listed(found, model, None, what) is not None
    if n_priced == 0:
        raise DataError(
            f"{what}: no model in it has a price",
            hint='Each model needs "mode": "chat", input_cost_per_token and output_cost_per_token.',
        )
    return n_priced


def read_stored(path: Path) -> tuple[bytes, str] | None:
    """Return the user's own table and its name, with its date; None when there is none.

    Raises
    ------
    ConfigError
        If it is there and cannot be read.
    """
    try:
        data = read_bytes(path)
        date = datetime.fromtimestamp(path.stat().st_mtime, UTC).date()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigError(f"the price table {path} cannot be read: {error.strerror}") from None
    return data, f"{path.name} of {date.isoformat()}"


def _count(value: object) -> int | None:
    """Return a count of the table, some of which are written as fractions; None when absent or 0."""
    if isinstance(value, bool) or not isinstance(value, (int, Decimal)):
        return None
    return int(value) if value >= 1 else None


def _installed_version(folder: Path) -> str:
    """Return a package's version from the name of its metadata folder; ten times faster than asking for it."""
    for metadata in folder.parent.glob(f"{folder.name}-*.dist-info"):
        return metadata.name.removeprefix(f"{folder.name}-").removesuffix(".dist-info")
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(folder.name)
    except PackageNotFoundError:
        return "unknown"


def _lookups(model: str) -> Iterable[tuple[str, str | None]]:
    """Yield the keys a model may stand under, each with the provider whose own entry it has to be."""
    provider, slash, rest = model.partition("/")
    yield model, None
    if not slash:
        return
    if provider == "ollama_chat":
        yield f"ollama/{rest}", None
    yield rest, provider


def _sells(provider: str, listed: str) -> bool:
    """Return whether a price listed under one provider's name is the price of another's."""
    return listed == provider or listed.startswith(f"{provider}-") or (provider, listed) in _SAME_SELLER


def _decode(raw: msgspec.Raw) -> dict[str, Any] | None:
    import json

    found = json.loads(bytes(raw), parse_float=Decimal)
    return found if isinstance(found, dict) else None


def _stated(price: Price) -> ArmPrice:
    """Return a price that a profile states: USD per million tokens are thousands of nano-USD per token."""

    def nano(usd_per_mtok: Decimal | None) -> Decimal | None:
        return None if usd_per_mtok is None else EXACT.multiply(usd_per_mtok, Decimal(1000))

    return ArmPrice(
        input=EXACT.multiply(price.input_usd_per_mtok, Decimal(1000)),
        output=EXACT.multiply(price.output_usd_per_mtok, Decimal(1000)),
        cache_read=nano(price.cache_read_usd_per_mtok),
        cache_write=nano(price.cache_write_usd_per_mtok),
        reasoning=nano(price.reasoning_usd_per_mtok),
        per_request=EXACT.multiply(price.per_request_usd, Decimal(NANO)),
    )


def _listed(found: Mapping[str, Any], model: str, api_base: str | None, source: str) -> ArmPrice | None:
    """Return the price of an entry of the table, or None where it gives no price for text."""
    if found.get("mode") not in _CHAT_MODES or _UNBOUNDED.search(model):
        return None
    dearer = uplift(found, api_base)
    rungs = found.get("tiered_pricing")
    if isinstance(rungs, list) and rungs:
        return _from_rungs(rungs, source)
    base = _base(found, 0, dearer)
    if base is None:
        return None
    tiers: dict[int, dict[str, Decimal]] = {}
    names = {key: name for name, key in _RATES.items()}
    for key, value in found.items():
        match = _TIER_KEY.fullmatch(key)
        rate = _rate(value, dearer)
        if match and match["rate"] in names and rate is not None:
            above = int(match["count"]) * (1000 if match["kilo"] else 1)
            above -= found.get("litellm_provider") in _INCLUSIVE_TIERS
            tiers.setdefault(above, {})[names[match["rate"]]] = rate
    fee = _rate(found.get("input_cost_per_request"), Decimal(1)) or Decimal(0)
    searches = found.get("search_context_cost_per_query")
    if _ALWAYS_SEARCH.search(model) and isinstance(searches, dict):
        fee += max((_rate(value, Decimal(1)) or Decimal(0) for value in searches.values()), default=Decimal(0))
    price = _arm_price([base, *(_raised(base, above, rates) for above, rates in tiers.items())], fee, source)
    return replace(price, surcharges=surcharges(found))


def _base(found: Mapping[str, Any], above: int, uplift: Decimal) -> Tier | None:
    """Return the plain prices of an entry or of a rung, or None if one of the two that matter is not given."""
    rates = {name: _rate(found.get(key), uplift) for name, key in _RATES.items()}
    read, written = rates.pop("input"), rates.pop("output")
    if read is None or written is None:
        return None
    return Tier(above_tokens=above, input=read, output=written, **rates)


def _raised(base: Tier, above: int, rates: Mapping[str, Decimal]) -> Tier:
    """Return a tier; a price it leaves out rises as that of input or output does, which it goes with."""
    up_input = max(rates.get("input", base.input) / base.input, Decimal(1))
    up_output = max(rates.get("output", base.output) / base.output, Decimal(1))

    def rate(name: str, below: Decimal | None, up: Decimal) -> Decimal | None:
        return rates.get(name, None if below is None else below * up)

    return Tier(
        above_tokens=above,
        input=rates.get("input", base.input),
        output=rates.get("output", base.output),
        cache_read=rate("cache_read", base.cache_read, up_input),
        cache_write=rate("cache_write", base.cache_write, up_input),
        cache_write_1h=rate("cache_write_1h", base.cache_write_1h, up_input),
        reasoning=rate("reasoning", base.reasoning, up_output),
    )


def _from_rungs(rungs: Iterable[Any], source: str) -> ArmPrice | None:
    """Return the price of an entry that lists its tiers as ranges of input tokens."""
    tiers: list[Tier | None] = []
    for rung in rungs:
        span = rung.get("range") if isinstance(rung, dict) else None
        if isinstance(span, list) and len(span) == 2:
            tiers.append(_base(rung, int(span[0]), Decimal(1)))
    priced = [tier for tier in tiers if tier is not None]
    return _arm_price(priced, Decimal(0), source) if priced and len(priced) == len(tiers) else None


def _arm_price(tiers: Iterable[Tier], fee: Decimal, source: str) -> ArmPrice:
    """Return a price from its tiers, of which the lowest holds from the first token on."""
    base, *above = sorted(tiers, key=lambda tier: tier.above_tokens)
    return ArmPrice(
        input=base.input,
        output=base.output,
        cache_read=base.cache_read,
        cache_write=base.cache_write,
        cache_write_1h=base.cache_write_1h,
        reasoning=base.reasoning,
        tiers=tuple(above),
        per_request=fee,
        source=source,
    )


def _rate(value: object, uplift: Decimal) -> Decimal | None:
    """Return a price in nano-USD from one in USD; None when absent, 0 or nonsense."""
    if isinstance(value, bool) or not isinstance(value, (int, Decimal)):
        return None
    price = Decimal(value)
    return Decimal(f"{(price * NANO * uplift).normalize():f}") if price.is_finite() and price > 0 else None
