"""How able a model is, on one scale, whether public benchmarks know it or only its name and price are known.

The scale: logit units, gpt-4o-mini is 0; a model one higher is right about one logit more often on a public benchmark
of middling difficulty. Fitted by `bench/abilities.py` from public leaderboards; what is read here is its result.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from scrimp.profiles.errors import ConfigError, DataError
from scrimp.profiles.reading import read_bytes
from scrimp.routing.text.in_words import counted

from .model_names import SIZES, ModelName, parse_name, plain_name, spellings, undated, without_effort
from .placed import Placed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from .arms import ArmInfo

__all__ = [
    "EFFORT_TOKENS", "AbilityTable", "Expected", "Known", "check_table", "effort_tokens", "expect",
    "features", "place_arm", "shipped_table", "usual_effort", "version_year",
]  # fmt: skip

SCHEMA: Final = 1

EFFORT_TOKENS: Final = {
    "none": 1.0,
    "minimal": 1.0,
    "low": 2.0,
    "medium": 6.0,
    "high": 12.0,
    "xhigh": 20.0,
    "max": 20.0,
}
"""How many times the tokens of an answer without thinking an effort writes, until the log says otherwise. Chosen."""

_TIER_RANK: Final = {"small": -1.5, "medium": -0.25, "large": 1.0}
_TIER_PRICE: Final = {"small": 0.6, "medium": 4.0, "large": 12.0}
"""What stands for a tier where the name has no word of size, and no price is known: middles of the profiles' arms."""

_SAME_PARAMS: Final = 0.12  # two sizes are the same within so many decades of parameters
_NEAR_PRICE: Final = 0.7  # decades of price within which a model of the same line counts as near
_UNPRICED_AWAY: Final = 1.0  # how far apart two count where one's price is not known
_SAME_RANK: Final = 0.6  # two words of size mean the same place in a line
_NEAR_SCALE: Final = 0.3  # what is so much farther counts 1 / e as much
_NEAR_MOST: Final = 3
_STEP_YEARS: Final = 0.5  # a successor whose date is unknown came so long after
_BEYOND_YEARS: Final = 0.25  # growth is not drawn out further past the newest data: of late it has slowed
_NAMELESS_YEARS: Final = 1.0  # what nobody's name tells of is taken to be a year older than the newest
_NAMELESS_SD: Final = 1.0
_AFTER: Final = {"follows": _STEP_YEARS, "precedes": -_STEP_YEARS, "near": _STEP_YEARS}


def effort_tokens(effort: str | None) -> float:
    """Return how many times more tokens a reasoning effort writes than none; of None or an unknown word, 1."""
    return EFFORT_TOKENS.get(effort or "none", 1.0)


class Known(NamedTuple):
    """A model of a table.

    Ability and its sd in logits; release as a year with fraction; benchmarks behind it (0: a table of the user's own);
    USD per million output tokens; whether it thinks before it answers.
    """

    ability: float
    sd: float
    released: float | None
    n: int
    price: float | None
    thinks: bool = False


def features(
    name: ModelName, *, year: float, price: float | None = None, tier: str | None = None, thinks: bool = False
) -> dict[str, float]:
    """Return what is known of a model besides its scores, as the regression takes it.

    Parameters
    ----------
    year
        Its release, with the fraction.
    price
        USD per million output tokens; None or 0 where unknown.
    """
    t = year - 2025.0
    if not price and name.params_b is None and tier is not None:
        price = _TIER_PRICE.get(tier)
    rank = name.rank if name.rank is not None else _TIER_RANK.get(tier or "")
    found = {"one": 1.0, "year": t}
    if name.params_b is not None:
        size = math.log10(min(max(name.params_b, 0.01), 3000.0) / 10.0)
        found |= {"open": 1.0, "log_params": size, "log_params_year": size * t, "tiny": min(size + 0.7, 0.0)}
    if price:
        dear = math.log10(min(max(price, 0.01), 200.0) / 2.0)
        found |= {"log_price": dear, "log_price_year": dear * t}
    else:
        found["unpriced"] = 1.0
    if rank is not None:
        found |= {"rank": rank}
    if thinks or name.thinks:
        found["thinks"] = 1.0
    if name.maker:
        found[f"maker {name.maker}"] = 1.0
    return found


@dataclass(frozen=True, slots=True)
class Expected:
    """What a model without scores is expected to have, in parts.

    Attributes
    ----------
    base
        By the regression on its features.
    kind
        `follows` or `precedes` a model of the same size word and line, stands `near` some of its line, or `alone`.
    excess
        How far relatives stand above their own regression.
    floor
        The ability of what it succeeds; minus infinity where it succeeds nothing.
    key
        The relative that says most; empty where there is none.
    """

    base: float
    kind: str
    excess: float = 0.0
    floor: float = -math.inf
    key: str = ""


def expect(
    name: ModelName,
    others: Mapping[str, Known],
    coefficients: Mapping[str, float],
    newest: float,
    *,
    price: float | None = None,
    tier: str | None = None,
    thinks: bool = False,
    released: float | None = None,
) -> Expected:
    """Return what a model is expected to have by what is known of its maker's others.

    Parameters
    ----------
    others
        Models of the same maker, by name.
    coefficients
        Of `features`.
    newest
        The date of the newest model known, a year with fraction: growth is drawn out a quarter of a year past it.
    released
        The model's own date; guessed from its version where None.
    """

    def regressed(name: ModelName, year: float, price: float | None, tier: str | None, thinks: bool) -> float:
        values = features(name, year=year, price=price, tier=tier, thinks=thinks)
        return sum(coefficients.get(key, 0.0) * value for key, value in values.items())

    others = {key: row for key, row in others.items() if name.line in key}  # to read fewer names
    kind, kin = _relatives(name, price, others, tier)
    if price is None and kin:
        price = others[kin[0][0]].price  # else an unpriced relative's price would count as a fall in ability
    year = released or version_year(name, {key: row.released for key, row in others.items()})
    if year is None and kin:
        unversioned = kind == "near" and name.version is None
        year = newest if unversioned else (others[kin[0][0]].released or newest - _STEP_YEARS) + _AFTER[kind]
    elif year is None:
        year = newest if name.maker else newest - _NAMELESS_YEARS
    base = regressed(name, min(year, newest + _BEYOND_YEARS), price, tier, thinks)
    if not kin:
        return Expected(base, "alone")
    excess = weights = 0.0
    for key, weight in kin:
        row, other = others[key], parse_name(key)
        excess += weight * (
            row.ability - regressed(other, row.released or newest - _STEP_YEARS, row.price, None, row.thinks)
        )
        weights += weight
    first = others[kin[0][0]]
    succeeds = kind == "follows" or (kind == "near" and _succeeds(name, price, parse_name(kin[0][0]), first))
    return Expected(base, kind, excess / weights, first.ability if succeeds else -math.inf, kin[0][0])


def _relatives(
    name: ModelName, price: float | None, others: Mapping[str, Known], tier: str | None
) -> tuple[str, list[tuple[str, float]]]:
    """Return how a model stands to those of its line that say most of it, and these with weights, best first."""
    if not name.maker or not name.line:
        return "alone", []
    rank = name.rank if name.rank is not None else _TIER_RANK.get(tier or "")
    same: list[tuple[bool, float, str]] = []
    peers: list[tuple[bool, float, str]] = []
    near: list[tuple[float, str]] = []
    for key, known in others.items():
        other = parse_name(key)
        if other.line != name.line or other.plain == name.plain or not _alike(name.params_b, other.params_b):
            continue
        step = (name.version or 9.0) - (other.version or 9.0)
        place = (step < 0.0, abs(step) - 0.01 * (known.released or 0.0), key)
        if other.size == name.size and (name.version is None) == (other.version is None):
            same.append(place)
            continue
        if name.params_b:
            continue
        apart = abs(math.log10(price / known.price)) if price and known.price else _UNPRICED_AWAY
        ranked = rank is not None and other.rank is not None
        plainly = (name.rank is None or name.size in SIZES) and other.size in SIZES  # not `code-fast` beside `mini`
        if ranked and plainly and abs((rank or 0.0) - (other.rank or 0.0)) < _SAME_RANK and apart <= _NEAR_PRICE:
            peers.append(place)
        if apart <= _NEAR_PRICE or (apart == _UNPRICED_AWAY and not ranked):
            near.append((apart + 0.6 * min(abs(step), 2.0), key))
    for kin in (same, peers):
        if kin:
            earlier, _, key = min(kin)
            return ("precedes" if earlier else "follows"), [(key, 1.0)]
    if not near:
        return "alone", []
    return "near", [(key, math.exp(-away / _NEAR_SCALE)) for away, key in sorted(near)[:_NEAR_MOST]]


def _alike(mine: float | None, other: float | None) -> bool:
    if mine is None or other is None:
        return mine is other
    return abs(math.log10(mine / other)) <= _SAME_PARAMS


class AbilityTable:
    """Abilities of known models, and what places the others.

    Parameters
    ----------
    data
        The table's JSON, decoded and checked.
    name
        How it is called in messages.
    own
        Models of the user's own table; they win.
    """

    def __init__(self, data: Mapping[str, Any], name: str, own: Mapping[str, Known] | None = None) -> None:
        self.name = name
        self._data = data
        self._makers: dict[str, dict[str, Known]] = {}
        for maker, models in data["models"].items():
            self._makers[maker] = {key: Known(*row) for key, row in models.items()}
        self._rows_own = dict(own or {})
        self._own = {key: row for model, row in self._rows_own.items() for key in (plain_name(model), _exact(model))}
        self._flat = {key: row for models in self._makers.values() for key, row in models.items()}

    @classmethod
    def of_file(cls, path: Path, name: str | None = None) -> AbilityTable:
        """Return the table of a file in the shipped form; its messages call it by its file's name unless given.

        Raises
        ------
        DataError
            If it is not such a table.
        """
        return cls(check_table(read_bytes(path), path.name), name or path.name)

    def __len__(self) -> int:
        return len(self._flat)

    @property
    def n_own(self) -> int:
        """How many models the user's own rows place."""
        return len(self._rows_own)

    def with_own(self, own: Mapping[str, Known], name: str) -> AbilityTable:
        """Return this table with a user's own rows over it."""
        return AbilityTable(self._data, name, own)

    def items(self) -> Iterator[tuple[str, Placed]]:
        """Yield every model of the table with its place, the ablest first."""
        hidden = self._own.keys()
        rows = {key: row for key, row in self._flat.items() if key not in hidden} | self._rows_own
        for key, row in sorted(rows.items(), key=lambda item: (-item[1].ability, item[0])):
            yield key, Placed(row.ability, row.sd, _ground(row))

    @property
    def sources(self) -> list[dict[str, Any]]:
        """Where the table's scores come from: repository, commit, licence, cells."""
        return list(self._data["sources"])

    @cached_property
    def _newest(self) -> dict[str, str]:
        """By a name without its date: the newest of the dated models."""
        found: dict[str, str] = {}
        for key in sorted(self._flat, key=lambda key: self._flat[key].released or 0.0):
            if (short := undated(key)) != key:
                found[short] = key
        return found

    def offset(self, effort: str | None) -> float:
        """Return what an effort adds to the ability of a model that does not think; ascending from `none`."""
        efforts: Mapping[str, float] = self._data["efforts"]
        word = {"minimal": "none", "max": "xhigh", "auto": "medium"}.get(effort or "none", effort or "none")
        return float(efforts.get(word, 0.0))

    def known(self, model: str) -> tuple[str, Known, str | None] | None:
        """Return the table's name for a model, its row, and the effort its name ends in; None where it has none."""
        for spelling in spellings(model):
            if (row := self._own.get(spelling) or self._flat.get(spelling)) is not None:
                return spelling, row, None
        if (dated := self._newest.get(plain_name(model))) is not None:
            return dated, self._flat[dated], None
        name = parse_name(model)
        if name.effort is not None:
            short = without_effort(model)
            if short and short != model and (found := self.known(short)) is not None:
                return found[0], found[1], name.effort
        return None

    def is_own(self, model: str) -> bool:
        """Tell whether the user's own table has a model."""
        return any(spelling in self._own for spelling in spellings(model))

    def place(
        self,
        model: str,
        *,
        output_usd_per_mtok: float | None = None,
        tier: str | None = None,
        effort: str | None = None,
        reasoning: bool = False,
        released: float | None = None,
    ) -> Placed:
        """Return where a model stands: by the table, else by its relatives, price, tier and size. Never fails.

        Parameters
        ----------
        model
            Any id: provider, maker, region, date and stage in it do not matter.
        output_usd_per_mtok
            Its list price; None or 0 where unknown.
        effort
            The reasoning effort it is asked at; None is the model's own default.
        reasoning
            Whether it thinks before it answers.
        released
            When it came out, a year with fraction, where known.
        """
        found = self.known(model)
        if found is not None:
            key, row, named = found
            return self._at_effort(Placed(row.ability, row.sd, _ground(row)), key, effort or named)
        name = parse_name(model)
        price = output_usd_per_mtok if output_usd_per_mtok is not None and output_usd_per_mtok > 0.0 else None
        thinks = reasoning or effort not in (None, "none", "minimal")
        return self._at_effort(self._infer(name, price, tier, thinks, released), name.plain, effort or name.effort)

    def _at_effort(self, placed: Placed, key: str, effort: str | None) -> Placed:
        """Return a place moved from the model's default effort to another."""
        if effort is None:
            return placed
        usual = usual_effort(parse_name(key))
        if effort == usual:
            return placed
        moved = self.offset(effort) - self.offset(usual or "none")
        return Placed(placed.ability + moved, math.hypot(placed.sd, 0.5 * moved), f"{placed.basis}, effort {effort}")

    def _infer(
        self, name: ModelName, price: float | None, tier: str | None, thinks: bool, released: float | None
    ) -> Placed:
        place = self._data["place"]
        found = expect(
            name, self._makers.get(name.maker, {}), place["coefficients"], float(place["newest"]),
            price=price, tier=tier, thinks=thinks, released=released,
        )  # fmt: skip
        share = float(place["weight"].get(found.kind, 0.0))
        if found.kind != "alone":
            words = {"follows": "follows {}", "precedes": "comes before {}", "near": "near {} in line and price"}
            basis = words[found.kind].format(found.key)
        elif name.params_b is not None:
            basis = f"its size, {_size(name.params_b)}"
        else:
            hints = [word for word, there in (("price", price), ("tier", tier)) if there]
            basis = "its " + (" and ".join(hints) or "name")
        nameless = found.kind == "alone" and not (name.maker or name.params_b or price)
        sd = _NAMELESS_SD if nameless else float(place["sd"][found.kind])
        return Placed(max(found.base + share * found.excess, found.floor), sd, basis)


def _succeeds(name: ModelName, price: float | None, kin: ModelName, row: Known) -> bool:
    """Return whether a model is newer than one of its line and sold at no less: then it is no weaker."""
    newer = name.version is not None and kin.version is not None and name.version > kin.version
    return newer and price is not None and row.price is not None and price >= 0.7 * row.price


def version_year(name: ModelName, released: Mapping[str, float | None]) -> float | None:
    """Return when a model came out, by its version beside those of its line; None where they do not tell.

    Parameters
    ----------
    released
        Release dates of the same maker's models, years with fractions; None where unknown.
    """
    if name.version is None:
        return None
    dated: dict[float, list[float]] = {}
    for key, year in released.items():
        other = parse_name(key)
        if year is not None and other.line == name.line and other.version is not None and other.plain != name.plain:
            dated.setdefault(other.version, []).append(year)
    if not dated:
        return None
    first = {version: min(years) for version, years in dated.items()}
    if name.version in first:
        return first[name.version]
    below = max((year for version, year in first.items() if version < name.version), default=None)
    above = min((year for version, year in first.items() if version > name.version), default=None)
    if below is not None and above is not None:
        return (below + above) / 2.0
    if below is not None:
        return below + _STEP_YEARS
    # lines within a line count anew (`nemotron-nano-v2` beside `nemotron-4`): only its own kind makes a model old
    own = any((other := parse_name(key)).line == name.line and other.size == name.size for key in released)
    return above - _STEP_YEARS if own and above is not None else None


def usual_effort(name: ModelName) -> str:
    """Return the effort of a score that states none: what benchmarks mostly ran; empty for what does not think."""
    version = name.version or 0.0
    if name.maker == "openai" and (name.thinks or name.size == "oss" or version >= 5.0):
        return "medium"
    if name.line == "gemini" and version >= 2.5:
        return "medium"
    if name.maker == "anthropic" and version >= 3.7:
        return "none"
    if name.maker == "xai" and version >= 4.0:
        return "high"
    if name.line in ("qwen", "glm") and version >= 3.0 and not name.thinks:
        return "high"
    return ""


def _exact(model: str) -> str:
    return next(iter(spellings(model)), "")


def _ground(row: Known) -> str:
    return "your own table" if row.n == 0 else counted(row.n, "benchmark")


def _size(params_b: float) -> str:
    return f"{params_b:g}B" if params_b >= 1.0 else f"{1000 * params_b:g}M"


def check_table(data: bytes, what: str) -> dict[str, Any]:
    """Return a table's JSON, decoded and checked.

    Parameters
    ----------
    what
        What the file is called, for messages.

    Raises
    ------
    DataError
        If it is not a table in the shipped form: the message names the file and the field.
    """
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{what}: not JSON: {error}") from None
    if not isinstance(found, dict) or found.get("schema_version") != SCHEMA:
        raise DataError(f"{what}: expected a table of abilities with schema_version {SCHEMA}")
    for key, kind in (("models", dict), ("efforts", dict), ("place", dict), ("sources", list)):
        if not isinstance(found.get(key), kind):
            raise DataError(f"{what}: {key}: expected {'an object' if kind is dict else 'a list'}")
    _numbers(found["efforts"], f"{what}: efforts")
    for key in ("coefficients", "weight", "sd"):
        _numbers(found["place"].get(key), f"{what}: place.{key}")
    if missing := sorted({"alone", "follows", "near", "precedes"} - set(found["place"]["sd"])):
        raise DataError(f"{what}: place.sd: no {missing[0]}")
    _numbers({"newest": found["place"].get("newest")}, f"{what}: place")
    for maker, models in found["models"].items():
        if not isinstance(models, dict):
            raise DataError(f"{what}: models.{maker}: expected an object")
        for key, row in models.items():
            where = f"{what}: models.{maker}.{key}"
            if not isinstance(row, list) or len(row) != len(Known._fields):
                raise DataError(f"{where}: expected a list of {len(Known._fields)}: {', '.join(Known._fields)}")
            _numbers(dict(zip(Known._fields, row, strict=True)), where, optional=frozenset({"released", "price"}))
            if not row[1] > 0.0:
                raise DataError(f"{where}: sd: expected more than 0, got {row[1]}")
    return found


def _numbers(found: object, where: str, *, optional: frozenset[str] = frozenset()) -> None:
    if not isinstance(found, dict):
        raise DataError(f"{where}: expected an object of numbers")
    for key, value in found.items():
        if value is None and key in optional:
            continue
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e6:
            raise DataError(f"{where}: {key}: expected a number, got {json.dumps(value)[:40]}")


def place_arm(table: AbilityTable, arm: ArmInfo) -> Placed:
    """Return where an arm's model stands at the arm's effort."""
    return table.place(
        arm.model,
        output_usd_per_mtok=arm.output_usd_per_mtok,
        tier=arm.tier,
        effort=arm.effort,
        reasoning=arm.reasoning,
    )


@lru_cache(maxsize=1)
def shipped_table() -> AbilityTable:
    """Return the table that ships with scrimp.

    Raises
    ------
    ConfigError
        If it is missing or damaged.
    """
    try:
        return AbilityTable.of_file(Path(__file__).parents[1] / "weights" / "abilities.json", "the shipped table")
    except (OSError, DataError) as error:
        raise ConfigError(
            f"the shipped table of abilities cannot be read: {error}", hint="Install scrimp again."
        ) from None
