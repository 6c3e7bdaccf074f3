"""What a process of the tests pays for once, though it is hundreds of scrimps: each would pay for it alone.

A ledger's tables, the shipped router, a command's parser, the vector of a text. The product itself makes each, the first
time; what is then handed out is what it would make again. Tests of just these things have them made each time: with the
fixture `paid_in_full`.
"""

import contextlib
import dataclasses
import functools
import hashlib
import os
import sqlite3
from pathlib import Path

_in_full = []


@contextlib.contextmanager
def paying_in_full():
    """Have everything made anew, for as long as this lasts."""
    _in_full.append(True)
    try:
        yield
    finally:
        _in_full.pop()


def spare(patch=setattr):
    """Have this process pay once for what it would pay for with each command it runs."""
    _tables(patch)
    _routers(patch)
    _parsers(patch)
    _vectors(patch)
    _garbage(patch)


def pay():
    """Pay at once for what any command needs, so that forks of this process have it."""
    from scrimp.routing.ledger import store
    from scrimp.routing.prompts.embedding import BUILTIN_ID
    from scrimp.routing.router.in_force import SHIPPED, load_router

    with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as conn:
        store.migrate(conn)
    load_router(SHIPPED, Path(), embedder_id=BUILTIN_ID)


def _tables(patch):
    """Copy the pages of an empty ledger that the migrations have made, instead of running them on a new one."""
    from scrimp.routing.ledger import migrations, store

    original, made = migrations.migrate, {}

    def migrate(conn):
        if _in_full or conn.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            return original(conn)
        steps = migrations.MIGRATIONS
        if steps not in made:
            made[steps] = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
            made[steps].execute(f"PRAGMA auto_vacuum = {store.INCREMENTAL}")
            original(made[steps])
        made[steps].backup(conn)
        return len(steps)

    patch(store, "migrate", migrate)


def _routers(patch):
    """Read the shipped router once; its arrays are shared, so nobody may write to them."""
    from scrimp.routing.router import folder, in_force

    original, shipped, read = folder.read_router, in_force.shipped_folder(), {}

    def read_router(where, *, embedder_id=None):
        if _in_full or where != shipped:
            return original(where, embedder_id=embedder_id)
        stamps = tuple((file.name, file.stat().st_mtime_ns) for file in sorted(where.iterdir()))
        if (embedder_id, stamps) not in read:
            router = original(where, embedder_id=embedder_id)
            for field in dataclasses.fields(router.weights):
                getattr(router.weights, field.name).flags.writeable = False
            read[embedder_id, stamps] = router
        return read[embedder_id, stamps]

    patch(folder, "read_router", read_router)


def _parsers(patch):
    """Build a command's parser once."""
    from scrimp.cli import app

    original = app.command
    built = functools.cache(original)
    patch(app, "command", lambda name: original(name) if _in_full else built(name))


def _garbage(patch):
    """Set nothing aside from the collector: what a command leaves is garbage here, and all of it would be looked through."""
    from scrimp.profiles import collector

    original = collector.set_aside
    patch(collector, "set_aside", lambda: original() if _in_full else None)


_known = {}
_shared = []
_RECORD = 16 + 4 * 384


def _key(text):
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:16]


def _vectors(patch):
    """Embed a text once: its vector depends on nothing else."""
    from scrimp.routing.prompts.minilm import MiniLM

    original = MiniLM.embed

    def embed(model, text):
        if _in_full:
            return original(model, text)
        key = _key(text)
        if key not in _known:
            _known[key] = original(model, text)
            _tell(key, _known[key])
        return _known[key].copy()

    patch(MiniLM, "embed", embed)


def share_vectors(file):
    """Have what this process's forks embed written to a file, for `hear_vectors`."""
    _shared.append(file)


def hear_vectors():
    """Learn what forks of this process have embedded."""
    import numpy as np

    for file in _shared:
        data = file.read_bytes() if file.exists() else b""
        for at in range(0, len(data) - _RECORD + 1, _RECORD):
            _known.setdefault(data[at : at + 16], np.frombuffer(data, np.float32, 384, at + 16))


def _tell(key, vector):
    for file in _shared:
        with contextlib.suppress(OSError):  # of a fork that may write no more
            handle = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
            os.write(handle, key + vector.tobytes())
            os.close(handle)
