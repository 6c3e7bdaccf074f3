"""Sums over the ledger, what is open, the line for a prompt, and one arm against routing."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from scrimp.profiles.schema import Arm, Caps, Price, Profile
from scrimp.routing.ledger import caps as budget_caps
from scrimp.routing.ledger import reservations
from scrimp.routing.ledger.reservations import Charge
from scrimp.routing.ledger.spending import GROUPS, open_calls
from scrimp.routing.ledger.store import open_ledger
from scrimp.routing.reports.spending import cap_dict, sums
from scrimp.routing.reports.status_line import status_line
from scrimp.routing.reports.versus import estimate

CENT = 10_000_000
JUNE_29 = datetime(2026, 6, 29, 12, tzinfo=UTC).timestamp()
DAY = 86_400
PRICE = Price(input_usd_per_mtok=Decimal(1), output_usd_per_mtok=Decimal(4))


@pytest.fixture
def ledger(tmp_path, monkeypatch):
    monkeypatch.setenv("TZ", "UTC")
    with open_ledger(tmp_path / "scrimp.db") as ledger:
        yield ledger


def call(ledger, name="p", *, arm="a", now=JUNE_29, cost=CENT, bound=3 * CENT, kill=False, live=False, **more):
    owner = Profile(name=name, arms=(Arm(name=arm, model="m", price=PRICE),), caps=Caps(per_day_usd=Decimal(1)))
    caps = budget_caps.applicable_caps(ledger, owner, arm, now=now)
    held = reservations.reserve(
        ledger,
        Charge("r", name, arm, bound, **more),
        caps,
        now=now,
        attempt={"request_id": "r", "seq": 1, "kind": "first", "arm": arm},
    )
    if kill:
        reservations.mark_sent(ledger, held.id)
        with ledger.transaction() as conn:
            conn.execute("UPDATE reservations SET pid = 1, process_started = 'x' WHERE id = ?", (held.id,))
        reservations.reap(ledger, now=now)
    elif not live:
        tokens = {"input_tokens": 10, "output_tokens": 20}
        reservations.settle(ledger, held, cost_nano=cost, now=now, attempt=tokens)
    return held


@pytest.fixture
def spent(ledger):
    call(ledger, tag="x")
    call(ledger, arm="b", now=JUNE_29 + DAY, source="batch")
    call(ledger, "q", now=JUNE_29 + 2 * DAY, cost=None)
    call(ledger, "q", now=JUNE_29 + 2 * DAY, kill=True)
    call(ledger, "q", now=JUNE_29 + 2 * DAY, live=True)
    return ledger


@pytest.mark.parametrize(
    ("by", "names"),
    [
        ("day", ["2026-06-29", "2026-06-30", "2026-07-01"]),
        ("week", ["2026-W26"]),
        ("month", ["2026-06", "2026-07"]),
        ("arm", ["q/a", "p/a", "p/b"]),
        ("profile", ["q", "p"]),
        ("source", ["ask", "batch"]),
        ("tag", ["-", "x"]),
    ],
)
def test_groups(spent, by, names):
    rows = sums(spent, by)
    assert [row.name for row in rows] == names
    assert sum(row.charged_nano for row in rows) == 11 * CENT
    assert sum(row.n_calls for row in rows) == 5
    for row in rows:
        parts = row.settled_nano + row.unverified_nano + row.reserved_nano + row.unknown_nano
        assert parts == row.charged_nano
    assert by in GROUPS


def test_each_status_has_its_place(spent):
    (row,) = sums(spent, "profile", profile="q")
    assert (row.settled_nano, row.unverified_nano, row.unknown_nano, row.reserved_nano) == (
        0,
        3 * CENT,
        3 * CENT,
        3 * CENT,
    )
    assert row.to_dict()["charged_usd"] == 0.09
    assert (row.input_tokens, row.output_tokens) == (10, 20)
    (row,) = sums(spent, "arm", since_day="2026-06-30", arm="b")
    assert (row.name, row.charged_nano) == ("p/b", CENT)


def test_an_empty_ledger_has_no_sums(ledger):
    assert sums(ledger, "day") == []
    assert open_calls(ledger) == []


def test_what_is_open(spent):
    assert [row["status"] for row in open_calls(spent)] == ["unverified", "unknown", "reserved"]


def test_a_caps_state_as_json(spent):
    now = JUNE_29 + 2 * DAY
    cap = budget_caps.Cap("day", 100 * CENT, "day:2026-07-01|p:q")
    (state,) = budget_caps.cap_states(spent, [cap], now=now)
    assert cap_dict(state) == {
        "scope": "day",
        "limit_usd": 1.0,
        "settled_usd": 0.03,
        "reserved_usd": 0.03,
        "unknown_usd": 0.03,
        "left_usd": 0.91,
        "resets_at": "2026-07-02T00:00:00+00:00",
    }


def test_the_line_for_a_prompt(spent):
    now = JUNE_29 + 2 * DAY
    assert status_line(spent, None, now=now) == "$0.090/$1.00 day · $0.090 month · 1 unknown"
    assert status_line(spent, "p", now=JUNE_29) == "$0.010/$1.00 day · $0.020 month · 1 unknown"
    budget_caps.set_shared_cap(spent, "shared:month", 50 * CENT, now=now)
    assert "$0.090/$0.50 month, all profiles" in status_line(spent, None, now=now)
    assert status_line(spent, "never used", now=now).startswith("$0 day · $0 month")


def test_estimates():
    found = estimate([1.0, 2.0, 3.0, 4.0], total=True)
    assert found.estimate == 10.0
    assert found.high - found.estimate == pytest.approx(1.959964 * 4 * (5 / 3) ** 0.5 / 2)
    assert estimate([1.0]).low is None


def test_the_interval_covers_the_truth_as_often_as_it_says():
    import random

    rng = random.Random(7)
    hits = 0
    for _ in range(400):
        found = estimate([rng.gauss(0.3, 2.0) for _ in range(40)])
        hits += found.low <= 0.3 <= found.high
    assert 0.91 <= hits / 400 <= 0.985
