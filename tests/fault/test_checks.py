"""Checks that crash, hang, fork or print without end: they fail the answer, and leave nothing behind."""

import os
import signal
import time
from pathlib import Path

import pytest

from scrimp.profiles.errors import UsageError
from scrimp.routing.checks.code import CommandCheck, PythonCheck
from scrimp.routing.checks.names import make_check
from scrimp.routing.checks.sandbox import run_apart


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


def test_keys_are_kept_from_checks(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    assert sh('test -z "$OPENAI_API_KEY"').test("x").outcome == "pass"


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
