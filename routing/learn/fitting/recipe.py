"""How a router is trained: every number that training depends on."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["SHIPPED_RECIPE", "Recipe"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Every number that training depends on; the shipped router's are the defaults.

    Attributes
    ----------
    ease_features, spread_features
        Surface features that stand beside the embedding where the shared view of a prompt is learnt. Few on purpose:
        across tasks most of them tell the benchmark rather than how hard the prompt is.
    ease_l2, ease_surface_l2, ease_pooling
        Penalties, and the share of the difference between sources that is learnt from.
    spread_l2, spread_surface_l2, hard_source_weight
        The same for what widens the gap between models; sources that even able models fail count this much.
    spread_ratio
        How much the spread counts against the ease in ranking a pair's gaps, both in standard deviations.
    head_l2
        Penalty of a known model's own head around the shared one.
    drop
        (source, part of a model's name): cells left out because their labels are known to be wrong.
    related
        Sources that are held out together when transfer is measured.
    """

    ease_features: tuple[str, ...] = ("log_chars",)
    ease_l2: float = 100.0
    ease_surface_l2: float = 1.0
    ease_pooling: float = 0.3
    spread_features: tuple[str, ...] = ("log_chars",)
    spread_l2: float = 600.0
    spread_surface_l2: float = 1.0
    spread_ratio: float = 2.0
    hard_source_weight: float = 0.0
    head_l2: float = 3.0
    token_l2: float = 10.0
    n_landmarks: int = 1500
    drop: tuple[tuple[str, str], ...] = ()
    related: tuple[tuple[str, ...], ...] = ()


_CHOICE_SOURCES = ("mmlu", "commonsense_qa", "openbook_qa", "arc_challenge", "agentverse-logicgrid")

SHIPPED_RECIPE = Recipe(
    drop=(*((source, "chatqa") for source in _CHOICE_SOURCES), ("mmlu", "qwen2.5-7b-instruct")),
    related=(
        ("gsm8k", "agentverse-mgsm"),
        ("math", "math-l5"),
        ("mbpp", "human_eval"),
        ("natural_qa", "trivia_qa"),
        ("arc_challenge", "openbook_qa", "commonsense_qa"),
    ),
)
"""How the shipped router is trained."""
