"""What prompt caches are expected to hold of files, and what that makes of a call's price."""

from decimal import Decimal

import pytest

from scrimp.routing.deciding.staying import LEAST_KEPT, files_cached
from scrimp.routing.prices.price import ArmPrice
from scrimp.routing.prices.usage import Usage
from scrimp.routing.prompts.prompt import Prompt
from scrimp.routing.prompts.sources import Kept, Source

CLAUDE = ArmPrice(Decimal(3_000), Decimal(15_000), cache_read=Decimal(300), cache_write=Decimal(3_750))
GPT = ArmPrice(Decimal(3_000), Decimal(15_000), cache_read=Decimal(300))
PLAIN = ArmPrice(Decimal(3_000), Decimal(15_000))


@pytest.mark.parametrize(
    ("kept", "price", "n", "cached"),
    [
        (Kept(every=0.75), GPT, 4_000, 3_000),
        (Kept(every=0.75), CLAUDE, 4_000, 3_000),
        (Kept(every=0.75), PLAIN, 4_000, None),  # it has no price for what is cached
        (Kept(every=0.75), GPT, LEAST_KEPT - 1, None),
        (Kept({"a": 1.0}), GPT, 4_000, 4_000),
        (Kept({"a": 0.0}), CLAUDE, 4_000, 0),
        (Kept({"b": 1.0}), GPT, 4_000, None),
        (Kept({"a": 0.0}, every=1.0), GPT, 4_000, 0),
    ],
)
def test_what_is_expected(kept, price, n, cached):
    assert files_cached(kept, "a", price, n) == cached


@pytest.mark.parametrize("price", [CLAUDE, GPT, PLAIN])
@pytest.mark.parametrize(("cached", "written"), [(0, 0), (0, 5_000), (5_000, 0), (2_000, 3_000)])
def test_the_bound_holds_whatever_a_cache_does(price, cached, written):
    usage = Usage(5_000, 100, cached_tokens=cached, cache_write_tokens=written)
    assert price.cost_nano(usage) <= price.bound_nano(5_000, 100)


def test_what_is_kept_goes_with_the_whole_alone():
    prompt = Prompt("Why?", sources=(Source("a", "text"),), kept=Kept(every=0.5))
    assert [prompt.as_read(kind).kept is not None for kind in ("whole", None, "passages", "none")] == [
        True,
        True,
        False,
        False,
    ]
