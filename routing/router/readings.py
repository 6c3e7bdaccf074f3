"""P(right) of an arm that reads a whole text, passages of it, or nothing of it.

Where u is P(the text does not answer the question | how well its words match the best passage),

    P(right) = (1 - u) P(right | it answers) + u P(right | it does not)

and, on the logit scale, with q the arm's quality for the question by itself, h(n) = log2(1 + n / 32,000) how long n
tokens are to read, and s = n_sent / n_tokens,

    it answers      q - strain h(n)          - miss (1 - s) where passages are read
    it does not     q + silence - doubt h(n)

with n what is read. `strain` and `doubt` fall with the model's ability; `miss` rises where places of the text are to be
compared, and falls with the best passage's score. Where all is read passages and whole are one. A question that asks of
the text as a whole is as right from passages as from the whole, times s. Fitted by `bench/train_readings.py` on the
stored answers of LaRA; offsets on the logit scale are learned from labels (`reading_labels`).
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field, fields, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from scrimp.profiles.errors import ConfigError
from scrimp.profiles.reading import read_bytes

from .abilities import place_arm, shipped_table
from .placed import Z80

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from scrimp.routing.prompts.sources import Evidence

    from .arms import ArmInfo

__all__ = ["COEFFICIENTS", "Coefficients", "Offset", "ReadingModel", "shipped_readings"]

COEFFICIENTS: Final = Path(__file__).parents[1] / "weights" / "readings.json"

_UNIT: Final = 32_000.0
_LONGEST_SEEN: Final = 128_000
_EASY: Final = 6.0  # logits: no quality is taken to be surer than this


@dataclass(frozen=True, slots=True)
class Coefficients:
    """What was fitted; logits, but for `base`, `best_mean` and `by_itself`.

    Attributes
    ----------
    strain, strain_ability
        softplus(strain - strain_ability x ability) is lost for each h(n) where the text answers.
    doubt, doubt_ability
        The same where it does not.
    miss, miss_comparison, miss_best
        softplus(miss + miss_comparison x P(comparison) - miss_best x (best - best_mean)) is lost by passages.
    silence
        How much more often a silent text is called silent than an answering one answered.
    silent_best
        By how much a better match speaks against silence, on the logit scale, for each unit of best - best_mean.
    base
        P(the text does not answer), before anything is known: supposed, not fitted.
    best_mean
        Mean score of the best passage; a score of 0 was not found out, and says nothing.
    spread
        Standard deviation of models from these lines at 128,000 tokens.
    by_itself
        By what its quality is multiplied where an arm is sent nothing of the text: supposed, not fitted.
    """

    strain: float
    strain_ability: float
    doubt: float
    doubt_ability: float
    miss: float
    miss_comparison: float
    miss_best: float
    silence: float
    silent_best: float
    base: float
    best_mean: float
    spread: float
    by_itself: float


@dataclass(frozen=True, slots=True)
class Offset:
    """What labels say beside the prior: logits, its standard deviation, and how many labels are behind it."""

    mean: float = 0.0
    sd: float = 0.0
    n: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {"mean": round(self.mean, 4), "sd": round(self.sd, 4), "n": self.n}


@dataclass(frozen=True, slots=True)
class ReadingModel:
    """P(right | arm, reading, question, length, best passage's score): coefficients, and what labels added.

    Attributes
    ----------
    offsets
        By model and reading; ("", reading) is of models that no label is of.
    """

    at: Coefficients
    offsets: Mapping[tuple[str, str], Offset] = field(default_factory=dict)

    def offset(self, model: str, reading: str) -> Offset:
        """Return what labels say of a model at a reading; of one without, what they say of all."""
        return self.offsets.get((model, reading)) or self.offsets.get(("", reading)) or Offset()

    def silent(self, evidence: Evidence, base: float | None = None) -> float:
        """Return P(the text does not answer the question), in (0, 1).

        Parameters
        ----------
        base
            How many questions are so, before anything is known; None: what is supposed, `Coefficients.base`.
        """
        at = self.at
        logit = _logit(at.base if base is None else base)
        return _sigmoid(logit - at.silent_best * self._known_best(evidence)) * (1.0 - evidence.wants_whole)

    def parts(self, quality: float, reading: str, evidence: Evidence, arm: ArmInfo) -> tuple[float, float]:
        """Return P(right | the text answers) and P(right | it does not) of an arm at a reading, without offsets.

        Parameters
        ----------
        quality
            For the question by itself, in [0, 1].
        """
        at, ability = self.at, _ability(arm)
        if reading == "none":
            return quality * at.by_itself, quality * at.by_itself
        n_read = evidence.n_tokens if reading == "whole" else min(evidence.n_sent, evidence.n_tokens)
        share = _share(evidence)
        long = math.log2(1.0 + n_read / _UNIT)
        base = _logit(quality)
        logit = base - _softplus(at.strain - at.strain_ability * ability) * long
        silent = base + at.silence - _softplus(at.doubt - at.doubt_ability * ability) * long
        if reading == "whole":
            return _sigmoid(logit), _sigmoid(silent)
        miss = at.miss + at.miss_comparison * evidence.kind.get("comparison", 0.0)
        miss -= at.miss_best * self._known_best(evidence)
        place = _sigmoid(logit - _softplus(miss) * (1.0 - share))
        everything = self.parts(quality, "whole", evidence, arm)[0] * share
        return (1.0 - evidence.wants_whole) * place + evidence.wants_whole * everything, _sigmoid(silent)

    def rights(self, rights: Sequence[float], reading: str, evidence: Evidence, arm: ArmInfo) -> list[float]:
        """Return an arm's predicted quality, and its interval's ends, at a reading.

        The interval is the router's own, widened on the logit scale by how far models stand from the fitted lines, by
        lengths that were not seen, and by what few labels leave open.

        Parameters
        ----------
        rights
            Quality, low and high, each in [0, 1], for the question as if it were asked by itself.
        """
        middle, low, high = rights
        answers, silent = self.parts(middle, reading, evidence, arm)
        u = self.silent(evidence)
        offset = self.offset(arm.model, reading)
        quality = _sigmoid(_logit((1.0 - u) * answers + u * silent) + offset.mean)
        wide = math.hypot(self._spread(reading, evidence) if not offset.n else 0.0, offset.sd)
        centre, own = _logit(quality), _logit(middle)
        below = math.hypot(max(0.0, own - _logit(low)), Z80 * wide)
        above = math.hypot(max(0.0, _logit(high) - own), Z80 * wide)
        return [quality, _sigmoid(centre - below), _sigmoid(centre + above)]

    def _spread(self, reading: str, evidence: Evidence) -> float:
        """Return how far models stand from the lines, in logits: nothing where all is read, little of what is short."""
        if reading == "none":
            return 1.0  # nobody measured it
        n_read = evidence.n_tokens if reading == "whole" else min(evidence.n_sent, evidence.n_tokens)
        left_out = 0.0 if reading == "whole" else 1.0 - _share(evidence)
        return self.at.spread * math.hypot(_far(n_read), left_out * _far(evidence.n_tokens))

    def _known_best(self, evidence: Evidence) -> float:
        return evidence.best - self.at.best_mean if evidence.best > 0.0 else 0.0

    def with_offsets(self, offsets: Mapping[tuple[str, str], Offset]) -> ReadingModel:
        """Return it with what labels say."""
        return replace(self, offsets=dict(offsets))


def _share(evidence: Evidence) -> float:
    return min(1.0, evidence.n_sent / max(1, evidence.n_tokens))


def _far(n_tokens: int) -> float:
    """Return how far a length is from none, 1 at the longest that was seen, and the more so beyond it."""
    beyond = max(0.0, math.log2(max(1, n_tokens) / _LONGEST_SEEN))
    return math.log2(1.0 + n_tokens / _UNIT) / math.log2(1.0 + _LONGEST_SEEN / _UNIT) * (1.0 + beyond)


def _sigmoid(x: float) -> float:
    return 1.0 / (1.0 + math.exp(-max(-30.0, min(30.0, x))))


def _logit(p: float) -> float:
    low = _sigmoid(-_EASY)
    p = min(1.0 - low, max(low, p))
    return math.log(p / (1.0 - p))


def _softplus(x: float) -> float:
    return math.log1p(math.exp(x)) if x < 30.0 else x


@lru_cache(maxsize=1024)
def _ability(arm: ArmInfo) -> float:
    """Return where an arm's model stands on the scale of abilities, within what was fitted on."""
    placed = arm.placed or place_arm(shipped_table(), arm)
    return max(-2.0, min(2.0, placed.ability))


def _finite(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(number)
    return number


@lru_cache(maxsize=1)
def shipped_readings() -> ReadingModel:
    """Return the prior that comes with scrimp.

    Raises
    ------
    ConfigError
        If it is damaged or missing.
    """
    try:
        found = json.loads(read_bytes(COEFFICIENTS, limit=1_000_000))["coefficients"]
        at = Coefficients(**{each.name: _finite(found[each.name]) for each in fields(Coefficients)})
    except (OSError, ValueError, KeyError, TypeError):
        raise ConfigError(
            f"what is known of readings is damaged or cannot be read: {COEFFICIENTS}",
            hint="install scrimp again: pip install --force-reinstall scrimp",
        ) from None
    return ReadingModel(at)
