"""What the calls of a plan cost for one decided prompt."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scrimp.routing.deciding.times import minute_cost
from scrimp.routing.plans.spends import QUOTED_BYTES
from scrimp.routing.plans.tariff import Tariff
from scrimp.routing.prompts.instructions import copies

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scrimp.profiles.schema import Arm
    from scrimp.routing.deciding.decide import Decider
    from scrimp.routing.deciding.policy import Option
    from scrimp.routing.deciding.trace import Decision
    from scrimp.routing.plans.kinds.kind import Likely

__all__ = ["PromptTariff", "able_options", "keeps_its_limit"]


def keeps_its_limit(arm: Arm) -> bool:
    """Tell whether an arm is never given less room than its own limit: what it thinks is output too."""
    return arm.reasoning_effort not in (None, "none") or "thinking" in arm.params


class PromptTariff(Tariff):
    """Prices of calls about one prompt.

    Parameters
    ----------
    options
        The arms that can take the prompt.
    minute_usd
        What a minute of waiting costs, USD.
    """

    def __init__(self, decider: Decider, options: Mapping[str, Option], minute_usd: float = 0.0) -> None:
        self.decider = decider
        self.options = options
        self.minute_usd = minute_usd
        self._likely: dict[Likely, float] = {}
        self._most: dict[tuple[str, int, int | None], int] = {}

    def likely_nano(self, call: Likely) -> float:
        """Return the expected cost of a call, nano-USD; what reasons writes as much as for an answer."""
        known = self._likely.get(call)
        if known is None:
            known = self._likely[call] = self._expected(call)
        return known

    def _expected(self, call: Likely) -> float:
        option = self.options[call.arm]
        price = self.decider.price(call.arm)
        if price is None or not (call.quotes or call.more or call.output is not None):
            return float(option.cost_nano or 0)
        return float(price.expected_nano(*self._tokens(call)))

    def _tokens(self, call: Likely) -> tuple[int, int]:
        """Return how many tokens a call likely reads and writes."""
        option = self.options[call.arm]
        quoted = sum(self.options[arm].output_tokens_p50 for arm in call.quotes)
        written = option.output_tokens_p50
        if call.output is not None and not keeps_its_limit(self.decider.profile.arm(call.arm)):
            written = call.output
        return option.input_tokens + quoted + call.more, written

    def likely_seconds(self, call: Likely) -> float | None:
        """Return how long a call takes, seconds, the median; None where that is not known."""
        tempo = self.decider.tempo(call.arm)
        if tempo is None:
            return None
        read, written = self._tokens(call)
        return tempo.seconds(max(0, read - (self.options[call.arm].cached_tokens or 0)), written)

    def likely_held_usd(self, call: Likely) -> float:
        """Return what is held against a call beside its cost, USD: what waiting for it costs, and its arm's terms."""
        terms = {
            **self.options[call.arm].terms,
            **(minute_cost(self.minute_usd, self.likely_seconds(call)) if self.minute_usd else {}),
        }
        return sum(terms.values())

    def most_nano(self, arm: str, quotes: int, limit: int | None) -> int:
        """Return what is reserved for a call, nano-USD."""
        key = arm, quotes, limit
        known = self._most.get(key)
        if known is None:
            known = self._most[key] = self._bound(*key)
        return known

    def _bound(self, arm: str, quotes: int, limit: int | None) -> int:
        option = self.options[arm]
        price = self.decider.price(arm)
        if price is None or (quotes == 0 and limit is None):
            return option.bound_nano or 0
        most = option.output_limit
        if limit is not None and not keeps_its_limit(self.decider.profile.arm(arm)):
            most = min(most, limit)
        quoted = quotes * QUOTED_BYTES * copies(self.decider.profile.arm(arm))
        return price.bound_nano(option.input_bound + quoted, most)


def able_options(decision: Decision) -> dict[str, Option]:
    """Return the options of the arms that can take a prompt, by their names."""
    options = (weighed.option for weighed in decision.choice.weighed)
    return {each.arm: each for each in options if each.infeasible is None and each.cost_nano is not None}
