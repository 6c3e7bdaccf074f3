"""Checks that crash, hang, fork or print without end: they fail the answer, and leave nothing behind."""

import base64
import json
import os
import signal
import sys
import time
from pathlib import Path

import pytest

from scrimp.profiles.errors import UsageError
from scrimp.profiles.keys import Keys, set_key
from scrimp.profiles.paths import paths as path_set
from scrimp.profiles.schema import Arm
from scrimp.routing.checks.base import MAX_EVIDENCE, MAX_LINES, Verdict
from scrimp.routing.checks.code import CommandCheck, PythonCheck
from scrimp.routing.checks.confine import Held
from scrimp.routing.checks.judge import JudgeCheck
from scrimp.routing.checks.names import make_check
from scrimp.routing.checks.sandbox import confinement, run_apart
from scrimp.routing.reports import health


def sh(script, **kwargs):
    return CommandCheck(("/bin/sh", "-c", script), "it", **kwargs)


def test_a_command_gets_the_answer_on_stdin_and_in_a_file(tmp_path):
    assert make_check("cmd:grep -q hello", {}).test("say hello").outcome == "pass"
    assert make_check("cmd:grep -q hello {file}", {}).test("say hello").outcome == "pass"
    assert make_check("cmd:test -f {file.md}", {}).test("x").outcome == "pass"
    answer = "Here:\n```python\nprint(6 * 7)\n```\n"
    assert sh("test \"$(cat {code.py})\" = 'print(6 * 7)'").test(answer).outcome == "pass"
    assert make_check('sh:read line; test "$line" = 42', {}).test("42").outcome == "pass"


def test_no_shell_unless_asked(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_check("cmd:echo x > made", {}).test("a; touch made")
    assert list(tmp_path.iterdir()) == []


def test_a_command_that_is_not_there_is_a_usage_error():
    with pytest.raises(UsageError, match="cannot be run"):
        make_check("cmd:no-such-program-anywhere", {})


def test_a_command_that_goes_away_vouches_for_nothing():
    verdict = CommandCheck(("/no/such/program",), "it").test("x")
    assert verdict.failed
    assert "cannot be run" in verdict.evidence


def test_a_crash_is_a_fail_with_its_last_line():
    verdict = sh("echo first; echo the reason >&2; exit 3").test("x")
    assert verdict.failed
    assert "(3): the reason" in verdict.evidence
    assert sh("kill -SEGV $$").test("x").failed


def test_a_hang_is_cut_off_and_its_whole_group_killed(tmp_path):
    pids = tmp_path / "pids"
    verdict = sh(f"sleep 300 & echo $! >> {pids}; sleep 300 & echo $! >> {pids}; wait", timeout_s=0.5).test("x")
    assert "took over 0.5 s" in verdict.evidence
    assert all_gone(pids)


def test_what_a_check_leaves_running_is_killed_and_not_waited_for(tmp_path):
    pids = tmp_path / "pids"
    started = time.monotonic()
    assert sh(f"sleep 300 & echo $! > {pids}; exit 0").test("x").outcome == "pass"
    assert time.monotonic() - started < 60
    assert all_gone(pids)


def all_gone(path: Path) -> bool:
    deadline = time.monotonic() + 10
    alive = [int(line) for line in path.read_text().split()]
    while alive and time.monotonic() < deadline:
        alive = [pid for pid in alive if running(pid)]
        time.sleep(0.01)
    return not alive


def running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are counted by /proc")
def test_what_forks_without_end_is_stopped_long_before_its_time(tmp_path):
    pids = tmp_path / "pids"
    script = f"i=0; while [ $i -lt 60 ]; do sleep 300 & echo $! >> {pids}; i=$((i+1)); done; wait"
    ran = run_apart(["/bin/sh", "-c", script], data=b"", timeout_s=300.0, max_processes=20)
    assert (ran.code, ran.too_many, ran.too_long) == (None, True, False)
    assert all_gone(pids)


def test_a_hundred_megabytes_are_not_read():
    verdict = sh("yes | head -c 100000000").test("x")
    assert verdict.failed
    assert "printed over 16 MB" in verdict.evidence


def test_an_answer_that_nobody_reads_does_not_block():
    assert sh("exit 0").test("x" * 5_000_000).outcome == "pass"


def test_a_check_that_ignores_signals_is_killed_all_the_same():
    assert sh("trap '' TERM INT HUP; while :; do :; done", timeout_s=0.3).test("x").failed


KEY, OTHER = "canary-Zq7Tn5vX2bLw8Kd4", "canary-9fGh3JkM6pRs"


@pytest.fixture
def keys(home, monkeypatch):
    """Keys of this process: one in a variable with a name of its own, one stored, and some variables around them."""
    paths = path_set(os.environ)
    set_key("STORED_API_KEY", OTHER, paths)
    env = {
        "BARS": KEY, "OPENAI_API_KEY": "sk-secret", "GH_TOKEN": "abc", "DATABASE_URL": "pg://u:p@h/d", "MINE": "x",
        "LC_ALL": "C.UTF-8", "LC_NAME": f"see {KEY}", "SSH_AUTH_SOCK": "/s", "VIRTUAL_ENV": "/v",
    }  # fmt: skip
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    known = Keys(os.environ, paths)
    known.watch([Arm(name="a", model="openai/m", key_env="BARS", api_base="http://h")])
    return known


@pytest.mark.usefixtures("keys")
def test_a_command_gets_what_programs_need_and_no_key():
    names = sh("env | cut -d= -f1 | tr '\\n' ' '; exit 1").test("x").evidence
    assert {"PATH", "HOME", "LC_ALL", "VIRTUAL_ENV"} <= set(names.split())
    hidden = {"BARS", "OPENAI_API_KEY", "GH_TOKEN", "DATABASE_URL", "MINE", "LC_NAME", "SSH_AUTH_SOCK"}
    assert not hidden & set(names.split())
    assert sh('MINE=y; test "$MINE" = y').test("x").outcome == "pass"


LEAKS = {
    "cmd": lambda: sh(f"echo {KEY} and {OTHER}; exit 1").test("x"),
    "base64": lambda: sh(f"echo u:{KEY} | base64 -w 0; exit 1").test("x"),
    "stored keys": lambda: sh('cat "$HOME/home/keys.toml"; exit 1').test("x"),
    "a private key": lambda: sh(f"echo '-----BEGIN PRIVATE KEY-----'; echo {KEY[::-1]}; echo ABCD; exit 1").test("x"),
    "tests": lambda: PythonCheck(f"raise ValueError({KEY!r})", "tests", timeout_s=20.0).test("x = 1"),
    "judge": lambda: JudgeCheck("a").read(json.dumps({"score": 1, "reason": f"it gives away {KEY}"})),
    "schema": lambda: make_check('schema:{"type": "integer"}', {}).test(json.dumps(KEY)),
    "a schema's pattern": lambda: make_check('schema:{"pattern": "^(a+)+$"}', {}).test(json.dumps(KEY)),
    "pattern": lambda: make_check(f"re:{KEY}", {}).test("x"),
    "is": lambda: make_check(f"is:{OTHER}", {}).test("x"),
    "has": lambda: make_check(f"has:{KEY}", {}).test("x"),
    "a check to come": lambda: Verdict("new", "fail", f"it says {KEY}"),
}


@pytest.mark.usefixtures("keys")
@pytest.mark.parametrize("make", LEAKS.values(), ids=LEAKS)
def test_no_evidence_has_a_key(make):
    verdict = make()
    assert verdict.failed
    for secret in (KEY, OTHER, KEY[::-1], base64.b64encode(f"u:{KEY}\n".encode()).decode()[4:-4]):
        assert not any(secret[i : i + 8] in verdict.evidence for i in range(len(secret) - 7)), verdict
    assert len(verdict.evidence) <= MAX_EVIDENCE


def test_evidence_is_short_whoever_makes_it():
    long = "\n".join(f"line {n} " + "x" * 30 for n in range(100))
    assert Verdict("it", "fail", long).evidence.count("\n") == MAX_LINES - 1
    assert len(Verdict("it", "fail", "x" * 10_000).evidence) == MAX_EVIDENCE


TESTS = "assert double(2) == 4\n\n\ndef test_more():\n    assert double(3) == 6\n"

CODE = [
    ("def double(x):\n    return 2 * x", None),
    ("def double(x):\n    return x + 2", "test_more: AssertionError"),
    ("def double(x):\n    return x", "tests, line 1: AssertionError"),
    ("def double(x:\n", "not Python"),
    ("import os\nos.fork()", "does not allow os.fork"),
    ("import subprocess\nsubprocess.run(['id'])", "does not allow subprocess.Popen"),
    ("import os\nos.system('id')", "does not allow os.system"),
    ("import socket\nsocket.socket().connect(('127.0.0.1', 1))", "does not allow socket"),
    ("import os\nos._exit(0)", "the tests fail"),
    ("import sys\nsys.exit(0)", "SystemExit"),
    ("x = bytearray(4 * 1024 ** 3)", "MemoryError"),
    ("def double(x):\n    return double(x)", "RecursionError"),
    ("while True:\n    print('a' * 100000)", "prints without end"),
    ("open('big', 'wb').write(bytes(40 * 1024 * 1024))", "the tests fail"),
    ("raise KeyboardInterrupt", "KeyboardInterrupt"),
    ("(" * 5_000, "not Python"),
]


@pytest.mark.parametrize(("code", "says"), CODE, ids=[str(n) for n in range(len(CODE))])
def test_code_is_run_with_limits(code, says):
    check = PythonCheck(TESTS, "tests", timeout_s=20.0)
    verdict = check.test(f"Sure:\n```python\n{code}\n```")
    if says is None:
        assert verdict.outcome == "pass", verdict
    else:
        assert verdict.failed
        assert says in verdict.evidence, verdict


HELD = confinement()

FAKES = {
    "ends the process in a function": "import os\ndef double(x): os._exit(0)",
    "raises an exit of its own": "class E(SystemExit): pass\ndef double(x): raise E(0)",
    "ends the process at its end": "import atexit, os\natexit.register(lambda: os._exit(0))\ndef double(x): return 5",
    "ends the process from a thread": (
        "import threading, os, time\nthreading.Thread(target=lambda: os._exit(0), daemon=True).start()\n"
        "def double(x):\n    time.sleep(5)"
    ),
    "looks for the job in __main__": "import __main__, os\nprint(__main__.job['done'])\nos._exit(0)",
    "reads standard input again": "import os\nos.lseek(0, 0, 0)\nprint(os.read(0, 1 << 20))\nos._exit(0)",
    "walks the frames": "FRAME = sys._getframe()",
    "walks from a traceback": "try: 1 / 0\nexcept ZeroDivisionError as error: FRAME = error.__traceback__.tb_frame",
    "walks from inspect": "import inspect\nFRAME = inspect.currentframe()",
    "walks under another name": "space = {'sys': sys}\nexec(compile('F = sys._getframe()', 'x.py', 'exec'), space)\n"
    "FRAME = space['F'].f_back",
    "searches the objects": "import gc\nprint(gc.get_objects())",
    "writes to every descriptor": (
        "import os\nfor fd in range(3, 64):\n    try: os.write(fd, b'ok')\n    except OSError: pass\nos._exit(0)"
    ),
    "prints what could be a mark": "print('0123456789abcdef' * 4, end='')\nraise SystemExit(0)",
    "equals everything": "class A:\n    def __eq__(self, other): return True\ndef double(x): return A()",
    "equals every number": "class A(int):\n    def __eq__(self, other): return isinstance(other, int)\ndef double(x): return A()",
    "stands on either side": "class A:\n    def __lt__(s, o): return True\n    __gt__ = __le__ = __ge__ = __eq__ = __lt__\n"
    "def double(x): return A()",
    "returns ANY": "from unittest.mock import ANY\ndef double(x): return ANY",
    "changes exec": "import builtins\nbuiltins.exec = lambda *a: None\nbuiltins.compile = lambda *a, **k: None\ndef double(x): pass",
    "changes what errors are": (
        "import builtins\nbuiltins.BaseException = builtins.AssertionError = StopIteration\ndef double(x): return 1"
    ),
    "brings its own builtins": "__builtins__ = {'AssertionError': StopIteration}\ndouble = lambda x: 1",
    "traces the tests": "sys.settrace(lambda *a: None)\ndouble = lambda x: 1",
    "changes what reports": "import os\nos.write = os._exit = lambda *a: 1\nsys.stdout = None\ndef double(x): return 1",
    "defines the tests itself": "def test_more(): pass\ndouble = lambda x: 4",
    "deletes files": "import os\nfor name in os.listdir(): os.remove(name)\ndouble = lambda x: 4",
}
"""Code that is wrong, and would have the tests pass. FRAME stands for: look for the mark in all frames, and print it."""

_HUNT = """
import os
while FRAME:
    if (done := FRAME.f_locals.get("done")):
        os.write(1, ("\\n" + done).encode())
        os._exit(0)
    FRAME = FRAME.f_back
"""


@pytest.mark.parametrize("code", FAKES.values(), ids=FAKES)
def test_a_pass_is_not_faked(code):
    verdict = PythonCheck(TESTS, "tests", timeout_s=20.0).test(
        f"import sys\n{code}\n{_HUNT if 'FRAME' in code else ''}"
    )
    assert verdict.failed, verdict
    assert "passes a test that nothing can pass" in verdict.evidence or "under another name" not in code


HONEST = {
    "asyncio": "import asyncio\nasync def twice(x): return 2 * x\ndef double(x): return asyncio.run(twice(x))",
    "threads": "from concurrent.futures import ThreadPoolExecutor\n"
    "def double(x):\n    with ThreadPoolExecutor(2) as pool: return next(pool.map(lambda n: 2 * n, [x]))",
    "numbers of its own": "class Mod:\n    def __init__(self, n): self.n = n\n"
    "    def __eq__(self, other): return (self.n - other) % 7 == 0\ndouble = lambda x: Mod(2 * x + 7)",
    "libraries that look at frames": "from collections import namedtuple\nimport inspect\nP = namedtuple('P', 'x')\n"
    "assert inspect.signature(P) and (lambda x: x).__code__.co_argcount == 1\ndouble = lambda x: P(2 * x).x",
}
if HELD.files:
    HONEST["files in its folder"] = (
        "import pathlib, tempfile\ndef double(x):\n    with tempfile.TemporaryDirectory() as place:\n"
        "        file = pathlib.Path(place, 'n')\n        file.write_text(str(2 * x))\n        return int(file.read_text())"
    )


@pytest.mark.parametrize("code", HONEST.values(), ids=HONEST)
def test_honest_code_passes(code):
    verdict = PythonCheck(TESTS, "tests", timeout_s=20.0).test(code)
    assert verdict.outcome == "pass", verdict


def test_what_a_test_means_by_any_is_left_alone():
    tests = "from unittest.mock import ANY\nassert made() == {'id': ANY, 'n': [4]}\nassert 3 < made()['n'][0] < 5\n"
    check = PythonCheck(tests, "tests", timeout_s=20.0)
    assert check.test("def made(): return {'id': 7, 'n': [4]}").outcome == "pass"
    assert check.test("def made(): return {'id': 7, 'n': [5]}").failed


@pytest.mark.skipif(not HELD.files, reason="this system has no Landlock")
@pytest.mark.parametrize(
    "reach",
    [
        "open({secret!r}).read()", "open('/proc/self/environ').read()", "open(f'/proc/{{os.getppid()}}/environ').read()",
        "os.listdir({folder!r})", "open({secret!r}, 'w')", "os.remove({secret!r})", "os.rename({secret!r}, 'here')",
        "os.symlink({secret!r}, 'l'), open('l').read()", "os.link({secret!r}, 'l')", "os.mkdir({folder!r} + '/new')",
        "io.FileIO({secret!r})", "os.truncate({secret!r}, 0)", "os.open({folder!r}, os.O_RDONLY)",
    ],
)  # fmt: skip
def test_code_reaches_no_file_outside_its_folder(reach, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("the key")
    code = f"import io, os\n{reach.format(secret=str(secret), folder=str(tmp_path))}\ndouble = lambda x: 2 * x"
    assert "Error" in PythonCheck(TESTS, "tests", timeout_s=20.0).test(code).evidence
    assert secret.read_text() == "the key"
    assert list(tmp_path.iterdir()) == [secret]


@pytest.mark.skipif(not HELD.calls, reason="this system has no seccomp")
@pytest.mark.parametrize(
    "act",
    [
        "socket.socket()", "socket.socket(socket.AF_UNIX)", "os.kill(os.getppid(), 0)", "os.chmod({file!r}, 0o777)",
        "os.setsid()", "resource.prlimit(os.getppid(), resource.RLIMIT_CORE)", "os.fork()",
    ],
)  # fmt: skip
def test_code_reaches_nobody(act, tmp_path):
    """Below what Python itself sees: the system's calls are refused, so that code which got past the hook gains nothing."""
    file = tmp_path / "file"
    file.touch(0o600)
    script = (
        "import os, resource, socket\nfrom scrimp.routing.checks.confine import confine\n"
        f"assert confine('.').calls\ntry: {act.format(file=str(file))}\nexcept PermissionError: os._exit(9)\nos._exit(0)"
    )
    ran = run_apart([sys.executable, "-I", "-c", script], data=b"", timeout_s=30.0, cwd=str(tmp_path))
    assert ran.code == 9, ran
    assert file.stat().st_mode & 0o777 == 0o600


def test_code_that_hangs_is_cut_off():
    assert "took over 0.5 s" in PythonCheck(TESTS, "tests", timeout_s=0.5).test("while True: pass").evidence


def test_code_sees_neither_keys_nor_the_working_directory(monkeypatch, tmp_path):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    monkeypatch.chdir(tmp_path)
    code = (
        "import os\nassert 'OPENAI_API_KEY' not in os.environ\nopen('here', 'w').write('x')\ndouble = lambda x: 2 * x"
    )
    assert PythonCheck(TESTS, "tests", timeout_s=20.0).test(code).outcome == "pass"
    assert list(tmp_path.iterdir()) == []


def test_syntax_alone_runs_nothing(tmp_path):
    marker = tmp_path / "made"
    assert make_check("python", {}).test(f"open({str(marker)!r}, 'w')").outcome == "pass"
    assert not marker.exists()


def test_a_pattern_that_backtracks_for_ever_is_cut_off():
    from dataclasses import replace

    check = replace(make_check("re:^(a+)+$", {}), timeout_s=0.7)
    assert "took over 0.7 s" in check.test("a" * 64 + "b").evidence
    assert replace(check, timeout_s=20.0).test("a" * 64).outcome == "pass"
    assert make_check("re:a.*b.*c", {}).test("xaxbxcx").outcome == "pass"


def test_a_schemas_pattern_that_backtracks_for_ever_is_cut_off():
    from dataclasses import replace

    check = replace(make_check('schema:{"type": "string", "pattern": "^(a+)+$"}', {}), timeout_s=0.5)
    assert "took over 0.5 s" in check.test(f'"{"a" * 64}b"').evidence
    check = replace(check, timeout_s=60.0)
    assert check.test(f'"{"a" * 64}"').outcome == "pass"
    assert "does not satisfy the schema, at the top" in check.test("3").evidence
    assert "not JSON" in check.test("x").evidence


def test_a_process_that_is_killed_reports_its_signal():
    ran = run_apart(["/bin/sh", "-c", "kill -KILL $$"], data=b"", timeout_s=20.0)
    assert ran.code == -signal.SIGKILL


@pytest.mark.parametrize("held", [Held(True, True), Held(False, True), Held(False, False)])
def test_doctor_says_what_holds_here(held, monkeypatch):
    monkeypatch.setattr("scrimp.routing.checks.sandbox.confinement", lambda: held)
    (found,) = health._checks()
    assert found.state == ("ok" if all(held) else "note")
    assert ("no Landlock" in found.detail, "no seccomp" in found.detail) == (not held.files, not held.calls)
