"""Windows, as far as it can be had elsewhere: every module imports, and a question is answered, without what it lacks.

A process imports all of scrimp and what that stands on; then it is made to lack POSIX modules, calls, flags and signals, and
all of scrimp is imported once more. What other libraries do there is theirs; what ours does is seen here.
"""

import subprocess
import sys
from pathlib import Path

import pytest
from conftest import environment

ROOT = Path(__file__).parents[2]
MODULES = [
    ".".join(("scrimp", *path.relative_to(ROOT).with_suffix("").parts))
    for folder in ("cli", "routing", "profiles")
    for path in sorted((ROOT / folder).rglob("*.py"))
    if path.name not in ("__init__.py", "__main__.py", "weights_wheel.py") and path.parent.name != "python"
]

LACKING = f'''
import importlib, os, select, signal, socket, subprocess, sys, time, asyncio, multiprocessing, pathlib, tempfile
import filelock, rich.console, sqlite_utils, ssl

def all_of_it():
    for name in {MODULES}:
        importlib.import_module(name)

all_of_it()
for name in [name for name in sys.modules if name.partition(".")[0] == "scrimp"]:
    del sys.modules[name]

for name in ("fcntl", "termios", "pty", "tty", "resource", "pwd", "grp", "syslog", "readline", "curses", "posix"):
    sys.modules[name] = None
CALLS = """fork forkpty register_at_fork geteuid getuid getegid getgid setsid killpg getpgid getpgrp setpgid tcgetpgrp
    pread pwrite statvfs uname sched_getaffinity fchown chown lchown mkfifo WNOHANG WIFEXITED sysconf posix_spawn
    getloadavg nice O_NOFOLLOW O_CLOEXEC O_NONBLOCK O_DIRECTORY O_PATH ST_RDONLY posix_fadvise"""
for module, names in (
    (os, CALLS),
    (signal, """SIGHUP SIGQUIT SIGKILL SIGSTOP SIGCONT SIGCHLD SIGPIPE SIGIO SIGTSTP SIGUSR1 SIGUSR2 SIGALRM SIGWINCH
        pthread_sigmask SIG_BLOCK SIG_UNBLOCK SIG_SETMASK setitimer alarm sigwait siginterrupt"""),
    (socket, "AF_UNIX SCM_RIGHTS CMSG_LEN CMSG_SPACE SO_PEERCRED"),
    (select, "poll epoll"),
    (time, "tzset"),
):
    for name in names.split():
        if hasattr(module, name):
            delattr(module, name)
ssl.enum_certificates = lambda store: ()  # Python's own there
sys.platform = "win32"
'''


def run(home, code, *argv):
    return subprocess.run(
        [sys.executable, "-c", LACKING + code, *map(str, argv)],
        capture_output=True, text=True, env=environment(home), stdin=subprocess.DEVNULL,
    )  # fmt: skip


def test_every_module_imports(tmp_path):
    done = run(tmp_path, "all_of_it(); print(len([name for name in sys.modules if name.startswith('scrimp.')]))")
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout) > 300


MAIN = """
sys.argv = ["scrimp", *sys.argv[1:]]
from scrimp.cli.main import main
main()
"""


@pytest.mark.parametrize(
    ("argv", "out"),
    [(["--version"], "scrimp 0"), (["route", "hello"], "small"), (["ask", "hello there"], "hello there\n")],
)
def test_commands_work(profile, tmp_path, argv, out):
    more = [] if argv == ["--version"] else ["-p", profile(small="echo")]
    done = run(tmp_path / "scrimp", MAIN, *argv, *more)
    assert done.returncode == 0, done.stderr[-2000:]
    assert out in done.stdout


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["resident", "start"], "the resident process does not run on Windows"),
        (["batch", "in.jsonl", "-o", "out.jsonl"], "batch does not run on Windows"),
    ],
)
def test_what_cannot_work_says_so_in_one_line(profile, tmp_path, argv, said):
    done = run(tmp_path / "scrimp", MAIN, *argv, "-p", profile(small="echo"))
    assert done.returncode not in (0, 1), done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert "unexpected error" not in done.stderr
