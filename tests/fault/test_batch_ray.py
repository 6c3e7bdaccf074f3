"""Batches on a real Ray cluster of this machine: workers and drivers that are killed, Parquet, folders and URLs."""

import collections
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from killed_batches import wait_until

pytest.importorskip("ray.data")
import pyarrow as pa
import pyarrow.parquet as pq

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:ray")  # its own use of its own

LATENCY_MS = 200
N_ROWS = 24
KEY = "sk-ray-3Vt8Qm1xWc6Rz9Lp"
N_KILLED = int(os.environ.get("SCRIMP_TEST_KILLED_RUNS", "1"))
"""Starting workers takes seconds: fewer runs are killed than elsewhere, unless more are asked for."""


@pytest.fixture(scope="module")
def cluster():
    """A cluster that is there already; its address."""
    import ray

    from scrimp.routing.batch import cluster

    cluster.check_installed()
    with cluster._quietly():
        own = cluster._start()
    os.environ["RAY_AUTH_TOKEN_PATH"] = str(own.folder / "token")
    yield ray.get_runtime_context().gcs_address
    cluster._joined = own
    cluster.leave()
    for name in ("RAY_AUTH_TOKEN_PATH", "RAY_AUTH_MODE"):
        os.environ.pop(name, None)


@pytest.fixture
def world(tmp_path, slow_server):
    slow_server.forget()
    (tmp_path / "profile.toml").write_text(f"""
name = "ray"
[caps]
per_day_usd = 10
[[arms]]
name = "only"
model = "openai/ok"
api_base = "{slow_server.base_url}"
key_env = "RAY_TEST_KEY"
max_output_tokens = 2000
tier = "small"
price = {{ input_usd_per_mtok = 1, output_usd_per_mtok = 4 }}
""")
    return tmp_path


def prompt(world, i):
    return f"prompt {i} of {world.name}"


def parquet(world, n=N_ROWS):
    rows = {"id": list(range(100, 100 + n)), "prompt": [prompt(world, i) for i in range(n)], "score": [0.5] * n}
    pq.write_table(pa.table(rows), world / "in.parquet", row_group_size=16)
    return world / "in.parquet"


class Run:
    """A driver: scrimp in a process of its own."""

    def __init__(self, world, *argv, cluster=None):
        self.said = world / "said.txt"
        where = () if cluster is None else ("--on", "ray", "--address", cluster)
        env = {**os.environ, "SCRIMP_HOME": str(world / "home"), "RAY_TEST_KEY": KEY}
        with self.said.open("w") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "scrimp.cli", "batch", *map(str, argv), *where],
                env=env, cwd=world, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
            )  # fmt: skip

    def end(self):
        try:
            return self.process.wait(180), self.said.read_text()
        finally:
            self.process.kill()


def begin(world, cluster, *argv):
    return Run(world, *argv, "-p", world / "profile.toml", "-j", 4, "--workers", 2, cluster=cluster)


def seats():
    """Return the processes that workers are in."""
    found = []
    for each in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if each.read_bytes().startswith(b"ray::Seat"):
                found.append(int(each.parent.name))
    return found


def asked_of(server, world):
    return collections.Counter(text for text in server.prompts() if text.endswith(f" of {world.name}"))


def bill(server):
    """Return what the server charges for each prompt, nano-USD."""
    rows = [json.loads(line) for line in server.log.read_text().splitlines()]
    return {row["body"]["messages"][-1]["content"]: row["cost_nano"] for row in rows}


def ledger_of(world):
    from scrimp.routing.ledger.store import open_ledger

    return open_ledger(world / "home" / "scrimp.db")


def money(world):
    from scrimp.routing.ledger import reservations

    with ledger_of(world) as ledger:
        assert reservations.audit_balances(ledger) == {}
        rows = ledger.rows("SELECT status, count(*) AS n, sum(charged_nano) AS nano FROM reservations GROUP BY status")
        return {row["status"]: (row["n"], row["nano"]) for row in rows}


@pytest.mark.parametrize("seed", range(N_KILLED))
def test_a_killed_worker_costs_what_it_had_in_flight_and_no_more(cluster, world, slow_server, seed):
    goal = random.Random(seed).randint(1, N_ROWS - 6)
    output = world / "out.parquet"
    run = begin(world, cluster, parquet(world), "-o", output)
    wait_until(lambda: slow_server.n_seen >= goal and len(seats()) == 2)
    os.kill(seats()[0], signal.SIGKILL)
    code, said = run.end()
    assert "is lost: the others go on" in said
    assert "Traceback" not in said
    assert KEY not in said
    table = pq.read_table(output)
    assert table.schema.field("id").type == pa.int64()
    rows = table.to_pylist()
    assert [row["id"] for row in rows] == list(range(100, 100 + N_ROWS)), "every row once, in order"
    states = collections.Counter(row["status"] for row in rows)
    assert set(states) <= {"ok", "unknown"}, said
    assert states["unknown"] <= 8
    assert code == (6 if states["unknown"] else 0)
    asked = asked_of(slow_server, world)
    assert max(asked.values()) == 1, "nothing is asked again that may have been paid for"
    unknown = {prompt(world, row["id"] - 100) for row in rows if row["status"] == "unknown"}
    charged, truly = money(world), bill(slow_server)
    assert set(charged) <= {"settled", "unverified", "released"}
    known = sum(nano for text, nano in truly.items() if text not in unknown)
    assert charged["settled"][1] == known, "to the nano-dollar"
    n_unknown, at_bound = charged.get("unverified", (0, 0))
    assert n_unknown == len(unknown)
    assert at_bound >= sum(nano for text, nano in truly.items() if text in unknown)
    wait_until(lambda: not seats())


@pytest.mark.parametrize("seed", range(N_KILLED))
def test_a_killed_driver_takes_its_workers_with_it_and_the_run_goes_on(cluster, world, slow_server, seed):
    goal = random.Random(seed).randint(1, N_ROWS - 6)
    output = world / "out.parquet"
    run = begin(world, cluster, parquet(world), "-o", output)
    wait_until(lambda: slow_server.n_seen >= goal)
    run.process.kill()
    run.end()
    wait_until(lambda: not seats())
    assert not output.exists()
    code, said = Run(world, "--resume", "-o", output).end()
    rows = pq.read_table(output).to_pylist()
    assert [row["id"] for row in rows] == list(range(100, 100 + N_ROWS)), said
    unknown = {prompt(world, row["id"] - 100) for row in rows if row["status"] == "unknown"}
    assert code == (6 if unknown else 0), said
    asked = asked_of(slow_server, world)
    assert max(asked.values()) == 1
    assert set(asked) | unknown == {prompt(world, i) for i in range(N_ROWS)}
    truly = bill(slow_server)
    assert money(world)["settled"][1] == sum(nano for text, nano in truly.items() if text not in unknown)
    assert "reserved" not in money(world)


def test_what_could_not_be_delivered_is_delivered_by_resume(cluster, world, slow_server):
    (world / "lake").mkdir()
    output = f"file://{world}/lake/out.parquet"
    run = begin(world, cluster, parquet(world, 8), "-o", output)
    wait_until(lambda: slow_server.n_seen >= 1)
    (world / "lake").rmdir()
    code, said = run.end()
    assert code == 75, said
    assert "--resume" in said
    n_asked = slow_server.n_seen
    (world / "lake").mkdir()
    code, said = Run(world, "--resume", "-o", output).end()
    assert code == 0, said
    assert pq.read_table(world / "lake" / "out.parquet").num_rows == 8
    assert slow_server.n_seen == n_asked, "and nothing is asked for it"
    assert list((world / "home" / "deliveries").iterdir()) == []
    code, said = Run(world, "--resume", "-o", output).end()
    assert (code, f"its output is {output}" in said) == (0, True), said


@pytest.fixture
def on_ray(scrimp, cluster, world):
    def call(*argv):
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("RAY_TEST_KEY", KEY)
            return scrimp("batch", *argv, "-p", world / "profile.toml", "--on", "ray", "--address", cluster)

    return call


def test_a_folder_of_tables_becomes_one_and_ids_stay_text(on_ray, world):
    folder = world / "rows"
    folder.mkdir()
    for k in range(3):
        rows = "".join(f'0{k}{i},"say {i}, please",=1+1\n' for i in range(2))
        (folder / f"part-{k}.csv").write_text("id,prompt,note\n" + rows.rstrip("\n"))
    (folder / "_SUCCESS").write_text("")
    (folder / ".part-9.csv.crc").write_text("x")
    done = on_ray(f"file://{folder}", "-o", f"file://{world}/out.csv")
    assert done.code == 0, done.err
    lines = (world / "out.csv").read_text().splitlines()
    assert lines[0].startswith("id,prompt,note,status,answer,")
    assert [line.split(",")[0] for line in lines[1:]] == ["000", "001", "010", "011", "020", "021"]
    done = on_ray(folder / "part-*.csv", "-o", world / "out.parquet")
    assert done.code == 0, done.err
    table = pq.read_table(world / "out.parquet")
    assert table.column("id").to_pylist() == ["000", "001", "010", "011", "020", "021"]
    assert table.column("note").to_pylist() == ["=1+1"] * 6
    assert table.column("scrimp_note").to_pylist() == [None] * 6
    assert table.schema.field("cost_usd").type == pa.float64()


def test_parquet_of_conversations_becomes_json_lines_at_a_url(on_ray, world):
    chat = [{"role": "system", "content": "be brief", "name": None}, {"role": "user", "content": "hi", "name": None}]
    pq.write_table(
        pa.table({"id": ["a", "b"], "messages": [chat, None], "prompt": [None, "say it"], "temperature": [None, None]}),
        world / "in.parquet",
    )
    done = on_ray(world / "in.parquet", "-o", f"file://{world}/out.jsonl")
    assert done.code == 0, done.err
    rows = [json.loads(line) for line in (world / "out.jsonl").read_text().splitlines()]
    assert [(row["id"], row["status"]) for row in rows] == [("a", "ok"), ("b", "ok")]


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"id": [1, 2, 3], "prompt": ["a", "", "c"]}, "two.parquet, row 2: the prompt is empty"),
        ({"id": [1, 2, 3], "prompt": [b"a", b"b", b"c"]}, "two.parquet, row 1: column 'prompt' has bytes"),
    ],
)
def test_a_bad_row_is_named_by_its_file_and_place(on_ray, world, columns, said):
    folder = world / "rows"
    folder.mkdir()
    pq.write_table(pa.table({"id": [7, 8], "prompt": ["x", "y"]}), folder / "one.parquet")
    pq.write_table(pa.table(columns), folder / "two.parquet")
    done = on_ray(folder, "-o", world / "out.parquet")
    assert done.code == 78, done.err
    assert f"{folder}/{said}" in done.err
    assert "Traceback" not in done.err
    assert list((world.parent / world.name).glob("**/*.input")) == []


def test_tables_with_other_columns_are_not_put_together(on_ray, world):
    folder = world / "rows"
    folder.mkdir()
    (folder / "a.csv").write_text("id,prompt\n1,x\n")
    (folder / "b.csv").write_text("prompt,id\ny,2\n")
    done = on_ray(folder, "-o", world / "out.csv")
    assert done.code == 78
    assert f"{folder}/b.csv: its columns are not those of {folder}/a.csv" in done.err


def test_what_is_there_is_not_replaced_unasked(on_ray, world):
    source = parquet(world, 1)
    (world / "out.parquet").write_text("mine")
    done = on_ray(source, "-o", world / "out.parquet")
    assert (done.code, (world / "out.parquet").read_text()) == (2, "mine")
    assert "--overwrite" in done.err
    done = on_ray(source, "-o", world / "out.parquet", "--overwrite")
    assert done.code == 0, done.err
    assert pq.read_table(world / "out.parquet").num_rows == 1


def test_an_estimate_keeps_nothing_and_begins_no_run(on_ray, world, home):
    done = on_ray(parquet(world, 3), "-o", world / "out.parquet", "--dry-run")
    assert done.code == 0, done.err
    assert "3 rows" in done.out
    assert list((home / "batches").iterdir()) == []


WITHOUT_SCRIMP = """
import sys
class Nothing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "scrimp":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Nothing())
"""


def test_a_cluster_of_ones_own_has_no_keys_and_leaves_nothing_and_nodes_without_scrimp_are_found(tmp_path):
    (tmp_path / "nodes").mkdir()
    (tmp_path / "nodes" / "sitecustomize.py").write_text(WITHOUT_SCRIMP)
    script = f"""
import asyncio, io, os
os.environ["PYTHONPATH"] = "{tmp_path}/nodes"
os.environ["OPENAI_API_KEY"] = "{KEY}"
from scrimp.profiles.errors import ConfigError
from scrimp.routing.batch import cluster
from scrimp.routing.batch.files.datasets import fetch
from scrimp.routing.batch.workers.on_ray import RayPlace
own = cluster.join("local")
import ray
@ray.remote
def environment():
    return dict(os.environ)
found = ray.get(environment.remote())
assert own.own and own.folder.stat().st_mode & 0o777 == 0o700
assert "{KEY}" not in found.values(), "keys go in frames only"
assert os.environ["OPENAI_API_KEY"] == "{KEY}"
open("{tmp_path}/nodes/in.txt", "w").write("hello")
for attempt in (lambda: asyncio.run(RayPlace().open(2)), lambda: fetch("{tmp_path}/nodes/*.txt", io.BytesIO(), address=None)):
    try:
        attempt()
    except ConfigError as error:
        assert "scrimp is not installed on a node" in str(error), error
    else:
        raise AssertionError(attempt)
cluster.leave()
assert not own.folder.exists()
"""
    env = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    done = subprocess.run(
        [sys.executable, "-c", script], env={**env, "HOME": str(tmp_path)}, capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert not (tmp_path / ".ray").exists(), "its token is not in the home folder"


def test_a_cluster_that_does_not_answer_is_named(world):
    code, said = Run(world, parquet(world, 1), "-o", world / "out.parquet", cluster="127.0.0.1:9").end()
    assert code == 75
    assert "no Ray cluster answers at 127.0.0.1:9" in said
