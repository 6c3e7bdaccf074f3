"""Which of a run's rows gets the next place of a limit that all processes share."""

import asyncio
from types import SimpleNamespace

from scrimp.routing.batch.rows.shared_limits import SharedLimits
from scrimp.routing.batch.rows.turns import Rank
from scrimp.routing.ledger.leases import Limited, Places

CALL = SimpleNamespace(input_tokens=10, output_tokens_p50=5)


class Books:
    """Grants so many places to whoever asks."""

    def __init__(self, most):
        self.most = most

    async def settle_places(self, account, limit, *, lease, wanted, keep):
        await asyncio.sleep(0)
        return Places(lease or 1, min(wanted, self.most), self.most)

    async def leave(self, lease):
        assert lease == 1


def test_the_most_urgent_row_gets_the_next_place():
    async def play():
        limits = SharedLimits(Books(2), Limited("a", 2, None, None), 64, asyncio.Event())
        began = []

        async def row(name, rank):
            await limits.take(CALL, rank)
            began.append(name)
            await asyncio.sleep(0.001)
            limits.give()

        ranks = {"plain": Rank(), "low": Rank(priority=-5), "high": Rank(priority=5)}
        rows = [row(f"plain {i}", ranks["plain"]) for i in range(6)] + [
            row("low", ranks["low"]),
            row("high", ranks["high"]),
        ]
        await asyncio.gather(*rows)
        await limits.close()
        return began

    began = asyncio.run(play())
    assert len(began) == 8
    assert began.index("high") <= 2, "only those go before it that had places already"
    assert began[-1] == "low"


def test_a_run_that_stops_lets_nobody_wait():
    async def play():
        stopped = asyncio.Event()
        limits = SharedLimits(Books(1), Limited("a", 1, None, None), 8, stopped)
        await limits.take(CALL)
        waiting = [asyncio.ensure_future(limits.take(CALL)) for _ in range(3)]
        await asyncio.sleep(0.01)
        stopped.set()
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)
        limits.give()
        await limits.close()
        return [type(each).__name__ for each in outcomes]

    assert asyncio.run(play()) == ["Halted"] * 3
