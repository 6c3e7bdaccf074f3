"""A short answer: how it is asked for, and what is expected of that."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from scrimp.profiles.schema import Arm

__all__ = ["BRIEFLY", "BRIEF_SHARE", "BRIEF_TOKENS", "may_think"]

BRIEFLY: Final = "Answer briefly: in a few sentences, without preamble."
"""The line of system text, after all others."""

BRIEF_TOKENS: Final = 256
"""The most output tokens of a short answer, of an arm that is known not to think first."""

BRIEF_SHARE: Final = 0.5
"""How long a short answer is expected to be beside a usual one. Renze and Guven (arXiv:2401.05618) saw answers of
GPT-3.5 and GPT-4 grow 48.7% shorter where they were asked to be concise."""

_THINKS: Final = re.compile(r"qwen-?3|qwq|gpt-oss|magistral|reason|think|\br1\b|\bo[1-9]\b", re.IGNORECASE)
"""Names of models that think before they answer, whatever the price table says of them."""


def may_think(arm: Arm, *, known: bool, reasoning: bool) -> bool:
    """Tell whether what an arm writes may be thoughts, which a lower limit would cut before the answer.

    Parameters
    ----------
    known, reasoning
        Whether the price table knows its model, and whether arm or table say that it reasons.
    """
    if arm.provider == "local" or arm.reasoning_effort == "none":
        return False
    return reasoning or not known or "thinking" in arm.params or _THINKS.search(arm.model) is not None
