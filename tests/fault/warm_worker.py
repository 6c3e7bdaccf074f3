"""A process that has imported everything slow, and forks a child for each command line it is told: see test_batch.

What the first child imported besides is imported here after it, so that no other child spends half a second on it.
"""

import contextlib
import importlib
import json
import os
import resource
import signal
import sys
from pathlib import Path


def main() -> None:
    from scrimp.cli import batch, batching, session  # noqa: F401
    from scrimp.cli.app import run
    from scrimp.routing.batch.planning import start  # noqa: F401
    from scrimp.routing.calls.dispatch import prepare

    prepare()
    import httpcore  # noqa: F401
    import openai.resources  # noqa: F401

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
        modules = modules or Path(order["out"]).with_suffix(".modules")
        pid = os.fork()
        if pid == 0:
            os.setsid()
            out = os.open(order["out"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            null = os.open(os.devnull, os.O_RDONLY)
            for fd, target in ((null, 0), (out, 1), (out, 2)):
                os.dup2(fd, target)
            os.environ.update(order["env"])
            if order.get("file_size"):
                resource.setrlimit(resource.RLIMIT_FSIZE, (order["file_size"], order["file_size"]))
            session.keys.cache_clear()
            code = 1
            try:
                code = run(order["argv"])
                if not learned:
                    modules.write_text("\n".join(sys.modules))
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)
        print(pid, flush=True)
    os._exit(0)  # an interpreter that holds litellm takes seconds to take itself apart


if __name__ == "__main__":
    main()
