"""What runs inside the process of a check: `python -I -m scrimp.routing.checks.inside`, its job as JSON on stdin.

The process first takes limits on itself. Before it runs code that a model wrote it is shut in (`confine`), and watches
what that code asks of Python. Tests and the code that they test share a process, as unit tests do, so what is done here
against code that fakes a pass makes that hard, not impossible: see `run_tests`.
"""

from __future__ import annotations

import builtins
import contextlib
import json
import os
import re
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final, NoReturn

from scrimp.routing.checks.confine import confine

if TYPE_CHECKING:
    import ast
    from collections.abc import Callable, Iterator, Mapping

__all__ = ["main"]

_BARRED: Final = (
    "os.fork", "os.exec", "os.posix_spawn", "os.spawn", "os.system", "os.startfile", "os.kill", "pty.spawn",
    "subprocess.Popen", "socket.", "ctypes.", "os.setxattr", "signal.",
    "gc.get_", "sys.settrace", "sys.setprofile", "sys.monitoring", "sys.addaudithook", "sys._current_",
)  # fmt: skip
"""What tested code may not do, by the beginnings of Python's audit events."""

_FRAMES: Final = frozenset({"tb_frame", "f_back", "gi_frame", "cr_frame", "ag_frame", "f_globals", "f_locals"})
"""What leads from an object to whoever called: tested code may not ask for it itself, nor `sys._getframe`."""


def main() -> None:
    """Do the job that stands on standard input."""
    job = json.loads(sys.stdin.buffer.read())
    _limit(job["limits"])
    empty = os.open(os.devnull, os.O_RDWR)
    os.dup2(empty, 0)  # else the job could be read again
    os.close(empty)
    if job["what"] == "tests":
        run_tests(job["code"], job["tests"], job["last"], job["done"])
    elif job["what"] == "search":
        found = re.compile(job["pattern"], job["flags"]).search(job["text"]) is not None
        sys.stdout.write("1" if found else "0")
    elif job["what"] == "schema":
        from scrimp.routing.checks.text import schema_verdict

        sys.stdout.write(json.dumps(schema_verdict(job["schema"], job["text"])))
    else:
        sys.stdout.write(json.dumps(confine(".")))


def _limit(limits: Mapping[str, int]) -> None:
    import resource

    for name, limit in limits.items():
        kind = getattr(resource, name, None)
        if kind is not None:
            hard = resource.getrlimit(kind)[1]
            limit = limit if hard == resource.RLIM_INFINITY else min(limit, hard)  # noqa: PLW2901
            with contextlib.suppress(ValueError, OSError):
                resource.setrlimit(kind, (limit, limit))


def run_tests(code: str, tests: str, last: str, done: str) -> NoReturn:
    """Run tests against code, and then `last`; print `done` at the very end if all of them held.

    Code that ends the process, prints, or changes what Python provides does not make a pass: `done` is known to this
    function's own variables alone, and what it goes on with it took hold of before the code ran. `last` is for what
    code can do all the same: the caller runs everything once more with a `last` that is false, and must see that fail.
    """
    import traceback

    sys.setrecursionlimit(2000)
    sys.dont_write_bytecode = True
    sys.modules["__main__"] = ModuleType("__main__")
    held = confine(".")
    sys.addaudithook(_watch(sys._getframe, (*_BARRED, *(() if held.files else ("shutil.rmtree",)))))  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
    out, write, leave, compiled, execute = os.dup(1), os.write, os._exit, compile, exec
    python, names, extract, anything = dict(builtins.__dict__), builtins.__dict__, traceback.extract_tb, BaseException

    def end(said: str, status: int) -> NoReturn:
        try:  # noqa: SIM105 - tested code could have changed contextlib
            sys.stdout.flush()
        except anything:
            pass
        write(out, said.encode("utf-8", "replace"))
        leave(status)

    def fail(what: str, error: BaseException) -> NoReturn:
        try:
            why = f"{what}: {type(error).__name__}: {error}".replace("\n", " ")[:400]
        except anything:
            why = what
        end(f"\n{why}\n", 1)

    def run(source: str | ast.Module, name: str, space: dict[str, Any]) -> None:
        names.update(python)
        try:
            execute(compiled(source, name, "exec"), space)
        except anything as error:
            try:
                lines = [each.lineno for each in extract(error.__traceback__) if each.filename == name]
            except anything:
                lines = []
            fail(f"{name}, line {lines[-1] if lines else '?'}", error)

    tree = _honestly(tests)
    module = ModuleType("answer")
    sys.modules["answer"] = module
    run(code, "answer.py", module.__dict__)
    defined = {name: value for name, value in module.__dict__.items() if not _is_dunder(name)}
    space = {**defined, "__name__": "tests", "__builtins__": builtins, _HONEST: honest}
    run(tree, "tests", space)
    for name, each in [*space.items()]:
        made_by = getattr(getattr(each, "__code__", None), "co_filename", None)
        if name.startswith("test") and callable(each) and made_by == "tests":
            names.update(python)
            try:
                each()
            except anything as error:
                fail(name, error)
    run(last, "tests", {"__builtins__": builtins})
    end("\n" + done, 0)


def _is_dunder(name: str) -> bool:
    return name.startswith("__") and name.endswith("__")


def _watch(frame: Callable[[int], Any], barred: tuple[str, ...]) -> Callable[[str, Any], None]:
    """Return an audit hook that lets no tested code do what is barred.

    Parameters
    ----------
    frame
        `sys._getframe`; asking it raises an audit event of its own.
    """
    asking = False

    def watch(event: str, args: Any) -> None:
        nonlocal asking
        # A pair of sockets reaches nobody, and every loop of asyncio is made with one.
        if event.startswith(barred) and not (event == "socket.__new__" and args[1] == 1):
            raise PermissionError(f"a check does not allow {event}")
        looks = event == "sys._getframe" or (event == "object.__getattr__" and args[1] in _FRAMES)
        if looks and not asking:
            asking = True
            try:
                asker = frame(1).f_code.co_filename
            finally:
                asking = False
            if asker == "answer.py" or asker.endswith(("/inspect.py", "/runpy.py")):
                raise PermissionError(f"a check does not allow {event}")

    return watch


# -- comparisons that cannot be fooled by an object that equals everything ---------------------------------------------

_HONEST: Final = "__honest__"


def _honestly(tests: str) -> ast.Module:
    """Return tests with every value that they compare put through `honest` first."""
    import ast

    class Compared(ast.NodeTransformer):
        def visit_Compare(self, node: ast.Compare) -> ast.AST:
            self.generic_visit(node)
            if not any(isinstance(each, (ast.Is, ast.IsNot)) for each in node.ops):
                node.left = put(node.left)
                node.comparators = [put(each) for each in node.comparators]
            return node

    def put(value: ast.expr) -> ast.expr:
        means_any = any(
            getattr(each, "id", None) == "ANY" or getattr(each, "attr", None) == "ANY" for each in ast.walk(value)
        )
        if means_any or isinstance(value, ast.Constant):
            return value
        return ast.copy_location(ast.Call(ast.Name(_HONEST, ast.Load()), [value], []), value)

    tree = ast.parse(tests, "tests")
    Compared().visit(tree)
    return ast.fix_missing_locations(tree)


_PLAIN: Final = frozenset({bool, int, float, complex, str, bytes, bytearray, type(None), range})


def honest(value: Any) -> Any:
    """Return a value as it is.

    Raises
    ------
    AssertionError
        If it is, or holds, an object that says to be equal to whatever it is compared with.
    """
    rest, n = [value], 0
    while rest and n < 1_000:
        each, n = rest.pop(), n + 1
        kind = type(each)
        if kind in (list, tuple, set, frozenset):
            rest.extend(each)
        elif kind is dict:
            rest += [*each.keys(), *each.values()]
        elif kind not in _PLAIN and any(_agrees(each, others) for others in _others()):
            raise AssertionError("the answer gives an object that equals everything")
    return value


def _others() -> Iterator[tuple[Any, ...]]:
    """Yield values of which nothing equals all; whole numbers in a row, as what counts modulo n equals one of them."""
    yield (object(),)
    yield tuple(range(7_919, 7_923))
    yield 0.2718, 31.41
    yield "no such text", "nor this"
    yield [7_919], [object()]


def _agrees(value: Any, others: tuple[Any, ...]) -> bool:
    try:
        return all(value == other or (value < other and value > other) for other in others)
    except Exception:  # noqa: BLE001 - it is compared with what it was not made for
        return False


if __name__ == "__main__":
    main()
