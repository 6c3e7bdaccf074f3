"""Providers' Batch APIs over loopback: batches by name on any page, errors as those of calls, prices, and lanes."""

import asyncio
from decimal import Decimal

import pytest
from provider_batches import BatchServer

from scrimp.profiles.schema import Arm
from scrimp.routing.batch.files.rows import Row
from scrimp.routing.batch.planning.lanes import BatchArm, Lanes
from scrimp.routing.calls.call import Call
from scrimp.routing.calls.composed import compose
from scrimp.routing.calls.faults import CallError
from scrimp.routing.calls.provider_batches.opened import batch_api_of, open_api
from scrimp.routing.calls.provider_batches.protocol import WINDOW_S, Entry, Undecided
from scrimp.routing.prices.price import ArmPrice
from scrimp.routing.prices.table import PriceTable
from scrimp.routing.prompts.prompt import Prompt

MODELS = {"openai": "openai/gpt-x", "anthropic": "anthropic/claude-haiku-4-5", "gemini": "gemini/gemini-2.5-flash"}


@pytest.fixture
def server():
    with BatchServer(delay_s=0.0) as server:
        yield server


@pytest.fixture(params=sorted(MODELS))
def api(request, server):
    name = request.param
    return lambda: open_api(name, composed(server, name, "-"), "arm")


def composed(server, name, text):
    base = getattr(server, name)
    return compose(
        Call(
            MODELS[name], [{"role": "user", "content": text}], 50, api_base=base, api_key="sk-secret-123", stream=False
        )
    )


def entries(server, name, tag, n=2):
    return [Entry(f"{tag}-{i}", composed(server, name, f"{tag} {i}").body) for i in range(n)]


def run(work):
    async def whole():
        from scrimp.routing.calls.dispatch import aclose

        try:
            return await work()
        finally:
            await aclose()

    return asyncio.run(whole())


def test_a_batch_is_found_by_its_name_on_whatever_page(server, api):
    server.control(page=1)
    provider = api()

    async def work():
        made = [await provider.create(f"scrimp-{tag}", entries(server, provider.api, tag)) for tag in "abc"]
        names = ["a-0", "a-1"]
        known = frozenset({made[1].id})
        found = await provider.find("scrimp-a", names, since=0.0, known=known)
        missing = await provider.find("scrimp-z", ["z-0", "z-1"], since=0.0, known=frozenset())
        return made[0].id, found, missing

    first, found, missing = run(work)
    assert found == first
    assert missing is None


def test_anthropic_cannot_tell_while_a_batch_of_that_size_goes_on(server):
    server.control(never=True)
    provider = open_api("anthropic", composed(server, "anthropic", "-"), "arm")

    async def work():
        await provider.create("scrimp-a", entries(server, "anthropic", "a"))
        other_size = await provider.find("scrimp-z", ["z-0"], since=0.0, known=frozenset())
        with pytest.raises(Undecided):
            await provider.find("scrimp-a", ["a-0", "a-1"], since=0.0, known=frozenset())
        return other_size

    assert run(work) is None


def test_results_stand_under_their_ids_and_counts_are_told(server, api):
    provider = api()

    async def work():
        made = await provider.create("scrimp-a", entries(server, provider.api, "a", 3))
        standing = await provider.look(made.id)
        return standing, [result async for result in provider.results(made.id)]

    standing, results = run(work)
    assert (standing.state, standing.n_done, standing.n_all) == ("ended", 3, 3)
    assert standing.expires_at is not None
    assert standing.ended_at is not None
    assert {result.custom_id for result in results} == {"a-0", "a-1", "a-2"}
    assert {result.status for result in results} == {200}


@pytest.mark.parametrize(
    ("status", "billable", "retryable"), [(400, "no", False), (429, "no", True), (503, "maybe", True)]
)
def test_errors_say_whether_something_was_done(server, api, status, billable, retryable):
    server.control(answer=status)
    with pytest.raises(CallError) as caught:
        run(lambda: api().look("batches/nothing"))
    error = caught.value
    assert (error.status, error.billable, error.retryable) == (status, billable, retryable)
    assert "sk-secret-123" not in error.message


def test_no_redirect_is_followed(server, api):
    server.control(answer=307)
    with pytest.raises(CallError, match="elsewhere"):
        run(lambda: api().look("batches/nothing"))
    assert len(server.state.requests) == 1


def test_a_server_that_is_not_there_was_told_nothing(server, api):
    provider = api()
    server.http.shutdown()
    server.http.server_close()
    with pytest.raises(CallError) as caught:
        run(lambda: provider.create("scrimp-a", []))
    assert (caught.value.kind, caught.value.billable) == ("connection", "no")


@pytest.mark.parametrize(
    ("arm", "api"),
    [
        (Arm(name="a", model="openai/gpt-5-mini"), "openai"),
        (Arm(name="a", model="anthropic/claude-haiku-4-5"), "anthropic"),
        (Arm(name="a", model="gemini/gemini-2.5-flash"), "gemini"),
        (Arm(name="a", model="openai/mine", api_base="http://127.0.0.1:1/v1"), None),
        (Arm(name="a", model="openai/mine", api_base="http://127.0.0.1:1/v1", batch_api="openai"), "openai"),
        (Arm(name="a", model="local/smollm2"), None),
        (Arm(name="a", model="groq/llama-3.3-70b-versatile"), None),
    ],
)
def test_which_arms_have_a_batch_api(arm, api):
    assert batch_api_of(arm) == api


@pytest.mark.parametrize("model", ["openai/gpt-4o-mini", "anthropic/claude-haiku-4-5", "gemini/gemini-2.5-flash"])
def test_batches_of_the_three_cost_half(model):
    table = PriceTable.load()
    arm = Arm(name="a", model=model)
    price, batch = table.price(arm), table.batch_price(arm)
    assert (batch.input, batch.output) == (price.input / 2, price.output / 2)
    assert batch.cache_read <= price.cache_read
    assert "batch" in batch.source
    assert batch.bound_nano(1000, 1000) <= price.bound_nano(1000, 1000)


def test_a_price_of_the_profile_is_halved_but_for_the_fee():
    from scrimp.profiles.schema import Price

    stated = Price(input_usd_per_mtok=Decimal(3), output_usd_per_mtok=Decimal(9), per_request_usd=Decimal("0.001"))
    batch = PriceTable.load().batch_price(Arm(name="a", model="openai/mine", price=stated))
    assert (batch.input, batch.output, batch.per_request) == (1500, 4500, 1_000_000)


def row(deadline_s=None):
    return Row(0, 1, "a", Prompt("hello"), deadline_s=deadline_s)


def lanes(lane, deadline_s=None, window_s=WINDOW_S):
    sync, batch = (ArmPrice(Decimal(n), Decimal(n)) for n in (10, 5))
    return Lanes(lane, 1000.0, deadline_s, arms={"a": BatchArm("openai", sync, batch, window_s)})


@pytest.mark.parametrize(
    ("lane", "deadline_s", "own_s", "now", "takes"),
    [
        ("auto", None, None, 1000.0, True),
        ("auto", WINDOW_S, None, 1000.0, True),
        ("auto", WINDOW_S, None, 1001.0, False),
        ("auto", None, 60.0, 1000.0, False),
        ("auto", 60.0, 2 * WINDOW_S, 1000.0, False),
        ("batch", 60.0, None, 1000.0, True),
        ("sync", None, None, 1000.0, False),
    ],
)
def test_what_can_wait_goes_through_the_batch_api(lane, deadline_s, own_s, now, takes):
    known = lanes(lane, deadline_s)
    assert known.takes("a", row(own_s), now) is takes
    assert set(known.prices(row(own_s), now)) == ({"a"} if takes else set())
    assert not known.takes("b", row(own_s), now)


def test_what_a_lane_saves():
    assert lanes("auto").saved([("a", 10, 1.0), ("b", 5, 2.0)], 1.0) == (("batch", 10, 1.0, 1.0), ("sync", 5, 2.0, 0.0))
    (batch, sync) = lanes("auto").saved([("a/whole", 10, 1.5)], 0.5)
    assert batch == ("batch", 5, pytest.approx(0.5), pytest.approx(0.5))
    assert sync == ("sync", 5, pytest.approx(1.0), 0.0)
    assert lanes("sync").saved([("a", 10, 1.0)], 0.0) == ()
