"""How a router is trained: every number that training depends on."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["SHIPPED_RECIPE", "Recipe"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Every number that training depends on; the shipped router's are the defaults.

    Attributes
    ----------
    level_surface
        How far a standardised surface feature counts beside the embedding where levels are told apart.
    level_words
        How much the words count beside them.
    level_l2
        Penalty of both.
    level_centres
        Centres drawn from the judged prompts, and as many from the outcomes'.
    level_within
        How much a source's outcomes say of levels beside the judgements.
    level_pooling
        The share of the difference between sources that is learnt from.
    ease_features, spread_features
        Surface features that stand beside the embedding in the view of public prompts. Few on purpose: across tasks
        most of them tell the benchmark rather than how hard the prompt is.
    ease_l2, ease_surface_l2, ease_pooling
        Penalties, and the share of the difference between sources that is learnt from.
    spread_l2, spread_surface_l2, hard_source_weight
        The same for what widens the gap between models; sources that even able models fail count this much.
    spread_ratio
        How much the spread counts against the ease in ranking a pair's gaps, both in standard deviations.
    ability_share
        How much of a gap in ability counts on public prompts: ranks carry over to unseen sources, levels less.
    gate_l2
        Penalty of what tells public prompts from everyday ones.
    head_l2
        Penalty of a known model's own head around the shared logit.
    head_sources
        From how many sources a model must be known to have a head of its own.
    drop
        (source, part of a model's name): cells left out because their labels are known to be wrong.
    related
        Sources that are held out together when transfer is measured.
    """

    level_surface: float = 0.15
    level_words: float = 0.5
    level_l2: float = 0.3
    level_centres: int = 900
    level_within: float = 0.1
    level_pooling: float = 0.3
    ease_features: tuple[str, ...] = ("log_chars",)
    ease_l2: float = 100.0
    ease_surface_l2: float = 1.0
    ease_pooling: float = 0.3
    spread_features: tuple[str, ...] = ("log_chars",)
    spread_l2: float = 600.0
    spread_surface_l2: float = 1.0
    spread_ratio: float = 2.0
    hard_source_weight: float = 0.0
    ability_share: float = 0.8
    gate_l2: float = 1.0
    head_l2: float = 3.0
    head_sources: int = 3
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
