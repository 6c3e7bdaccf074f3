"""Rows of a run written together lead to the same ledger, and to the same refusals, as one after the other."""

import asyncio
import shutil
import tempfile
import threading
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from scrimp.profiles.schema import Arm, ArmCaps, Caps, Price, Profile
from scrimp.routing.asking.books import Called, Closing, Settlement, Summed
from scrimp.routing.batch.files.output import Journal, Result
from scrimp.routing.batch.rows.many_rows import ManyRows
from scrimp.routing.batch.rows.row_books import Begun, Ended, RunBooks
from scrimp.routing.batch.state.recovery import entry
from scrimp.routing.checks.base import Verdict
from scrimp.routing.ledger import batches
from scrimp.routing.ledger.caps import Cap, set_shared_cap
from scrimp.routing.ledger.reservations import Charge, audit_balances
from scrimp.routing.ledger.store import instant, open_ledger
from scrimp.routing.strategies.protocol import Outcome, Role, Step

NOW = 1_800_000_000.0
RUN = "run-1"
CENT = 10_000_000
PRICE = Price(input_usd_per_mtok=Decimal(1), output_usd_per_mtok=Decimal(4))
ARMS = ("a", "b", "l:low", "l:high")
TABLES = (
    "reservations", "attempts", "requests", "steps", "labels", "batch_rows", "balances", "spent", "suspensions", "meta",
    "documents", "summaries", "digests",
)  # fmt: skip


def usd(cents):
    return None if cents is None else Decimal(cents) / 100


limits = st.none() | st.integers(1, 60)


@st.composite
def profiles(draw):
    caps = Caps(
        per_call_usd=usd(draw(st.none() | st.integers(5, 20))),
        per_run_usd=usd(draw(limits)),
        per_day_usd=usd(draw(limits)),
        per_month_usd=usd(draw(limits)),
    )
    arms = tuple(
        Arm(
            name=name,
            model="openai/ok",
            price=PRICE,
            cap=None if (cap := draw(limits)) is None else ArmCaps(per_day_usd=usd(cap)),
        )
        for name in ("a", "b")
    )
    return Profile(name="p", arms=arms, default_arm="a", caps=caps)


begins = st.fixed_dictionaries({
    "do": st.just("begin"),
    "arm": st.sampled_from(ARMS),
    "cents": st.sampled_from([0, 1, 1, 2, 3, 8, 15]),
    "own": st.sampled_from([None, None, None, 2, 10]),
    "override": st.sampled_from([None, None, None, None, 12]),
    "log": st.sampled_from(["row", "row", "row", "none", "short", "documents", "half a pair"]),
    "sent": st.booleans(),
    "again": st.booleans(),
})  # fmt: skip
ends = st.fixed_dictionaries({
    "do": st.just("end"),
    "which": st.integers(0, 30),
    "cost": st.sampled_from(["bound", "less", "less", "nothing", "unknown", "released", "breach", "absurd"]),
    "records": st.sampled_from(["settled", "closed", "closed", "called", "steps", "summed", "twice", "no text"]),
    "result": st.sampled_from(["ok", "ok", "failed", None]),
    "same": st.booleans(),
})  # fmt: skip
sents = st.fixed_dictionaries({"do": st.just("sent"), "which": st.integers(0, 30)})
groups = st.lists(st.lists(begins | begins | ends | ends | sents, min_size=1, max_size=24), min_size=1, max_size=6)


class World:
    """One ledger, and the books of a run on it."""

    def __init__(self, profile, shared, max_cost, *, together):
        self.together = together
        self.folder = Path(tempfile.mkdtemp())
        self.ledger = open_ledger(self.folder / "scrimp.db")
        for scope, cents in shared.items():
            set_shared_cap(self.ledger, scope, cents * CENT, now=NOW)
        batches.add(
            self.ledger, batches.Run(RUN, instant(NOW), "running", "p", "in", "", str(self.folder / "out"), 99, {})
        )
        self.journal = Journal.open(self.folder / "out.partial", new=True)
        most = None if max_cost is None else max_cost * CENT
        self.books = RunBooks(self.ledger, self.journal, RUN, profile, max_cost_nano=most, clock=lambda: NOW)
        self.books.open()
        self.held = []
        self.n = 0

    def close(self):
        self.books.close()
        self.journal.close()
        self.ledger.close()
        shutil.rmtree(self.folder)

    async def go(self, group):
        """Do a group of things, and return what came of each."""
        held, futures, gone = list(self.held), [], set()
        begin = threading.Event()
        # The scribe waits for what comes, so that it is one group.
        waits = self.books.scribe.submit(lambda _span: begin.wait() if self.together else None, durable=False)
        try:
            for each in group:
                done = self._put(each, held, gone)
                if done is not None:
                    futures.append(done)
                    await asyncio.sleep(0)  # a coroutine begins: things stay in order
                    if not self.together:
                        await asyncio.wait([done[2]])
        finally:
            begin.set()
            await waits
        found = []
        for begun, chosen, future in futures:
            await asyncio.wait([future])
            error = future.exception()
            found.append((type(error), str(error)) if error is not None else future.result())
            if begun is not None and error is None:
                self.held.append((begun, future.result()))
            if chosen is not None and error is None:
                self.held = [each for each in self.held if each[1] != chosen]
        return found

    def _put(self, each, held, gone):
        if each["do"] == "begin":
            begun = self._begun(each, held)
            return begun, None, self.books.begin(begun)
        if not held:
            return None
        begun, reservation = held[each["which"] % len(held)]
        if each["do"] == "sent":
            if reservation.id in gone:
                return None  # a call that is over does not leave: the books fail for good
            return None, None, asyncio.ensure_future(self.books.sent(reservation))
        gone.add(reservation.id)
        return None, reservation, self.books.end(self._ended(each, begun, reservation))

    def _begun(self, each, held):
        if each["again"] and held:  # another call of a row that goes on
            n, key, request = held[0][0].n, held[0][0].charge.request_id, None
        else:
            self.n += 1
            n, key = self.n, f"request-{self.n:03d}"
            request = _request(key, each["log"])
        own = () if each["own"] is None else (Cap("--max-cost:call", each["own"] * CENT, None),)
        override = None if each["override"] is None else each["override"] * CENT
        charge = Charge(key, "p", each["arm"], each["cents"] * CENT, "batch", RUN, None, None, override)
        attempt = {"request_id": key, "seq": 1, "kind": "first", "arm": each["arm"], "input_bound": 5}
        return Begun(n, each["arm"], charge, own, attempt, request, each["sent"])

    def _ended(self, each, begun, reservation):
        key, bound = begun.charge.request_id, reservation.bound_nano
        cost = {"bound": bound, "less": bound // 3, "unknown": None, "breach": bound + 1, "absurd": -7}.get(
            each["cost"], 0
        )
        attempt = {"cost_nano": cost, "input_tokens": 7, "output_tokens": 3, "error_kind": None}
        if each["cost"] == "unknown":
            attempt = {"error_kind": "timeout"}
        released = each["cost"] == "released"
        columns = {"status": "ok", "arm": begun.arm, "answer": f"answer of {key}"}
        logged = begun.request is not None
        settled = Settlement(reservation, cost, released, attempt, columns if logged else {}, key, None, True)
        keep = "all" if logged else "money"
        over = Closing(key, {"status": "ok", "error": "none"}, (), {}, keep)
        step = Step(1, 1, Role.ASK, begun.arm, Outcome.ANSWERED, settled.charged_nano, "yes", taken=True)
        checked = Verdict("has:ok", "has", "passed")
        kinds = {"has:ok": "has"}
        records = {
            "settled": (settled,),
            "closed": (settled, over),
            "called": (settled, Called(key, step, None, None, keep, True)),
            "steps": (settled, Closing(key, {"error": "some"}, (_with(step, checked),), kinds, keep)),
            "summed": (settled, Summed(key, key, key, "in short", 2, {"memory": "{}"} if logged else {})),
            "twice": (settled, settled, over),
            "no text": (settled, Closing(key, {"status": "ok", "answer": "\ud800"}, (), {}, keep)),
        }[each["records"]]
        result = None
        if each["result"] is not None:
            result = Result(begun.n, begun.n, each["result"], key, "yes", begun.arm, settled.cost_nano)
        same = b"%032d" % (begun.n % 3) if each["same"] else None
        return Ended(begun.n, key, entry(begun.n, key, records, result), records, result, same)


def _with(step, verdict):
    return replace(step, verdicts=(verdict,))


def _request(key, how):
    if how == "none":
        return None
    row = {
        "id": key, "created_at": instant(NOW), "command": "batch", "profile": "p", "conversation_id": key,
        "decision": '{"plan": {"stages": [1, 2]}}', "surface": "[0.5]", "embedding": None, "status": "pending",
        "arm": "a", "prompt": f"a prompt of {key}",
    }  # fmt: skip
    if how == "short":
        del row["decision"]
    if how == "documents":
        row |= {"sources": '[{"sha256": "00"}]', "documents": {"00": "the text of a file"}}
    if how == "half a pair":
        row["prompt"] = "\ud800"
    return row


def rows_of(ledger):
    found = {}
    for table in TABLES:
        names = sorted(ledger.columns(table))
        rows = [tuple(row[name] for name in names) for row in ledger.rows(f"SELECT * FROM {table}")]
        drop = {"created_at", "ledger_id"}
        found[table] = sorted((row for row in rows if table != "meta" or row[0] not in drop), key=repr)
    found["events"] = ledger.rows("SELECT key, percent, profile, kind, subject, state FROM events ORDER BY key")
    found["words"] = ledger.rows(
        "SELECT rowid FROM requests_fts WHERE requests_fts MATCH 'prompt OR answer' ORDER BY 1"
    )
    return found


@given(
    profile=profiles(),
    shared=st.dictionaries(st.sampled_from(["shared:day", "shared:month"]), st.integers(5, 80)),
    max_cost=st.none() | st.integers(5, 80),
    groups=groups,
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_together_is_as_one_by_one(profile, shared, max_cost, groups):
    worlds = [World(profile, shared, max_cost, together=together) for together in (True, False)]

    async def both():
        for group in groups:
            together, apart = [await world.go(group) for world in worlds]
            assert together == apart
            for outcome in together:
                event(outcome[0].__name__ if isinstance(outcome, tuple) else type(outcome).__name__)
            if any(world.books.failure for world in worlds):
                break

    try:
        asyncio.run(both())
        together, apart = [rows_of(world.ledger) for world in worlds]
        for name, rows in together.items():
            assert rows == apart[name], name
        for world in worlds:
            assert not audit_balances(world.ledger)
            world.ledger.conn.execute("INSERT INTO requests_fts (requests_fts, rank) VALUES ('integrity-check', 1)")
    finally:
        for world in worlds:
            world.close()


def test_what_goes_as_usual_is_written_together(monkeypatch):
    alone = []
    take = ManyRows.take

    def watched(self, what, span):
        taken = take(self, what, span)
        if taken is None:
            alone.append(what)
        return taken

    monkeypatch.setattr(ManyRows, "take", watched)
    caps = Caps(per_day_usd=Decimal(1), per_run_usd=Decimal(1))
    profile = Profile(name="p", arms=(Arm(name="a", model="openai/ok", price=PRICE),), default_arm="a", caps=caps)
    world = World(profile, {"shared:month": 90}, 90, together=True)
    begin = {"do": "begin", "arm": "a", "cents": 1, "own": 2, "override": None, "log": "row", "sent": False,
             "again": False}  # fmt: skip
    end = {"do": "end", "cost": "less", "records": "closed", "result": "ok", "same": False}
    try:
        asyncio.run(world.go([begin] * 40))
        assert len(world.held) == 40
        asyncio.run(world.go([{"do": "sent", "which": n} for n in range(40)]))
        asyncio.run(world.go([*(end | {"which": n} for n in range(40)), *[begin] * 40]))
        assert batches.counts(world.ledger, RUN) == {"ok": 40, "sent": 40}
        assert alone == []
        found = asyncio.run(world.go([begin] * 40))
        refused = [each for each in found if isinstance(each, tuple)]
        assert 0 < len(refused) == len({begun.n for begun in alone}) < 40
    finally:
        world.close()
