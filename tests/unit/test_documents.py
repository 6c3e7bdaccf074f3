"""Texts of files in the ledger: kept once, with the request that read them, and gone with the last one."""

import json
import random
import zlib
from decimal import Decimal

import pytest

from scrimp.profiles.errors import LedgerError, UsageError
from scrimp.routing.asking import kept_files
from scrimp.routing.asking.kept_files import files_of, with_files
from scrimp.routing.asking.log_rows import request_row
from scrimp.routing.asking.read import with_readings
from scrimp.routing.asking.request import Ask
from scrimp.routing.asking.was_read import was_read, whole_cost
from scrimp.routing.deciding.decide import Decider, Wishes
from scrimp.routing.ledger.documents import drop, kept, size, write_request
from scrimp.routing.ledger.forget import purge, remove, retire
from scrimp.routing.ledger.reservations import Charge, reserve
from scrimp.routing.ledger.store import instant, new_id, open_ledger
from scrimp.routing.prices.price import ArmPrice
from scrimp.routing.prices.table import PriceTable
from scrimp.routing.prices.usage import Usage
from scrimp.routing.prompts.embedding import Embedder
from scrimp.routing.prompts.prompt import Prompt
from scrimp.routing.prompts.sources import Readings, Source
from scrimp.routing.router.tier_prior import TierPrior

A = Source("a.txt", "okapi " * 3_000, "/somewhere/a.txt")
B = Source("b.txt", "quagga\r\n\x00 \udce9 " * 2_000)
DAY = 86_400.0


@pytest.fixture
def ledger(tmp_path):
    with open_ledger(tmp_path / "scrimp.db") as ledger:
        yield ledger


def write(ledger, *sources, at=0.0, profile="p", keep=True):
    """Write a request that read some sources; return its id."""
    row = {
        "id": new_id(), "created_at": instant(at), "command": "ask", "profile": profile, "status": "ok",
        "sources": json.dumps([each.to_dict() for each in sources]),
        "documents": {each.sha256: each.text for each in sources} if keep else {},
    }  # fmt: skip
    with ledger.transaction():
        write_request(ledger, row)
    return row["id"]


def hashes(ledger):
    return {row["sha256"] for row in ledger.rows("SELECT sha256 FROM documents")}


def logged(ledger, request_id):
    (row,) = ledger.rows("SELECT id, sources, readings FROM requests WHERE id = ?", (request_id,))
    return row


# ---- kept


def test_a_text_is_kept_once_for_all_that_read_it(ledger):
    write(ledger, A, B)
    write(ledger, A)
    assert hashes(ledger) == {A.sha256, B.sha256}
    assert kept(ledger, [A.sha256, B.sha256, "0" * 64]) == {A.sha256: A.text, B.sha256: B.text}
    (row,) = ledger.rows("SELECT n_chars, packed FROM documents WHERE sha256 = ?", (A.sha256,))
    assert (row["n_chars"], len(row["packed"]) < len(A.text) / 10) == (len(A.text), True)
    assert size(ledger)[0] == 2


def test_it_is_written_with_the_reservation_or_not_at_all(ledger):
    request = {
        "id": "r", "created_at": instant(0.0), "command": "ask", "profile": "p", "status": "pending",
        "sources": json.dumps([A.to_dict()]), "documents": {A.sha256: A.text},
    }  # fmt: skip

    def fails():
        reserve(ledger, Charge("r", "p", "small", 7), (), now=0.0, request=request)
        assert hashes(ledger) == {A.sha256}
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), ledger.transaction():
        fails()
    assert (hashes(ledger), ledger.rows("SELECT id FROM requests")) == (set(), [])
    reserve(ledger, Charge("r", "p", "small", 7), (), now=0.0, request=request)
    assert hashes(ledger) == {A.sha256}


def test_a_damaged_text_is_said(ledger):
    of = write(ledger, A)
    with ledger.transaction() as conn:
        conn.execute("UPDATE documents SET packed = ?", (b"no zlib",))
    with pytest.raises(LedgerError, match=A.sha256[:12]):
        files_of(ledger, logged(ledger, of))


# ---- what of a request becomes a row


@pytest.fixture(scope="module")
def decided(profile_of_two):
    decider = Decider(profile_of_two, PriceTable(b"{}", "0"), TierPrior(), Embedder())
    prompt = Prompt("Where do okapi live?", sources=(A, B))
    (context,) = decider.contexts([prompt.text])
    prompt = with_readings(prompt, context, decider.embedder)
    found = decider.decide(
        prompt, decider.predict([context]), Wishes(arm="small"), decision_id="d", rng=random.Random(0)
    )
    return prompt, found, context


@pytest.fixture(scope="module")
def profile_of_two():
    from scrimp.profiles.schema import Arm, Profile

    return Profile(name="p", arms=[Arm(name=each, model=f"openai/{each}", tier=each) for each in ("small", "large")])


def test_a_log_without_text_keeps_no_names(decided):
    prompt, decision, context = decided
    rows = {keep: request_row(Ask(prompt, Wishes(), keep=keep), decision, context, 0.0) for keep in ("all", "features")}
    assert rows["all"]["documents"] == {A.sha256: A.text, B.sha256: B.text}
    assert json.loads(rows["all"]["sources"]) == [A.to_dict(), B.to_dict()]
    assert rows["features"]["documents"] == {}
    own = ("sha256", "n_chars", "n_tokens")
    assert json.loads(rows["features"]["sources"]) == [{key: each.to_dict()[key] for key in own} for each in (A, B)]
    assert rows["features"]["readings"] == rows["all"]["readings"]
    assert not any(word in str(rows["features"]) for word in ("a.txt", "b.txt", "somewhere", "okapi", "quagga"))


def test_what_is_very_long_is_not_kept(decided, monkeypatch):
    prompt, decision, context = decided
    ask = Ask(prompt, Wishes())
    monkeypatch.setattr("scrimp.routing.asking.log_rows.MAX_KEPT", len(A.text) + len(B.text))
    assert len(request_row(ask, decision, context, 0.0)["documents"]) == 2
    monkeypatch.setattr("scrimp.routing.asking.log_rows.MAX_KEPT", len(A.text) + len(B.text) - 1)
    row = request_row(ask, decision, context, 0.0)
    assert (row["documents"], json.loads(row["sources"])[0]["path"]) == ({}, A.path)


# ---- read back


def test_readings_are_read_back_byte_for_byte(ledger, decided):
    prompt, decision, context = decided
    with ledger.transaction():
        write_request(ledger, request_row(Ask(prompt, Wishes()), decision, context, 0.0))
    again = with_files(ledger, logged(ledger, decision.id), Prompt(prompt.text))
    assert again.sources == prompt.sources
    assert again.readings.offered == prompt.readings.offered == ("whole", "passages")
    for kind in ("whole", "passages", "none", None):
        assert again.as_read(kind).messages() == prompt.as_read(kind).messages()
    found = again.readings.reads["passages"].spans
    assert [(s.source, s.start, s.end) for s in found] == [
        (s.source, s.start, s.end) for s in prompt.readings.reads["passages"].spans
    ]
    assert again.readings.evidence.to_dict() == prompt.readings.evidence.to_dict()


def test_readings_on_record_are_not_searched_anew(decided):
    prompt, _, context = decided
    only = Readings.read_again({**prompt.readings.to_dict(), "offered": ["whole"]}, prompt.sources, prompt.text)
    recorded = Prompt(prompt.text, sources=prompt.sources, readings=only)
    assert with_readings(recorded, context, None).readings.offered == ("whole",)
    assert with_readings(recorded, context, None, named=["small/none"]).readings.offered == ("whole", "none")


def test_a_file_that_was_not_kept_is_read_where_it_is(ledger, tmp_path):
    path = tmp_path / "c.txt"
    path.write_text("zebra " * 50)
    (found,) = kept_files.read_sources([path])
    of = logged(ledger, write(ledger, found, keep=False))
    assert files_of(ledger, of) == (found,)
    path.write_text("zebra " * 51)
    with pytest.raises(UsageError, match=r"c\.txt.*has changed"):
        files_of(ledger, of)
    path.unlink()
    with pytest.raises(UsageError, match=r"c\.txt.*cannot read"):
        files_of(ledger, of)


@pytest.mark.parametrize(
    ("source", "says"),
    [({**B.to_dict()}, "b.txt.*too long"), ({"sha256": "0" * 64, "n_chars": 7, "n_tokens": 2}, "was not kept")],
)
def test_what_is_nowhere_is_said(ledger, source, says):
    with pytest.raises(UsageError, match=says):
        files_of(ledger, {"id": "r", "sources": json.dumps([source])})
    assert files_of(ledger, {"id": "r", "sources": None}) == ()


# ---- forgotten

FORGETS = {
    "remove": lambda ledger, request_id: remove(ledger, [request_id]),
    "purge": lambda ledger, _: purge(ledger, before=instant(DAY)),
    "retire": lambda ledger, _: retire(ledger, profile="p", before=instant(2 * DAY)),
}


@pytest.mark.parametrize("forget", FORGETS.values(), ids=FORGETS)
def test_a_text_goes_with_the_last_request_that_read_it(ledger, forget):
    old = write(ledger, A, B, at=5.0)
    new = write(ledger, A, at=3 * DAY)
    assert forget(ledger, old) == 1
    assert hashes(ledger) == {A.sha256}
    assert logged(ledger, new)["id"] == new
    remove(ledger, [new])
    assert hashes(ledger) == set()


def test_a_purge_takes_texts_that_no_request_reads(ledger):
    write(ledger, A)
    with ledger.transaction():
        packed = zlib.compress(B.text.encode("utf-8", "surrogatepass"))
        ledger.insert("documents", {"sha256": B.sha256, "at": instant(0.0), "n_chars": len(B.text), "packed": packed})
        drop(ledger.conn, [A.sha256])
    assert hashes(ledger) == {A.sha256, B.sha256}, "what is read stays, and what was not named is not looked at"
    purge(ledger, before=instant(0.0))
    assert hashes(ledger) == {A.sha256}


def test_forgetting_looks_only_at_requests_with_files(ledger):
    write(ledger, A)
    plan = ledger.conn.execute("EXPLAIN QUERY PLAN SELECT sources FROM requests WHERE sources IS NOT NULL").fetchall()
    assert "idx_requests_sources" in str(plan)


# ---- what was read


def test_what_was_read_and_what_the_whole_had_cost(decided):
    prompt, _, _ = decided
    n_whole = A.n_tokens + B.n_tokens
    read = was_read(prompt, "small/passages")
    assert (read["reading"], read["whole_tokens"]) == ("passages", n_whole)
    assert read["read_tokens"] == prompt.readings.reads["passages"].n_tokens < n_whole
    assert {each["file"] for each in read["passages"]} <= {"a.txt", "b.txt"}
    assert [each["sha256"] for each in read["files"]] == [A.sha256, B.sha256]
    assert was_read(prompt, "small/none")["read_tokens"] == 0
    for name in ("small", "small/whole"):
        assert (was_read(prompt, name)["reading"], was_read(prompt, name)["passages"]) == ("whole", None)
    assert was_read(Prompt("?"), "small")["reading"] is None

    price = ArmPrice(input=Decimal(1_000), output=Decimal(4_000))
    sent = Usage(prompt.readings.reads["passages"].n_tokens + 20, 10)
    extra = prompt.readings.reads["whole"].n_tokens - prompt.readings.reads["passages"].n_tokens
    cost = whole_cost(prompt, "small/passages", price, sent, None)
    assert cost == price.cost_nano(sent) + 1_000 * extra
    assert whole_cost(prompt, "small/passages", price, sent, sent.input_tokens + extra + 9) is None
    assert whole_cost(prompt, "small/whole", price, sent, None) is None
    assert whole_cost(Prompt("?"), "small", price, sent, None) is None
