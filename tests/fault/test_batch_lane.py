"""Half price through providers' Batch APIs: what comes of rows, at every fault and every kill, by the server's own bill."""

import collections
import json
import os
import signal
import sqlite3
import time
from contextlib import closing

import pytest
from provider_batches import BatchServer

N_ROWS = 4
APIS = ("openai", "anthropic", "gemini")
MODELS = {"openai": "openai/gpt-x", "anthropic": "anthropic/claude-haiku-4-5", "gemini": "gemini/gemini-2.5-flash"}


@pytest.fixture
def server():
    with BatchServer(delay_s=0.05) as server:
        yield server


class World:
    """A folder with a home, a profile of one arm, and a file of rows."""

    def __init__(self, folder, worker, server, api):
        self.folder, self.worker, self.server, self.api = folder, worker, server, api
        self.profile()
        self.rows([f"say {i}" for i in range(N_ROWS)])

    def profile(self, caps="per_day_usd = 10", more=""):
        base = getattr(self.server, self.api)
        (self.folder / "profile.toml").write_text(f"""
name = "half"
[caps]
{caps}
[[arms]]
name = "only"
model = "{MODELS[self.api]}"
api_base = "{base}"
batch_api = "{self.api}"
max_output_tokens = 100
tier = "small"
price = {{ input_usd_per_mtok = 1, output_usd_per_mtok = 4 }}
{more}
""")

    def rows(self, texts):
        lines = [json.dumps({"id": f"r{i}", "prompt": text}) + "\n" for i, text in enumerate(texts)]
        (self.folder / "in.jsonl").write_text("".join(lines))
        self.texts = texts

    def start(self, *more, **how):
        return self.worker.start(
            "batch", self.folder / "in.jsonl", "-o", self.folder / "out.jsonl", "-p", self.folder / "profile.toml",
            "-y", *(more or ("--lane", "batch")), home=self.folder / "home", **how,
        )  # fmt: skip

    def run(self, *more, **how):
        return self.worker.wait(self.start(*more, **how)), self.said

    def again(self, *words, **how):
        pid = self.worker.start("batch", *words, home=self.folder / "home", **how)
        return self.worker.wait(pid), self.said

    @property
    def said(self):
        return self.worker.out.read_text()

    @property
    def out(self):
        return [json.loads(line) for line in (self.folder / "out.jsonl").read_text().splitlines()]

    def sql(self, text):
        with closing(sqlite3.connect(self.folder / "home" / "scrimp.db")) as conn, conn:
            return conn.execute(text).fetchall()

    def billed(self):
        return collections.Counter(each["text"] for each in self.server.state.billed)

    def check_money(self):
        """Hold the ledger against the server's bill: nothing is held, and all that was billed is charged."""
        from scrimp.routing.ledger import reservations
        from scrimp.routing.ledger.store import open_ledger

        with open_ledger(self.folder / "home" / "scrimp.db") as ledger:
            assert reservations.audit_balances(ledger) == {}
        assert self.sql("SELECT count(*) FROM reservations WHERE status = 'reserved'") == [(0,)]
        ((charged,),) = self.sql("SELECT sum(charged_nano) FROM reservations")
        return charged, sum(each["cost_nano"] for each in self.server.state.billed)


@pytest.fixture(params=APIS)
def world(request, tmp_path, worker, server):
    return World(tmp_path, worker, server, request.param)


@pytest.fixture
def plain(tmp_path, worker, server):
    return World(tmp_path, worker, server, "openai")


def without_cost(rows):
    return [{key: value for key, value in row.items() if key not in ("cost_usd", "decision_id")} for row in rows]


def test_rows_are_as_at_once_and_cost_half(world):
    assert world.run("--lane", "sync")[0] == 0
    at_once = world.out
    code, said = world.run("--lane", "batch", "--overwrite")
    assert code == 0, said
    assert without_cost(world.out) == without_cost(at_once)
    assert [row["cost_usd"] * 2 for row in world.out] == pytest.approx([row["cost_usd"] for row in at_once])
    charged, billed = world.check_money()
    assert charged == billed
    assert set(world.billed().values()) == {2}
    assert collections.Counter(each["lane"] for each in world.server.state.billed) == {"sync": N_ROWS, "batch": N_ROWS}
    lanes = world.sql("SELECT lane, count(*), max(latency_s IS NULL) FROM attempts GROUP BY lane ORDER BY lane")
    assert lanes == [(None, N_ROWS, 0), ("batch", N_ROWS, 1)]
    assert len(world.server.state.batches) == 1, "all rows go together"


def test_the_body_is_that_of_a_call_at_once(world):
    from scrimp.routing.calls.call import Call
    from scrimp.routing.calls.composed import compose
    from scrimp.routing.calls.dispatch import attempt

    call = Call(
        MODELS[world.api], [{"role": "system", "content": "be short"}, {"role": "user", "content": "hello"}], 50,
        api_base=getattr(world.server, world.api), api_key="sk-test", params={"temperature": 0.5}, stream=False,
    )  # fmt: skip
    composed = compose(call)
    assert world.server.state.requests == [], "nothing was sent"
    attempt(call)
    (path,) = world.server.state.requests
    assert composed.url.endswith(path.partition(" ")[2])
    assert world.server.state.bodies == [dict(composed.body)]


STEPS = {
    "openai": ["POST /v1/files", "POST /v1/batches", "GET /v1/batches/*", "GET /v1/files/*"],
    "anthropic": ["POST /v1/messages/batches", "GET /v1/messages/batches/*"],
    "gemini": ["POST /v1beta/models/*", "GET /v1beta/batches/*"],
}


@pytest.mark.parametrize("how", ["fail", "late"])
@pytest.mark.parametrize(("api", "step"), [(api, step) for api in APIS for step in STEPS[api]])
def test_a_failure_at_every_step_costs_nothing_twice(tmp_path, worker, server, api, step, how):
    world = World(tmp_path, worker, server, api)
    server.control(**{how: {step: 1}}, page=1)
    code, said = world.run(at_once=True)
    assert code == 0, said
    assert [row["status"] for row in world.out] == ["ok"] * N_ROWS
    assert set(world.billed().values()) == {1}
    charged, billed = world.check_money()
    assert charged == billed


def kills(api):
    create = {"openai": 2, "anthropic": 1, "gemini": 1}[api]
    last = {"openai": 5, "anthropic": 3, "gemini": 3}[api]
    steps = [(event, n) for n in range(1, last + 1) for event in ("asks", "told")]
    if api != "openai":
        steps = [(event, n) for event, n in steps if n in (create, last)]
    return [*steps, *((event, 2) for event in ("reserved", "settling", "settled") if api == "openai")]


@pytest.mark.parametrize(("api", "moment"), [(api, f"{event}:{n}") for api in APIS for event, n in kills(api)], ids=str)
def test_killed_at_every_step_nothing_is_lost_and_nothing_paid_twice(tmp_path, worker, server, api, moment):
    world = World(tmp_path, worker, server, api)
    server.control(delay_s=0.0)
    code, said = world.run(kill=moment)
    assert code == -signal.SIGKILL, said
    # What was handed over without an answer, and is not on the provider's list, is certain to be missing after a while.
    hour_ago = time.strftime("%Y-%m-%dT%H:%M:%S.000000Z", time.gmtime(time.time() - 3600))
    world.sql(f"UPDATE provider_batches SET at = '{hour_ago}' WHERE provider_id IS NULL")
    code, said = world.again("--resume", at_once=True)
    assert code == 0, said
    assert [row["status"] for row in world.out] == ["ok"] * N_ROWS, said
    assert set(world.billed().values()) == {1}, "the provider answered each row once"
    charged, billed = world.check_money()
    assert charged == billed


def test_what_each_row_comes_to(world):
    world.rows(
        ["good", "HTTP400 bad", "HTTP429-ONCE busy", "EXPIRE late", "MISSING lost", "DUPLICATE twice", "EMPTY free"]
    )
    world.server.control(reversed=True, strange=True)
    code, said = world.run(at_once=True)
    assert code == 6, said
    rows = {row["id"]: row for row in world.out}
    assert [rows[f"r{i}"]["status"] for i in range(7)] == ["ok", "failed", "ok", "skipped", "failed", "ok", "ok"]
    assert rows["r1"]["cost_usd"] == 0
    assert rows["r3"]["cost_usd"] == 0
    assert "expired" in rows["r3"]["error"]
    assert rows["r4"]["cost_usd"] is None
    assert "may have been billed" in rows["r4"]["error"]
    assert rows["r5"]["answer"] == "answer to DUPLICATE twice"
    assert rows["r6"]["cost_usd"] is None
    assert max(world.billed().values()) == 1
    charged, billed = world.check_money()
    assert charged >= billed
    states = world.sql("SELECT status, count(*) FROM reservations GROUP BY status ORDER BY status")
    assert dict(states) == {"released": 3, "settled": 3, "unverified": 2}


def test_gemini_without_keys_goes_by_places(tmp_path, worker, server):
    world = World(tmp_path, worker, server, "gemini")
    server.control(no_keys=True)
    assert world.run()[0] == 0, world.said
    assert [row["answer"] for row in world.out] == [f"answer to say {i}" for i in range(N_ROWS)]


def test_a_batch_that_is_refused_as_a_whole_costs_nothing(world):
    world.server.control(refuse=True)
    code, said = world.run()
    assert code == 6, said
    assert {row["status"] for row in world.out} == {"failed"}
    assert "not liked" in world.out[0]["error"]
    assert world.check_money() == (0, 0)


def test_a_batch_that_expires_gives_what_was_done(world):
    world.server.control(expire=True)
    code, said = world.run()
    assert code == 6, said
    assert collections.Counter(row["status"] for row in world.out) == {"ok": N_ROWS // 2, "skipped": N_ROWS // 2}
    charged, billed = world.check_money()
    assert charged == billed > 0


def test_what_expired_is_asked_at_once_where_no_time_is_left(plain):
    plain.server.control(expire=True, delay_s=6.0)
    # They go into a batch, since there are 24 hours; when it is back there are not.
    code, said = plain.run("--deadline", "86405s", at_once=True)
    assert code == 0, said
    lanes = collections.Counter(each["lane"] for each in plain.server.state.billed)
    assert lanes == {"batch": N_ROWS // 2, "sync": N_ROWS // 2}
    charged, billed = plain.check_money()
    assert charged == billed
    assert [row["status"] for row in plain.out] == ["ok"] * N_ROWS


def test_a_deadline_that_leaves_no_time_is_kept_at_once(plain):
    assert plain.run("--deadline", "1h")[0] == 0
    assert {each["lane"] for each in plain.server.state.billed} == {"sync"}


def test_the_providers_own_pace_counts(plain):
    for i in range(5):
        assert plain.run("--lane", "batch", "--overwrite")[0] == 0, plain.said
        assert i < 4 or len(plain.sql("SELECT 1 FROM provider_batches WHERE status = 'ended'")) == 5
    code, said = plain.run("--deadline", "1h", "--overwrite")
    assert code == 0, said
    assert {each["lane"] for each in plain.server.state.billed} == {"batch"}


def test_ctrl_c_leaves_it_and_collect_fetches_it(world):
    world.server.control(never=True)
    pid = world.start()
    deadline = time.monotonic() + 60
    while not world.server.state.batches and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(0.2)
    os.kill(pid, signal.SIGINT)
    assert world.worker.wait(pid) == 130, world.said
    assert "waiting" in world.again("list")[1]
    assert world.sql("SELECT status, count(*) FROM reservations GROUP BY status") == [("reserved", N_ROWS)]
    code, said = world.again("collect")
    assert (code, "collect" in said) == (75, True), said
    code, said = world.again("status", "--json")
    (batch,) = json.loads(said[said.index("{") :])["batches"]
    assert (batch["calls"], batch["to_settle"], batch["problem"]) == (N_ROWS, N_ROWS, None)
    world.server.control(never=False)
    code, said = world.again("collect")
    assert code == 0, said
    assert [row["status"] for row in world.out] == ["ok"] * N_ROWS
    assert set(world.billed().values()) == {1}
    charged, billed = world.check_money()
    assert charged == billed
    assert world.again("collect")[0] == 0


def test_what_comes_back_all_at_once_ends_the_run(plain):
    """Rows whose results are here, and whose turn has not come, are not taken for rows that wait."""
    plain.rows([f"say {i}" for i in range(150)])
    plain.server.control(never=True)
    code, said = plain.run("--lane", "batch", "--detach")
    assert code == 75, said
    plain.server.control(never=False, wait_s=0.7)
    assert plain.again("status")[0] == 0, "it has noted that the batch is over: collecting has nothing to note"
    code, said = plain.again("collect")
    assert code == 0, said
    assert [row["status"] for row in plain.out] == ["ok"] * 150


def test_without_a_log_it_is_collected_too(plain):
    plain.server.control(never=True)
    assert plain.run("--lane", "batch", "--detach", "--no-log")[0] == 75, plain.said
    assert plain.sql("SELECT count(*) FROM requests") == [(0,)]
    plain.server.control(never=False)
    code, said = plain.again("collect")
    assert code == 0, said
    assert set(plain.billed().values()) == {1}
    assert plain.sql("SELECT count(*) FROM provider_batch_calls WHERE decision IS NOT NULL") == [(0,)]


def test_cancel_cancels_there_and_settles_what_was_done(world):
    world.server.control(never=True)
    assert world.run("--lane", "batch", "--detach")[0] == 75, world.said
    ((run,),) = world.sql("SELECT id FROM batch_runs")
    code, said = world.again("cancel", run)
    assert code == 0, said
    assert sum(world.billed().values()) == N_ROWS // 2
    charged, billed = world.check_money()
    assert charged == billed
    assert "cancelled" in world.again("list")[1]
    code, said = world.again("status", run, "-p", world.folder / "profile.toml")
    assert (code, "cancelled" in said or "ended" in said) == (0, True), said
    assert world.again("collect", run, "-p", world.folder / "profile.toml")[0] == 0


def test_caps_hold_at_half_the_bounds(plain):
    plain.profile(caps="per_day_usd = 0.0007")  # two bounds at half price, or one of a call at once
    code, said = plain.run()
    assert code == 0, said
    charged, billed = plain.check_money()
    assert charged == billed <= 700_000
    ((most,),) = plain.sql("SELECT max(reserved_nano) FROM reservations")
    assert 200_000 < most <= 350_000
    assert [each["lane"] for each in plain.server.state.billed] == ["batch"] * N_ROWS
    assert len(plain.server.state.batches) >= 2


def test_a_row_that_wants_another_call_goes_with_the_next_batch(plain):
    more = """
[[arms]]
name = "other"
model = "openai/gpt-y"
api_base = "BASE"
batch_api = "openai"
max_output_tokens = 100
tier = "large"
price = { input_usd_per_mtok = 2, output_usd_per_mtok = 8 }
"""
    plain.profile(more=more.replace("BASE", plain.server.openai))
    code, said = plain.run("--lane", "batch", "--plan", "only ? checks > other", "--check", "re:nothing-like-it")
    assert code in (0, 6), said
    assert {row["arm"] for row in plain.out} == {"other"}
    assert set(plain.billed().values()) == {2}
    assert len(plain.server.state.batches) == 2


def test_the_estimate_says_what_each_lane_takes_and_saves(plain):
    code, said = plain.again(
        str(plain.folder / "in.jsonl"),
        "--dry-run",
        "--json",
        "--deadline",
        "24h",
        "-p",
        str(plain.folder / "profile.toml"),
    )
    assert code == 0, said
    found = json.loads(said[said.index("{") :])
    (lane,) = found["lanes"]
    assert (lane["lane"], lane["rows"]) == ("batch", N_ROWS)
    assert lane["saved_usd"] == pytest.approx(lane["cost_usd"])
    assert plain.server.state.requests == []


def test_an_arm_without_a_batch_api_is_not_asked_in_that_lane(plain):
    text = (plain.folder / "profile.toml").read_text().replace('batch_api = "openai"\n', "")
    (plain.folder / "profile.toml").write_text(text)
    code, said = plain.run()
    assert code == 2, said
    assert "Batch API" in said
    assert plain.run("--lane", "auto")[0] == 0, plain.said
    assert {each["lane"] for each in plain.server.state.billed} == {"sync"}
