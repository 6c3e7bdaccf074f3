"""scrimp as a process among others: pipes, loops, signals, shells."""

import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time

import pytest
from conftest import environment

SCRIMP = [sys.executable, "-m", "scrimp.cli"]


@pytest.fixture
def run(home):
    def call(*argv, **kwargs):
        kwargs = {"stdin": subprocess.DEVNULL, "timeout": 90, **kwargs}
        if "input" in kwargs:
            del kwargs["stdin"]
        return subprocess.run(
            [*SCRIMP, *map(str, argv)], capture_output=True, text=True, env=environment(home), **kwargs
        )

    return call


@pytest.fixture
def on_path(home, tmp_path):
    """An environment whose PATH has this checkout's `scrimp` first."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "scrimp").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m scrimp.cli "$@"\n')
    (folder / "scrimp").chmod(0o755)
    return environment(home, PATH=f"{folder}:{os.environ['PATH']}")


@pytest.fixture
def shell(on_path):
    """Run a script in bash."""

    def call(script, **kwargs):
        return subprocess.run(
            ["bash", "-c", script], capture_output=True, text=True, env=on_path, timeout=120, **kwargs
        )

    return call


def test_a_loop_over_standard_input_keeps_its_lines(shell, profile, server):
    """`while read` shares its input with what it calls: a pipe and a file alike."""
    ask = f'scrimp ask -q -p "{profile(small="ok")}"'
    # The first is sent; the others are only decided, which is quicker. A line that was read away would lengthen a
    # prompt, or leave out a turn.
    loop = f'while read x; do {ask} $dry "$x"; dry="--dry-run --json"; done'
    done = shell(
        f"printf 'one\\ntwo\\nsix\\n' | {loop}; printf 'one\\ntwo\\n' > lines; dry='--dry-run --json'; {loop} < lines"
    )
    assert done.returncode == 0, done.stderr
    assert [request.prompt for request in server.chats] == ["one"]
    alone = shell(f"{ask} --dry-run --json one < /dev/null").stdout
    assert [_bound(line) for line in done.stdout.splitlines()[1:]] == [_bound(alone)] * 4


def _bound(decision):
    """Return the bound on input tokens of a decision as JSON: one for each byte that would be sent, and a constant."""
    (option,) = json.loads(decision)["arms"]
    return option["input_bound"]


def test_a_pipe_is_read_beside_a_prompt(shell, profile, server):
    done = shell(f'echo "some text" | scrimp ask -q -p "{profile(small="ok")}" "summarise"')
    assert done.returncode == 0, done.stderr
    assert server.chats[0].prompt == "===== FILE standard input\nsome text\n===== END\n\nsummarise"


def test_a_standard_input_that_never_closes_does_not_hang(home, profile, server):
    reader, writer = os.pipe()
    try:
        done = subprocess.run(
            [*SCRIMP, "ask", "-p", str(profile(small="echo")), "hello"],
            stdin=reader, capture_output=True, text=True, timeout=60, env=environment(home),
        )  # fmt: skip
    finally:
        os.close(reader)
        os.close(writer)
    assert (done.returncode, done.stdout) == (0, "hello\n"), done.stderr
    assert "silent" in done.stderr


def test_the_readers_leaving_is_not_an_error_message(shell, scrimp, profile):
    path = profile(small="ok")
    for n in range(2):
        assert scrimp("ask", "-q", "-p", path, f"question {n}").code == 0
    done = shell("scrimp log list -n 100 | head -1; echo ${PIPESTATUS[0]}")
    assert done.stdout.splitlines()[0].startswith("id\t")
    assert done.stdout.splitlines()[-1] in ("0", "141")
    assert done.stderr == ""
    done = shell("scrimp log export > /dev/full; echo $?")
    assert done.stdout.strip() == "1"
    assert "No space left on device" in done.stderr


@pytest.mark.parametrize("behaviour", ["hang-stream", "hang-headers"])
def test_ctrl_c_in_mid_stream_is_logged_as_spent(home, scrimp, profile, server, behaviour):
    """On a terminal, where the answer streams: exit 130, the call charged at its bound, the partial answer kept."""
    import pty

    leader, follower = pty.openpty()
    path = profile(small=f"{behaviour}@hang_s=30")
    process = subprocess.Popen(
        [*SCRIMP, "ask", "-p", str(path), "hello"],
        stdin=subprocess.DEVNULL, stdout=follower, stderr=subprocess.PIPE, env=environment(home), start_new_session=True,
    )  # fmt: skip
    os.close(follower)
    deadline = time.monotonic() + 60
    while not server.chats and time.monotonic() < deadline:
        time.sleep(0.05)
    if behaviour == "hang-stream":
        assert select.select([leader], [], [], 60)[0], "nothing was streamed"
        os.read(leader, 1)
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 130, process.stderr.read()
    process.stderr.close()
    os.close(leader)
    spent = json.loads(scrimp("spend", "--json", "-p", path).out)
    assert spent["rows"][0]["unverified_usd"] > 0
    assert json.loads(scrimp("log", "--json").out)["rows"][0]["status"] == "interrupted"


def test_twelve_first_runs_at_once(home, profile, scrimp):
    """They race to make the ledger: each finds it whole, none fails."""
    script = "import sys; from scrimp.routing.ledger.store import open_ledger; from scrimp.profiles.paths import paths; open_ledger(paths().ledger)"
    processes = [
        subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.PIPE, env=environment(home))
        for _ in range(12)
    ]
    for process in processes:
        _, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
    done = scrimp("ask", "-q", "-p", profile(small="ok"), "hi")
    assert done.code == 0, done.err


def test_a_damaged_ledger_is_left_as_it_is_and_nothing_is_sent(run, home, profile, server):
    home.mkdir()
    ledger = home / "scrimp.db"
    for content in (b"", b"not a database at all" * 100):
        ledger.write_bytes(content)
        done = run("ask", "-p", profile(small="ok"), "hello")
        assert done.returncode == 78
        assert "salvage" in done.stderr
        assert ledger.read_bytes() == content
    assert server.chats == []


def test_a_folder_that_cannot_be_written(home, profile, server, run):
    """A file where the folder should be stops root as well as anybody."""
    home.write_text("in the way")
    done = run("ask", "-p", profile(small="ok"), "hello")
    assert done.returncode == 78
    assert "SCRIMP_HOME" in done.stderr
    assert server.chats == []


def test_a_full_disk_stops_the_call(home, profile, server, scrimp):
    assert scrimp("ask", "-q", "-p", profile(small="ok"), "hello").code == 0
    n_sent = len(server.chats)
    script = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)); from scrimp.cli.app import run; sys.exit(run(sys.argv[1:]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, "ask", "-p", str(profile(small="ok")), "hello"],
        capture_output=True, text=True, stdin=subprocess.DEVNULL, env=environment(home), timeout=90,
    )  # fmt: skip
    assert done.returncode == 78, done.stderr
    assert "not sent" in done.stderr
    assert len(server.chats) == n_sent
    assert scrimp("log").code == 0


HEAVY = ("litellm", "fastembed", "onnxruntime", "sklearn", "tiktoken", "numpy", "scipy", "jsonschema")

LIGHT = [
    ["--help"], ["--version"], ["log"], ["spend"], ["profile", "list"], ["profile", "show"], ["rate", "good"], ["models"],
    ["keys", "list"], ["log", "--help"], ["ask", "--help"],
]  # fmt: skip


@pytest.mark.parametrize("argv", LIGHT, ids=[" ".join(argv) for argv in LIGHT])
def test_light_commands_import_nothing_heavy(home, argv):
    script = (
        "import sys; from scrimp.cli.app import run; run(sys.argv[1:]); "
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *argv],
        capture_output=True,
        text=True,
        env=environment(home),
        stdin=subprocess.DEVNULL,
    )
    assert done.stderr.splitlines()[-1] == "[]"


def test_route_imports_neither_litellm_nor_tiktoken(home, profile):
    script = (
        "import sys; from scrimp.cli.app import run; code = run(sys.argv[1:]); "
        "print(code, [name for name in ('litellm', 'tiktoken', 'sklearn', 'scipy') if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, "route", "-p", str(profile(small="ok")), "--json", "hello"],
        capture_output=True, text=True, env=environment(home), stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.stderr.splitlines()[-1] == "0 []"
    assert json.loads(done.stdout)["arm"] == "small"


COMPLETE = {
    "bash": (
        "source completions/scrimp.bash; COMP_WORDS=({words}); COMP_CWORD=$(( ${{#COMP_WORDS[@]}} - 1 )); "
        '_scrimp_completion scrimp; printf "%s\\n" "${{COMPREPLY[@]}}"'
    ),
    "zsh": (
        'compdef() {{ :; }}; _arguments() {{ print -rl -- "$@"; }}; _describe() {{ print -rl -- "${{(@P)2}}"; }}; '
        "autoload -Uz compinit; words=({words}); CURRENT=${{#words}}; source completions/_scrimp; _scrimp_completion"
    ),
    "fish": 'source completions/scrimp.fish; complete -C "{line}"',
}


@pytest.mark.parametrize("name", COMPLETE)
def test_completion_in_the_real_shell(on_path, request, name):
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not installed")
    for line, wanted in (
        ("scrimp ro", "route"),
        ("scrimp ask -p mix", "mixed"),
        ("scrimp ask -p openai -m ", "small"),
        ("scrimp log ex", "export"),
        ("scrimp ask --no-l", "--no-log"),
    ):
        words = " ".join(f"'{word}'" for word in line.split(" "))
        done = subprocess.run(
            [name, "-c", COMPLETE[name].format(words=words, line=line)],
            capture_output=True, text=True, env=on_path, cwd=request.config.rootpath, timeout=60, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        offered = done.stdout.replace("\\", "")
        assert wanted in offered, (line, done.stdout, done.stderr)


def test_doctor_looks_at_the_embedder_of_the_profile_asked_for(scrimp, profile):
    path = profile(small="ok", extra='[embedding]\nmodel = "nobody/no-such-model"\n')
    found = json.loads(scrimp("doctor", "-p", path, "--json").out)["findings"]
    (embedder,) = [each for each in found if each["what"] == "embedder"]
    assert embedder["state"] == "problem"
    assert "no-such-model" in embedder["detail"]
    assert "ledger" in {each["what"] for each in found}, "one part that fails does not end the others"


NUMPY_SEEN = """
import os, sys

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "numpy":
            print("numpy at", os.environ.get("OPENBLAS_NUM_THREADS"), "threads", file=sys.stderr)
            sys.meta_path.remove(self)

sys.meta_path.insert(0, Finder())
from scrimp.cli.main import main
main()
"""


@pytest.mark.parametrize("command", ["ask", "file", "route", "batch", "plans", "redo"])
def test_numpy_is_kept_to_one_thread(home, profile, scrimp, tmp_path, command):
    """On small matrices a second thread only spins: it costs a quarter of a short command's processor time."""
    path = profile(small="ok", large="ok", extra='[plans]\ntwice = "small => large"\n')
    assert scrimp("ask", "-q", "-p", path, "-m", "small", "a question").code == 0
    (tmp_path / "rows.jsonl").write_text('{"prompt": "one"}\n')
    argv = {
        "ask": ["ask", "--dry-run", "hello"],
        "file": ["ask", "--dry-run", "-f", tmp_path / "rows.jsonl", "which?"],
        "route": ["route", "hello"],
        "batch": ["batch", tmp_path / "rows.jsonl", "-o", tmp_path / "out.jsonl", "--dry-run"],
        "plans": ["plans"],
        "redo": ["redo", "last", "-m", "large"],
    }[command]
    env = {name: value for name, value in environment(home).items() if name != "OPENBLAS_NUM_THREADS"}
    done = subprocess.run(
        [sys.executable, "-c", NUMPY_SEEN, *map(str, argv), "-p", str(path)],
        env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "numpy at 1 threads" in done.stderr
