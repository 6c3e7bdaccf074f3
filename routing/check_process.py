"""Checks that run something: a command, Python's parser, unit tests, a pattern; each in a process that cannot harm.

Every such process has a time-out, its own process group (killed whole, whatever it forked), and an output that is
read to a limit and no further. Code that a model wrote also gets limits of its own on memory, CPU, processes and files,
an empty environment and a folder that is removed; that keeps accidents in, and is not a sandbox against malice.
"""

from __future__ import annotations

import ast
import contextlib
import json
import os
import re
import secrets
import selectors
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from scrimp.profiles.errors import UsageError

from .check import NOTHING, SHOWN, BaseCheck, Given, Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .check import Outcome

__all__ = [
    "COMMAND_TIMEOUT_S",
    "CommandCheck",
    "PythonCheck",
    "Ran",
    "code_in",
    "run_apart",
    "search_apart",
    "validate_apart",
]

COMMAND_TIMEOUT_S: Final = 60.0
"""A check that takes longer has failed."""

CODE_TIMEOUT_S: Final = 10.0
_START_S: Final = 2.0
MAX_PROCESSES: Final = 256
"""A command that has more processes at a time has failed: it forks without end."""

MAX_OUTPUT_BYTES: Final = 16 * 1024 * 1024
"""A command that prints more has failed: it is not going to stop."""

_KEPT_BYTES: Final = 16 * 1024
_COUNT_EVERY_S: Final = 0.25


@dataclass(frozen=True, slots=True)
class Ran:
    """How a process ended.

    Attributes
    ----------
    code
        Its exit status, below 0 for a signal; None where it was ended for taking, printing or starting too much.
    tail
        The end of what it printed, stdout and stderr together.
    """

    code: int | None
    tail: str
    too_long: bool = False
    too_much: bool = False
    too_many: bool = False


def run_apart(
    command: Sequence[str],
    *,
    data: bytes,
    timeout_s: float,
    env: Mapping[str, str] | None = None,
    cwd: str | None = None,
    max_processes: int = MAX_PROCESSES,
) -> Ran:
    """Run a command in a process group of its own, with bytes on its standard input, and kill what is left of it.

    It is ended where it takes too long, prints too much, or has too many processes (counted where there is a /proc).

    Raises
    ------
    OSError
        If it cannot be started.
    """
    with tempfile.TemporaryFile() as stdin:
        stdin.write(data)
        stdin.seek(0)
        process = subprocess.Popen(
            list(command),
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=None if env is None else dict(env),
            cwd=cwd,
        )
    assert process.stdout is not None  # noqa: S101 - it is a pipe
    deadline = time.monotonic() + timeout_s
    tail, n_bytes = bytearray(), 0
    too_long = too_much = too_many = False
    count_at = time.monotonic() + _COUNT_EVERY_S
    try:
        os.set_blocking(process.stdout.fileno(), False)
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            open_ = True
            while True:
                ended = process.poll() is not None
                if open_ and selector.select(0.0 if ended else 0.02):
                    piece = process.stdout.read(65_536)
                    if piece:
                        n_bytes += len(piece)
                        tail += piece
                        del tail[:-_KEPT_BYTES]
                    elif piece == b"":
                        open_ = False
                    if n_bytes > MAX_OUTPUT_BYTES:
                        too_much = True
                        break
                elif ended:
                    break  # what it forked may still hold the pipe: it is killed below, not waited for
                elif not open_:
                    time.sleep(0.005)
                now = time.monotonic()
                if now > deadline:
                    too_long = True
                    break
                if now > count_at:
                    if _n_processes(process.pid) > max_processes:
                        too_many = True
                        break
                    count_at = time.monotonic() + _COUNT_EVERY_S
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.stdout.close()
        process.wait()
    text = bytes(tail).decode("utf-8", "replace")
    cut = too_long or too_much or too_many
    return Ran(None if cut else process.returncode, text, too_long, too_much, too_many)


def _n_processes(group: int) -> int:
    """Return how many processes a group has; 0 where that cannot be told."""
    count = 0
    with contextlib.suppress(OSError):
        for each in Path("/proc").iterdir():
            if each.name.isdigit():
                with contextlib.suppress(OSError, ValueError, IndexError):
                    count += int((each / "stat").read_bytes().rpartition(b")")[2].split()[2]) == group
    return count


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:SHOWN] if lines else ""


def _environment() -> dict[str, str]:
    """Return this process's environment without keys: a check may run what a model wrote."""
    secret = re.compile(r"(?:API_?KEY|_TOKEN|_SECRET|_PASSWORD|_KEY)$", re.IGNORECASE)
    return {name: value for name, value in os.environ.items() if not secret.search(name)}


_PLACE: Final = re.compile(r"\{(file|code)(\.[A-Za-z0-9]{1,8})?\}")


@dataclass(frozen=True, slots=True)
class CommandCheck(BaseCheck):
    """A command ends with 0.

    It gets the answer on standard input, and as a file where an argument says `{file}` (or `{file.md}`, to name the
    ending); `{code.py}` is a file with the answer's code alone. Keys are left out of its environment.
    """

    command: tuple[str, ...]
    name: str
    timeout_s: float = COMMAND_TIMEOUT_S
    slow: bool = field(default=True, init=False)
    kind: str = field(default="cmd", init=False)

    @classmethod
    def parse(cls, argument: str, name: str) -> CommandCheck:
        """Read `cmd:COMMAND`, split into words as a shell would, without one."""
        try:
            words = shlex.split(argument)
        except ValueError as error:
            raise UsageError(f"--check {name}: {error}") from None
        if not words:
            raise UsageError(f"--check {name}: expected a command after cmd:")
        return cls(tuple(words), name).found()

    def found(self) -> CommandCheck:
        """Return the check itself.

        Raises
        ------
        UsageError
            If there is no such command: better said before an answer is paid for.
        """
        first = self.command[0]
        if not _PLACE.search(first) and shutil.which(first) is None:
            raise UsageError(f"check {self.name} cannot be run: there is no command {first!r}")
        return self

    @classmethod
    def parse_shell(cls, argument: str, name: str) -> CommandCheck:
        """Read `sh:SCRIPT`, run by /bin/sh."""
        if not argument.strip():
            raise UsageError(f"--check {name}: expected a shell command after sh:")
        return cls(("/bin/sh", "-c", argument), name)

    def test(self, answer: str, given: Given = NOTHING) -> Verdict:
        """Return the verdict on an answer. Where the command cannot be run, nothing vouches for it: it has failed."""
        del given
        data = answer.encode("utf-8", "replace")
        with tempfile.TemporaryDirectory(prefix="scrimp-check-", ignore_cleanup_errors=True) as folder:

            def place(found: re.Match[str]) -> str:
                whole = found[1] == "file"
                content = data if whole else code_in(answer).encode("utf-8", "replace")
                ending = found[2] or (".py" if _is_python(answer if whole else code_in(answer)) else ".txt")
                file = Path(folder) / f"answer{ending}"
                file.write_bytes(content)
                return str(file)

            command = [_PLACE.sub(place, word) for word in self.command]
            try:
                ran = run_apart(command, data=data, timeout_s=self.timeout_s, env=_environment())
            except (OSError, ValueError) as error:
                why = getattr(error, "strerror", None) or error
                return self.failed(f"check {self.name} cannot be run: {why}")
        if ran.too_long:
            return self.failed(f"check {self.name} took over {self.timeout_s:g} s")
        if ran.too_much:
            return self.failed(f"check {self.name} printed over {MAX_OUTPUT_BYTES // 1024 // 1024} MB")
        if ran.too_many:
            return self.failed(f"check {self.name} had over {MAX_PROCESSES} processes at a time")
        if ran.code == 0:
            return self.passed()
        said = _last_line(ran.tail)
        return self.failed(f"check {self.name} failed ({ran.code})" + (f": {said}" if said else ""))


def code_in(answer: str) -> str:
    """Return the code of an answer: its fenced blocks (those of one language, if there are several), or all of it."""
    blocks: list[tuple[str, str]] = []
    language: str | None = None
    body: list[str] = []
    for line in answer.splitlines(keepends=True):  # a pattern would search on from each fence that is not closed
        mark = line.strip() if line.startswith("```") else ""
        if language is None:
            if mark:
                language, body = mark.removeprefix("```").strip().partition(" ")[0].casefold(), []
        elif mark == "```":
            blocks.append((language, "".join(body)))
            language = None
        else:
            body.append(line)
    if not blocks:
        return answer
    python = [code for name, code in blocks if name in ("python", "py", "python3")]
    return "\n".join(python or [code for _, code in blocks])


def _parse(source: str) -> ast.Module | str:
    """Return a module, or what is wrong with it. Deep nesting is wrong, too: it would end this process."""
    import warnings

    depth = deepest = 0
    for char in source:
        depth += (char in "([{") - (char in ")]}")
        deepest = max(deepest, depth)
    if deepest > 90 or len(source) > 1_000_000:
        return "it is nested too deeply, or too long"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(source)
    except SyntaxError as error:
        return f"{error.msg} (line {error.lineno})"
    except (ValueError, RecursionError, MemoryError) as error:
        return str(error) or type(error).__name__


def _is_python(text: str) -> bool:
    tree = _parse(text)
    kinds = (ast.FunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom, ast.Assert, ast.Assign, ast.For, ast.If)
    return isinstance(tree, ast.Module) and any(isinstance(node, kinds) for node in tree.body)


_GUARD: Final = r"""
import json, os, resource, sys
job = json.loads(sys.stdin.read())
for name, limit in job["limits"].items():
    kind = getattr(resource, name, None)
    if kind is not None:
        hard = resource.getrlimit(kind)[1]
        limit = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        try:
            resource.setrlimit(kind, (limit, limit))
        except (ValueError, OSError):
            pass
sys.stdin = open(os.devnull)
barred = ("os.fork", "os.exec", "os.posix_spawn", "os.spawn", "os.system", "os.startfile", "os.kill", "pty.spawn",
          "subprocess.Popen", "socket.", "ctypes.", "os.setxattr", "shutil.rmtree", "os.putenv", "signal.")
def watch(event, args):
    if event.startswith(barred):
        raise PermissionError("a check does not allow " + event)
"""

_SEARCH: Final = (
    _GUARD
    + r"""
import re
found = re.compile(job["pattern"], job["flags"]).search(job["text"]) is not None
sys.stdout.write("1" if found else "0")
"""
)

_VALIDATE: Final = (
    _GUARD
    + r"""
from scrimp.routing.check_text import schema_verdict
sys.stdout.write(json.dumps(schema_verdict(job["schema"], job["text"])))
"""
)

_TESTS: Final = (
    _GUARD
    + r"""
import traceback, types
sys.setrecursionlimit(2000)
sys.dont_write_bytecode = True
sys.addaudithook(watch)
def ended(why):
    sys.stdout.flush()
    sys.__stdout__.write("\n" + why.replace("\n", " ")[:400] + "\n")
    sys.__stdout__.flush()
    os._exit(1)
def run(source, name, space):
    try:
        exec(compile(source, name, "exec"), space)
    except BaseException as error:
        line = next((f.lineno for f in reversed(traceback.extract_tb(error.__traceback__)) if f.filename == name), "?")
        ended("%s, line %s: %s: %s" % (name, line, type(error).__name__, error))
module = types.ModuleType("answer")
sys.modules["answer"] = module
run(job["code"], "answer.py", module.__dict__)
space = dict(module.__dict__, __name__="tests")
run(job["tests"], "tests", space)
tests = [(name, each) for name, each in space.items() if name.startswith("test") and callable(each)
         and getattr(each, "__code__", None) is not None and each.__code__.co_filename == "tests"]
for name, each in tests:
    try:
        each()
    except BaseException as error:
        ended("%s: %s: %s" % (name, type(error).__name__, error))
sys.stdout.flush()
sys.__stdout__.write("\n" + job["done"])
sys.__stdout__.flush()
os._exit(0)
"""
)


def _limits(timeout_s: float, memory_mb: int) -> dict[str, int]:
    return {
        "RLIMIT_AS": memory_mb * 1024 * 1024,
        "RLIMIT_CPU": max(1, round(timeout_s)),
        "RLIMIT_NPROC": 64,
        "RLIMIT_FSIZE": 16 * 1024 * 1024,
        "RLIMIT_NOFILE": 64,
        "RLIMIT_CORE": 0,
    }


def _python(script: str, job: Mapping[str, object], *, timeout_s: float, memory_mb: int = 512) -> Ran:
    """Run a script of ours in a limited Python of its own, with nothing in its environment and a folder to waste."""
    data = json.dumps({**job, "limits": _limits(timeout_s, memory_mb)}).encode("utf-8", "replace")
    with tempfile.TemporaryDirectory(prefix="scrimp-check-", ignore_cleanup_errors=True) as folder:
        env = {"PATH": "/usr/bin:/bin", "HOME": folder, "TMPDIR": folder, "LC_ALL": "C.UTF-8", "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-I", "-X", "utf8", "-c", script]
        return run_apart(command, data=data, timeout_s=timeout_s, env=env, cwd=folder)


def search_apart(pattern: re.Pattern[str], text: str, *, timeout_s: float) -> bool | None:
    """Return whether a pattern is found, searched for in a process of its own; None where that took too long."""
    ran = _python(_SEARCH, {"pattern": pattern.pattern, "flags": pattern.flags, "text": text}, timeout_s=timeout_s)
    return None if ran.code != 0 else ran.tail == "1"


def validate_apart(schema: Mapping[str, Any], text: str, *, timeout_s: float) -> tuple[Outcome, str] | None:
    """Return what `schema_verdict` says, worked out in a process of its own; None where that took too long."""
    # The process imports what validates before it begins, which on a busy machine takes longer than it should.
    ran = _python(_VALIDATE, {"schema": dict(schema), "text": text}, timeout_s=timeout_s + _START_S)
    if ran.too_long or (ran.code is not None and ran.code < 0):
        return None
    try:
        outcome, said = json.loads(ran.tail.splitlines()[-1])
    except (ValueError, IndexError):
        return "abstain", f"the schema could not be held against the answer: {_last_line(ran.tail)}"
    return outcome, said


@dataclass(frozen=True, slots=True)
class PythonCheck(BaseCheck):
    """The answer's code is Python, and passes unit tests where there are any.

    Tests are a file of Python in which everything that the answer defines is known: `assert` lines, or functions whose
    names begin with `test`.
    """

    tests: str | None
    name: str
    timeout_s: float = CODE_TIMEOUT_S
    memory_mb: int = 512
    slow: bool = field(default=True, init=False)

    @property
    def kind(self) -> str:  # type: ignore[override]  # what it is depends on whether there are tests
        """Return `tests` or `python`."""
        return "python" if self.tests is None else "tests"

    @classmethod
    def parse(cls, argument: str, name: str) -> PythonCheck:
        """Read `python`: the syntax alone; nothing is run."""
        del argument
        return cls(None, name)

    @classmethod
    def parse_tests(cls, argument: str, name: str) -> PythonCheck:
        """Read `tests:FILE`."""
        try:
            tests = Path(argument).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"--check {name}: cannot read the tests: {error}") from None
        wrong = _parse(tests)
        if isinstance(wrong, str):
            raise UsageError(f"--check {name}: {argument} is not Python: {wrong}")
        return cls(tests, name)

    def test(self, answer: str, given: Given = NOTHING) -> Verdict:
        """Return the verdict on an answer."""
        del given
        code = code_in(answer)
        wrong = _parse(code)
        if isinstance(wrong, str):
            return self.failed(f"the code is not Python: {wrong}")
        if self.tests is None:
            return self.passed()
        done = secrets.token_hex(8)  # code that ends the process early does not know it
        job = {"code": code, "tests": self.tests, "done": done}
        ran = _python(_TESTS, job, timeout_s=self.timeout_s, memory_mb=self.memory_mb)
        if ran.too_long:
            return self.failed(f"the tests took over {self.timeout_s:g} s")
        if ran.too_much:
            return self.failed("the code prints without end")
        if ran.too_many:
            return self.failed("the code forks without end")
        if ran.code == 0 and ran.tail.endswith(done):
            return self.passed()
        said = _last_line(ran.tail)
        if ran.code is not None and ran.code < 0:
            said = f"ended by signal {-ran.code}" + (f" ({said})" if said else "")
        return self.failed(f"the tests fail: {said or f'exit {ran.code}'}")
