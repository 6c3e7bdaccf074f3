"""A process that has imported everything slow, and forks a child for each command line it is told: real kills, cheaply.

What the first child imported besides is imported here after it, so that no other child spends half a second on it.
`Worker` starts it and gives the orders. An order may name a moment at which the child kills itself with SIGKILL:

- `reserved:N`: its Nth reservation is on disk, and no byte of that call has left
- `settling:N`: the answer to its Nth call is here, and is not in the ledger yet (a batch has it in its journal)
- `settled:N`: its Nth call is settled in the ledger, and nothing was done after it
- `asks:N`, `told:N`: its Nth request to a Batch API is about to leave, or has been answered (its file has been read)
"""

import contextlib
import importlib
import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path


class Worker:
    """Runs command lines in forks of one warm process.

    Parameters
    ----------
    folder
        Where the children's output goes.
    """

    def __init__(self, folder):
        self.folder = folder
        self.process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout.readline().strip() == "ready"
        self.n = 0
        self.running = set()

    def start(self, *argv, home, file_size=None, kill=None, at_once=False, spoil=None):
        """Fork a child for a command line and return its pid.

        Parameters
        ----------
        file_size
            No file of the child's grows above this, in bytes.
        kill
            The moment at which it dies.
        at_once
            It does not wait before it tries a call again.
        spoil
            What is wrong where it starts, as `spoiled` takes it; what it says on stderr then goes to a file of its own.
        """
        self.n += 1
        self.out = self.folder / f"out-{self.n}.txt"
        order = {
            "argv": [str(word) for word in argv],
            "env": {"SCRIMP_HOME": str(home)},
            "out": str(self.out),
            "file_size": file_size,
            "kill": kill,
            "at_once": at_once,
            "spoil": spoil,
        }
        pid = int(self._tell(order))
        self.running.add(pid)
        return pid

    def wait(self, pid):
        """Return a child's exit code; below 0 the signal that ended it."""
        self.running.discard(pid)
        return int(self._tell({"wait": pid}))

    def run(self, *argv, home, **more):
        """Run a command line to its end; return its exit code and what it said."""
        code = self.wait(self.start(*argv, home=home, **more))
        return code, self.out.read_text()

    def _tell(self, order):
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline()

    def close(self):
        for pid in self.running:  # of tests that failed
            os.kill(pid, signal.SIGKILL)
        self.process.stdin.close()
        self.process.wait(60)
        self.process.stdout.close()


def die_at(moment):
    """Have this process kill itself at a moment, seen from the ledger's transactions."""
    from scrimp.routing.ledger.store import Ledger

    event, nth = moment.split(":")
    if event in ("asks", "told"):
        die_at_request(event, int(nth))
        return
    original = Ledger.transaction

    def n(conn, where):
        return conn.execute(f"SELECT count(*) FROM reservations WHERE {where}").fetchone()[0]

    def look(conn, at):
        if event == at and n(conn, "1" if event == "reserved" else "settled_at IS NOT NULL") >= int(nth):
            os.kill(os.getpid(), signal.SIGKILL)

    @contextlib.contextmanager
    def transaction(ledger, **how):
        whole = not ledger.conn.in_transaction
        with original(ledger, **how) as conn:
            yield conn
            if whole:
                look(conn, "settling")
        if whole:
            look(ledger.conn, "reserved")
            look(ledger.conn, "settled")

    Ledger.transaction = transaction


def die_at_request(event, nth):
    """Have this process kill itself before a request to a Batch API, or after it was answered."""
    from scrimp.routing.calls.provider_batches.gateway import Gateway

    original, seen = Gateway._stream, []

    async def stream(gateway, *what):
        seen.append(what)
        if event == "asks" and len(seen) == nth:
            os.kill(os.getpid(), signal.SIGKILL)
        number = len(seen)
        async for part in original(gateway, *what):
            yield part
        if event == "told" and number == nth:
            os.kill(os.getpid(), signal.SIGKILL)

    Gateway._stream = stream


def try_again_at_once(patch=setattr):
    """Have failed calls tried again as often as ever, without a wait, and lists of batches believed after a second."""
    from scrimp.routing.batch.rows import gatherer
    from scrimp.routing.batch.running import waiting
    from scrimp.routing.calls.backoff import Backoff

    for module in (gatherer, waiting):
        patch(module, "SETTLES_S", 1.0)

    original = Backoff.next_delay

    def next_delay(backoff, error):
        return None if original(backoff, error) is None else 0.0

    patch(Backoff, "next_delay", next_delay)


def look_often(patch=setattr):
    """Have batches of providers be looked at ten times as often as every second: those of a stand-in take no longer."""
    from scrimp.routing.batch.rows import handed

    patch(handed, "_LEAST_S", 0.1)


def share_the_embedder(patch=setattr):
    """Have a model of embeddings loaded once a process, however many commands it runs (or its forks: one thread)."""
    from scrimp.routing.prompts.embedding import Embedder

    original, loaded = Embedder.warm, {}

    def warm(embedder):
        embedder._loaded = embedder._loaded or loaded.get(embedder.model)
        original(embedder)
        loaded[embedder.model] = embedder._loaded

    patch(Embedder, "warm", warm)


def spoiled(argv, env=(), unset=(), streams=(), umask=None, gone=None):
    """Be scrimp from its first line on, started in a bad place; does not return.

    Parameters
    ----------
    env, unset
        Variables to set and to unset.
    streams
        For descriptors 0, 1 and 2 what is wrong with them: "closed", "full" or "unread".
    umask
        The umask.
    gone
        A working directory that is removed under the process.
    """
    from scrimp.cli.main import main

    os.environ.update(env)
    for name in unset:
        os.environ.pop(name, None)
    time.tzset()
    if gone:
        Path(gone).mkdir()
        os.chdir(gone)
        Path(gone).rmdir()
    for name, wrong in dict(streams).items():
        fd = int(name)
        os.close(fd)
        if wrong == "closed":
            setattr(sys, ("stdin", "stdout", "stderr")[fd], None)
        else:
            reader, writer = (None, os.open("/dev/full", os.O_WRONLY)) if wrong == "full" else os.pipe()
            if reader is not None:
                os.close(reader)
            if writer != fd:
                os.dup2(writer, fd)
                os.close(writer)
    if umask is not None:
        os.umask(umask)
    sys.argv[1:] = argv
    main()


def _obey(order, modules):
    """Run an order's command line, in the child; write down what it has imported, where it is asked to."""
    from scrimp.cli import session
    from scrimp.cli.app import run

    os.setsid()
    out = os.open(order["out"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    null = os.open(os.devnull, os.O_RDONLY)
    for fd, target in ((null, 0), (out, 1), (out, 2)):
        os.dup2(fd, target)
    os.environ.update(order["env"])
    if order.get("file_size"):
        resource.setrlimit(resource.RLIMIT_FSIZE, (order["file_size"], order["file_size"]))
    if order.get("at_once"):
        try_again_at_once()
    if order.get("kill"):
        die_at(order["kill"])
    session.keys.cache_clear()
    if order.get("spoil") is not None:
        err = os.open(order["out"] + ".err", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(err, 2)
        spoiled(order["argv"], **order["spoil"])
    code = run(order["argv"])
    if modules is not None:
        modules.write_text("\n".join(sys.modules))
    return code


def main() -> None:
    from scrimp.cli import batch, batching  # noqa: F401
    from scrimp.routing.batch.planning import (
        start,  # noqa: F401
    )
    from scrimp.routing.calls.dispatch import prepare
    from scrimp.routing.prompts.embedding import BUILTIN_MODEL, Embedder

    prepare()
    import httpcore  # noqa: F401
    import openai.resources  # noqa: F401
    from spared import hear_vectors, pay, share_vectors, spare

    spare()
    pay()
    share_the_embedder()
    look_often()
    Embedder(BUILTIN_MODEL, cache_dir=Path()).warm()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    modules: Path | None = None
    learned = False
    print("ready", flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        if "wait" in order:
            _, status = os.waitpid(order["wait"], 0)
            if not learned and modules is not None and modules.exists():
                for name in modules.read_text().split():
                    with contextlib.suppress(Exception):  # a module that was made, not imported
                        importlib.import_module(name)
                learned = True
            print(os.waitstatus_to_exitcode(status), flush=True)
            continue
        if modules is None:
            modules = Path(order["out"]).with_suffix(".modules")
            share_vectors(modules.with_suffix(".vectors"))
        hear_vectors()
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                code = _obey(order, None if learned else modules)
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)
        print(pid, flush=True)
    os._exit(0)  # an interpreter that holds litellm takes seconds to take itself apart


if __name__ == "__main__":
    main()
