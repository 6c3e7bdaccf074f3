"""Each provider's usage shape, from its reply to the nano-dollar; docs/costs.md says the same."""

import json
import math
import re
from pathlib import Path

import pytest

from scrimp.profiles.schema import Arm
from scrimp.routing.calls import dispatch
from scrimp.routing.calls.call import Call
from scrimp.routing.prices.table import PriceTable
from scrimp.routing.prices.usage import Usage

ROOT = Path(__file__).parents[2]
FIXTURES = {path.stem: json.loads(path.read_text()) for path in sorted((ROOT / "tests/fixtures/usage").glob("*.json"))}
ROW = re.compile(r"\| [^|]+ \| `(?P<name>[a-z-]+)` \| (?P<sum>[^|]+) \| (?P<nano>[\d,]+) \|")

pytestmark = [
    pytest.mark.filterwarnings("ignore:Pydantic serializer warnings"),
    pytest.mark.filterwarnings("ignore:Accessing the .model_.*fields. attribute:DeprecationWarning"),
]


def by_hand(text):
    """Work out a sum such as `2 x 30 + 5`, in nano-USD."""
    terms = text.removesuffix(", rounded up").split(" + ")
    return math.ceil(sum(math.prod(float(factor) for factor in term.split(" x ")) for term in terms))


@pytest.mark.parametrize("name", FIXTURES)
def test_a_reply_costs_what_its_fixture_says(server, name):
    fixture = FIXTURES[name]
    server.can(fixture["path"], "application/json", json.dumps(fixture["reply"]).encode())
    call = Call(
        model=fixture["model"],
        messages=[{"role": "user", "content": "Which colour?"}],
        max_output_tokens=2000,
        api_base=server.url,
        api_key="k",
        stream=False,
    )
    reply = dispatch.attempt(call)
    assert (reply.text, reply.usage_status) == ("Blue.", "reported")
    expected = Usage(**fixture["usage"])
    for part in ("input_tokens", "output_tokens", "cached_tokens", "cache_write_tokens", "reasoning_tokens"):
        assert (getattr(reply.usage, part) or 0) == (getattr(expected, part) or 0), part
    assert (reply.usage.cache_write_1h_tokens or 0) == (expected.cache_write_1h_tokens or 0)
    table = PriceTable(json.dumps(fixture["prices"]).encode(), "of the fixture")
    price = table.price(Arm(name="a", model=fixture["model"]))
    assert price.cost_nano(reply.usage) == fixture["cost_nano"] == by_hand(fixture["by_hand"])
    assert price.bound_nano(expected.input_tokens, expected.output_tokens) >= fixture["cost_nano"]


def test_the_table_in_the_docs_is_the_fixtures():
    rows = {match["name"]: match for match in ROW.finditer((ROOT / "docs/costs.md").read_text())}
    assert rows.keys() == FIXTURES.keys()
    for name, fixture in FIXTURES.items():
        assert rows[name]["sum"] == fixture["by_hand"]
        assert int(rows[name]["nano"].replace(",", "")) == fixture["cost_nano"]
