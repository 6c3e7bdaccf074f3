"""Whose standard input it is: the table of docs/decisions/0017-standard-input.md, in real shells."""

import os
import shutil
import subprocess
import sys

import pytest

STAND_IN = """#!{python}
import sys
from scrimp.cli.stdin import read_stdin
from scrimp.profiles.errors import UsageError
words = [word for word in sys.argv[2:] if word not in ("-", "-q")]
try:
    text = read_stdin(has_prompt=bool(words), explicit="-" in sys.argv, quiet="-q" in sys.argv)
except UsageError as error:
    sys.exit(f"refused: {{error.message}}")
print(*words, repr(text) if text else "alone", flush=True)
"""
"""It does with standard input what `scrimp ask` does, and prints what would be asked."""

ROWS = "printf 'one\\ntwo\\nsix\\n'"
DIFF = "printf 'a diff\\n'"
LATE = f"( : > said; until grep -q waiting said; do sleep 0.05; done; {DIFF} )"
DIFF_READ = ["review 'a diff\\n'"]
KEPT = ["one alone", "two alone", "six alone"]
DOUBT, NOTHING = "- as a word of the prompt reads it", ""

FILES = {
    "loop.sh": '#!/bin/sh\nwhile read -r x; do scrimp ask "$x"; done\n',
    "loop.bash": '#!/bin/bash\nwhile read -r x; do scrimp ask -q "$x"; done\n',
    "loop.py": (
        f"#!{sys.executable}\nimport subprocess, sys\n"
        'for x in sys.stdin:\n    subprocess.run(["scrimp", "ask", x.strip()])\n'
    ),
    "caught.sh": '#!/bin/sh\nwhile read -r x; do y=$(scrimp ask "$x"); printf "%s\\n" "$y"; done\n',
    "review.sh": "#!/bin/sh\nscrimp ask review\necho over\n",
    "meant.sh": "#!/bin/sh\nscrimp ask review -\necho over\n",
    "pass.sh": '#!/bin/sh\nscrimp "$@"\n:\n',
    "piped.sh": "scrimp ask review\necho later\n",
    "Makefile": "review:\n\t@scrimp ask review; true\n",
    "calls.py": (
        "import subprocess, sys\n"
        'subprocess.run(["scrimp", "ask", "review"], input=b"a diff\\n")\n'
        'subprocess.run(["scrimp", "ask", "review"], stdin=subprocess.DEVNULL)\n'
    ),
    "rows": "one\ntwo\nsix\n",
    "diff": "a diff\n",
}

TABLE = {
    # a pipe of its own: read, late or not
    "pipe": (f"{DIFF} | scrimp ask review", DIFF_READ, NOTHING),
    "a slow pipe": (f"{LATE} | scrimp ask review 2> said; cat said >&2", DIFF_READ, "waiting"),
    "an empty pipe": ("true | scrimp ask review", ["review alone"], "empty"),
    "in a substitution": (f'y=$({DIFF} | scrimp ask review); printf "%s\\n" "$y"', DIFF_READ, NOTHING),
    "from a program": (f"{sys.executable} calls.py", [*DIFF_READ, "review alone"], NOTHING),
    # handed on by what has read nothing, or was told to
    "function": (f"f() {{ scrimp ask review; true; }}; {DIFF} | f", DIFF_READ, NOTHING),
    "a slow function": (
        f"f() {{ scrimp ask review; true; }}; {LATE} | f 2> said; cat said >&2", DIFF_READ, "waiting"
    ),
    "braces": (f"{DIFF} | {{ scrimp ask review; true; }}", DIFF_READ, NOTHING),
    "braces in brackets": (f"{DIFF} | ( {{ scrimp ask review; true; }}; true )", DIFF_READ, NOTHING),
    "timeout": (f"{DIFF} | timeout 50 scrimp ask review", DIFF_READ, NOTHING),
    "env": (f"{DIFF} | env A=1 scrimp ask review", DIFF_READ, NOTHING),
    "nohup": (f"{DIFF} | nohup scrimp ask review", DIFF_READ, NOTHING),
    "a script that passes its words on": (f"{DIFF} | ./pass.sh ask review", DIFF_READ, NOTHING),
    # a caller that may read from it
    "loop": (f'{ROWS} | while read -r x; do scrimp ask "$x"; done', KEPT, DOUBT),
    "script": (f"{ROWS} | ./loop.sh", KEPT, DOUBT),
    "script, and -q": (f"{ROWS} | ./loop.bash", KEPT, DOUBT),
    "script that passes on in a loop": (
        f'{ROWS} | while read -r x; do timeout 50 scrimp ask "$x"; done', KEPT, DOUBT
    ),
    "script that catches the answer": (f"{ROWS} | ./caught.sh", KEPT, DOUBT),
    "wrapper": (f"{DIFF} | ./review.sh", ["review alone", "over"], DOUBT),
    "wrapper that means it": (f"{DIFF} | ./meant.sh", [*DIFF_READ, "over"], NOTHING),
    "make": (f"{DIFF} | make -s review", ["review alone"], DOUBT),
    "a shell that reads its script": ("cat piped.sh | bash", ["review alone", "later"], DOUBT),
    "loop that settles it": (f'{ROWS} | while read -r x; do scrimp ask "$x" < /dev/null; done', KEPT, NOTHING),
    # files
    "file": ("scrimp ask review < diff", DIFF_READ, NOTHING),
    "function over a file": ("f() { scrimp ask review; true; }; f < diff", DIFF_READ, NOTHING),
    "here-document": ("scrimp ask review <<EOF\na diff\nEOF", DIFF_READ, NOTHING),
    "script over a file": ("./loop.sh < rows", KEPT, "by somebody else"),
    "script over a file, and -q": ("./loop.bash < rows", KEPT, NOTHING),
    # nothing to read
    "null": ("scrimp ask review < /dev/null", ["review alone"], NOTHING),
    "closed": ("scrimp ask review <&-", ["review alone"], NOTHING),
    "closed, and meant": ("scrimp ask review - <&-", [], "refused: standard input is closed"),
    "a device": ("scrimp ask review < /dev/zero", ["review alone"], "neither a file nor a pipe"),
    "xargs": ("echo x | xargs scrimp ask", ["x alone"], NOTHING),
    # no prompt: a filter reads whatever it is given
    "filter": (f"{DIFF} | scrimp ask", ["'a diff\\n'"], NOTHING),
    "filter in a script": (f"{ROWS} | {{ read -r x; scrimp ask; }}", ["'two\\nsix\\n'"], NOTHING),
}  # fmt: skip

ONLY_BASH = {
    "here-string": ("scrimp ask review <<< 'a diff'", DIFF_READ, NOTHING),
    "process substitution": (f"scrimp ask review < <({DIFF})", DIFF_READ, NOTHING),
    "loop over a process substitution": (f'while read -r x; do scrimp ask "$x"; done < <({ROWS})', KEPT, DOUBT),
    "coprocess": (
        'coproc scrimp ask review; echo "a diff" >&"${COPROC[1]}"; exec {COPROC[1]}>&-; cat <&"${COPROC[0]}"',
        DIFF_READ,
        NOTHING,
    ),
}

BY_OTHERS = {
    "sh": (
        "pipe",
        "a slow function",
        "braces",
        "loop",
        "script",
        "wrapper",
        "function over a file",
        "script over a file",
    ),
    "zsh": ("pipe", "loop", "script", "file", "here-document"),
}
"""What is tried in other shells than bash, too."""

OTHERWISE = {
    # dash holds a here-document as its own standard input while the command runs
    ("here-document", "sh"): (["review alone"], DOUBT),
    # zsh runs the last part of a pipeline itself, and has read much before
    ("function", "zsh"): (["review alone"], DOUBT),
}
"""What cannot be known in them."""

CASES = [
    *((name, "bash") for name in (*TABLE, *ONLY_BASH)),
    *((name, shell) for shell, names in BY_OTHERS.items() for name in names),
    *OTHERWISE,
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with the scripts, and a `scrimp` that says what it would ask."""
    folder = tmp_path_factory.mktemp("shells")
    (folder / "scrimp").write_text(STAND_IN.format(python=sys.executable))
    for name, text in FILES.items():
        (folder / name).write_text(text)
    for name in ("scrimp", *(name for name in FILES if "." in name)):
        (folder / name).chmod(0o755)
    return folder


def run(folder, shell, script):
    return subprocess.run(
        [shell, "-c", script],
        cwd=folder,
        env={**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize(("name", "shell"), CASES, ids=[f"{name}, {shell}" for name, shell in CASES])
def test_whose_standard_input_it_is(folder, name, shell):
    script, printed, said = {**TABLE, **ONLY_BASH}[name]
    printed, said = OTHERWISE.get((name, shell), (printed, said))
    for program in (shell, "make" if "make " in script else shell):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    done = run(folder, shell, script)
    assert done.stdout.splitlines() == printed, done.stderr
    if said == NOTHING:
        assert "scrimp:" not in done.stderr
    else:
        assert said in done.stderr
