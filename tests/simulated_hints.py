"""Logs of hints made up with a known truth: what each hint changes, drawn for by the chances that refits found."""

from scrimp.routing.asking.hinting import START, Odds
from scrimp.routing.learn.judging.hints import Label, judge_hints


def weekly(rng, effects, *, n_weeks, each_week=50, base=0.6, similarity=None):
    """Return what a refit said at the end of each week.

    Parameters
    ----------
    effects
        By hint, what it adds to the chance of a right answer: a number, or a function of the cosine.
    base
        The chance of a right answer without a hint.
    similarity
        The range that cosines are drawn from; None has all lie just above the first threshold.
    """
    labels, said, odds = [], [], Odds()
    names = list(effects)
    for _ in range(n_weeks):
        for _ in range(each_week):
            name = names[rng.integers(len(names))]
            cosine = START + 0.01 if similarity is None else float(rng.uniform(*similarity))
            p = odds.of_hint(name, cosine)
            if p is None:
                continue
            hinted = bool(rng.random() < p)
            effect = effects[name](cosine) if callable(effects[name]) else effects[name]
            labels.append(Label(name, hinted, p, cosine, float(rng.random() < base + hinted * effect)))
        said.append(judge_hints(labels, said))
        odds = Odds.of(said[-1])
    return said
