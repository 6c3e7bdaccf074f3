"""What a terminal is given: nothing that controls it, on either stream, whatever command prints whoever's text."""

import ast
import json
import re
from pathlib import Path

import pytest

import scrimp.cli

EVIL = (
    "\x1b]8;;http://e\x07link\x1b]8;;\x07 \x1b]52;c;aGk=\x07 \x9b31m \u202etxt.exe\u2066 zero\u200bwidth \x1b[2J\x1b[1;1H"
    " [red]no markup[/red] [link=http://e]x[/link] :smile: over\rwritten \x08\x7f \U000e0041 end"
)
OURS = re.compile(r"\x1b\[(?:\d+(?:;\d+)*)?m|\x1b\[\?25[lh]|\x1b\[[12]?[KA]|\r")
"""What scrimp itself draws with: bold, and the line of progress."""
BAD = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u2028-\u202e\u2060-\u206f\ufeff\U000e0000-\U000e007f]")


@pytest.fixture
def world(scrimp, profile, tmp_path):
    """A log full of evil text, and files of it."""
    toml = json.dumps(EVIL, ensure_ascii=False).replace("\x7f", "\\u007f")
    path = profile(
        small="echo", large="echo", extra=f"[checks.own]\nspec = {toml.replace(chr(34), chr(34) + 'has:', 1)}\n"
    )
    for argv in (
        ("ask", "-p", path, "--tag", EVIL, "-s", EVIL, EVIL),
        ("rate", "last", "bad", "--note", EVIL),
        ("ask", "-p", path, "--check", f"has:{EVIL}!", EVIL),
        ("ask", "-p", path, "--plan", "small ? checks > large", "--check", f"sh:printf '%s' \"{EVIL}\"; exit 1", EVIL),
    ):
        assert scrimp(*argv).code in (0, 7), argv
    rows = tmp_path / f"rows {EVIL.replace('/', '')}.jsonl"
    rows.write_text(json.dumps({"id": EVIL, "prompt": EVIL}) + "\n" + json.dumps({"id": EVIL, "prompt": EVIL}) + "\n")
    named = tmp_path / f"file {EVIL.replace('/', '')}.txt"
    named.write_text(EVIL)
    return path, rows, named, tmp_path / "out.jsonl"


COMMANDS = [
    ("ask", "-p", "PROFILE", EVIL), ("ask", "-p", "PROFILE", "-x", "--no-stream", EVIL), ("ask", "--dry-run", "-p", "PROFILE", EVIL),
    ("ask", "-p", "PROFILE", "-f", "FILE", "again"), ("ask", "-p", "PROFILE", "-x", "--check", f"has:{EVIL}?", EVIL),
    ("ask", "-p", "PROFILE", "--check", EVIL, "x"), ("ask", "-f", f"/none/{EVIL}", "x"), ("ask", f"--{EVIL}", "x"),
    ("ask", "-p", "PROFILE", "-m", EVIL, "x"), ("ask", "-p", EVIL, "x"), ("ask", "-t", EVIL, "x"), (EVIL,),
    ("ask", "-p", "PROFILE", "--schema", EVIL, "x"), ("ask", "-p", "PROFILE", "-a", f"/none/{EVIL}", "x"),
    ("route", "-p", "PROFILE", EVIL), ("route", "-x", "-p", "PROFILE", EVIL), ("route", "-p", "PROFILE", "--file", "ROWS"),
    ("log",), ("log", "search", "markup"), ("log", "show", "last"), ("log", "show", "-x", "last"), ("log", "show", EVIL),
    ("log", "list", "--tag", EVIL), ("batch", "ROWS", "-o", "OUT", "-p", "PROFILE"), ("batch", "ROWS", "-n", "-p", "PROFILE"),
    ("batch", "ROWS", "-o", "OUT", "-p", "PROFILE", "--skip-bad", "--check", f"has:{EVIL}?"), ("batch", f"/none/{EVIL}"),
    ("report",), ("spend", "-p", "PROFILE"), ("spend", "--by", "tag"), ("spend", "--csv", "--by", "tag"), ("spend", "--open"),
    ("spend", "--short", "-p", "PROFILE"), ("spend", "--short", "-p", EVIL), ("profile", "show", "PROFILE"),
    ("profile", "check", "PROFILE"), ("profile", "list"), ("models", "-p", "PROFILE"), ("rate", "last", "good", "--note", EVIL),
    ("rate", EVIL, "good"), ("keys", "set", EVIL), ("learn", "status", "-p", "PROFILE"), ("router", "show", EVIL),
    ("learn", "import", f"/none/{EVIL}"), ("replay", "-p", "PROFILE"), ("eval", f"/none/{EVIL}"), ("redo", EVIL),
]  # fmt: skip


def test_no_command_lets_text_control_the_terminal(on_terminal, world):
    places = dict(zip(("PROFILE", "ROWS", "FILE", "OUT"), world, strict=True))
    printed = 0
    for argv in COMMANDS:
        _, *texts = on_terminal(*(places.get(word, word) for word in argv))
        for text in texts:
            left = BAD.search(OURS.sub("", text))
            assert left is None, (argv, text[max(0, left.start() - 80) : left.end() + 20])
            assert "\r" not in text.replace("\r\x1b[", "").replace("\r\n", "") or argv[0] in ("batch", "learn"), argv
            printed += "no markup" in text
            assert "[red]" in text or "no markup" not in text, argv  # shown as it is, not taken for Rich's markup
    assert printed > 15


JSON = [
    ("ask", "--json", "-p", "PROFILE", EVIL), ("route", "--json", "-p", "PROFILE", EVIL), ("log", "list", "--json"),
    ("log", "show", "last", "--json"), ("log", "export"), ("models", "--json", "-p", "PROFILE"),
    ("spend", "--json", "--by", "tag"), ("report", "--json"), ("profile", "show", "--json", "PROFILE"),
]  # fmt: skip


def test_json_on_a_terminal_is_the_same_json(on_terminal, world, scrimp):
    for argv in JSON:
        words = [world[0] if word == "PROFILE" else word for word in argv]
        code, text, _ = on_terminal(*words, err=False)
        assert BAD.search(text) is None, argv
        if code == 2:  # there is no such option
            continue
        shown = [json.loads(line) for line in text.splitlines()]
        if argv[0] == "log":
            piped = scrimp(*words).out
            assert shown == [json.loads(line) for line in piped.splitlines()], argv
            assert "\x9b" in piped  # a pipe gets text as it is
        if argv[0] == "ask":
            assert "\u202etxt.exe" in shown[0]["answer"]


def test_each_stream_is_asked_by_itself(on_terminal, world):
    _, out, err = on_terminal("ask", "-p", world[0], EVIL, out=False)
    assert EVIL.replace("\x7f", "") in out.replace("\x7f", "")
    assert BAD.search(OURS.sub("", err)) is None
    _, out, _ = on_terminal("ask", "-p", world[0], EVIL, err=False)
    assert BAD.search(OURS.sub("", out)) is None
    assert "␛]52" in out


def test_one_module_writes_to_the_streams():
    """`cli/result.py` makes text harmless; main.py's version and manual.py, a tool of ours, print nobody's text."""
    for file in Path(scrimp.cli.__file__).parent.glob("*.py"):
        if file.name in ("result.py", "manual.py", "main.py"):
            continue
        for node in ast.walk(ast.parse(file.read_text())):
            call = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            assert not re.match(r"(sys\.std(out|err)\.(write|buffer)|print$|typer\.(echo|secho))", call), (
                file.name, node.lineno,
            )  # fmt: skip
