"""The console blocks of README.md and docs/: what is typed there, and what comes of it, word for word.

A block of ```console holds commands, each after `$ ` (a line that ends in a backslash goes on), and under each what it
prints, stdout and stderr as they come. `...` alone on a line stands for lines left out, at a line's end for its rest.
What must differ from run to run (ids, times, seconds, rates, megabytes) is masked; all else is compared.

A page is typed from its top to its end, in one home and in a folder that looks like a fresh clone. What a reader does not
see stands in comments before a block:

    <!-- $ python docs/examples/filing.py > 10k.txt -->      a command whose output is not shown; it may not fail
    <!-- new home -->                                        what follows is typed in another home, of another clone
    <!-- not run: it takes seven minutes -->                 the next block is not run; why

A command that ends in `&` is a server: it runs until the page, or its home, ends, on a free port in place of its `--port`.

`python tests/console_blocks.py --check` runs the pages and says what has drifted; `--update` writes what came into them;
both take pages, README.md and docs/*.md when none is named.
"""

import argparse
import difflib
import os
import re
import shlex
import sys
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[1]

WIDTH = 80
"""Of the terminal that pages are typed on."""

MASKS = (
    (r"\b0[0-9a-hjkmnp-tv-z]{25}\b", "ID"),
    (r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?([+-]\d\d:\d\d|Z)?", "TIME"),
    (r"\b\d{4}-\d\d-\d\d\b", "DATE"),
    (r"\b\d\d:\d\d(:\d\d)?\b", "CLOCK"),
    (r"(?<![\w.])\d[\d,.]*( rows/s| ms| s| min| h| MB)\b", "N"),
    (r"\bprocess \d+", "process N"),
)
"""What no two runs have alike, and what stands for it."""


@dataclass
class Command:
    """A command of a page: its text, the number of its first line, and what the page says it prints.

    A `shown` of None is a hidden one's.
    """

    text: str
    line: int
    shown: list[str] | None = None
    start: int = 0
    """The index of the first line of its output in the page's lines."""


@dataclass
class Step:
    """What a page asks for at one place: commands to run, or a new home."""

    commands: list[Command] = field(default_factory=list)
    new_home: bool = False
    not_run: str | None = None


def pages():
    """Return the pages: README.md and docs/*.md."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def read_page(text):
    """Return a page's steps in their order."""
    steps, lines = [], text.splitlines()
    i, not_run = 0, None
    while i < len(lines):
        line = lines[i]
        if line.startswith("<!--"):
            begun, i = i, _end(lines, i, lambda each: each.rstrip().endswith("-->"))
            said = "\n".join(lines[begun:i]).removeprefix("<!--").removesuffix("-->").strip()
            if said == "new home":
                steps.append(Step(new_home=True))
            elif said.startswith("not run:"):
                not_run = said.removeprefix("not run:").strip()
            elif said.startswith("$ "):
                steps.append(Step([Command(each.text, begun + 1) for each in _commands(said.splitlines(), 0)]))
        elif line.startswith("```"):
            begun, i = i, _end(lines, i + 1, lambda each: each.rstrip() == "```")
            if line.strip() == "```console":
                steps.append(Step(_commands(lines[begun + 1 : i - 1], begun + 1), not_run=not_run))
                not_run = None
        else:
            i += 1
    return steps


def _end(lines, i, ends):
    while i < len(lines) and not ends(lines[i]):
        i += 1
    return i + 1


def _commands(lines, at):
    """Return the commands of a block whose first line is `lines[0]`, the page's line of index `at`."""
    found, i = [], 0
    while i < len(lines):
        if not lines[i].startswith("$ "):
            raise ValueError(f"line {at + i + 1}: a block begins with a command, `$ ...`")
        begun, words = i, [lines[i][2:]]
        while words[-1].endswith("\\"):
            i += 1
            words.append(lines[i])
        i += 1
        start = i
        while i < len(lines) and not lines[i].startswith("$ "):
            i += 1
        found.append(Command("\n".join(words), at + begun + 1, lines[start:i], at + start))
    return found


def masked(line):
    """Return a line with what varies masked; blanks about a mask depend on its width, so they count as two."""
    plain = line.rstrip()
    for pattern, word in MASKS:
        plain = re.sub(pattern, word, plain)
    return plain if plain == line.rstrip() else re.sub(r" {2,}", "  ", plain)


def unwrapped(lines):
    """Return lines with those made one that were wrapped where a mask is in them: where they break depends on its width."""
    joined = []
    for line in lines:
        before = joined[-1] if joined else ""
        if re.match(r"  \S", line) and before[:2] not in ("", "  ", "> "):
            whole = f"{before} {line.strip()}"
            if len(before.rpartition("\0")[2]) + 1 + len(line.split()[0]) > WIDTH and masked(whole) != whole:
                joined[-1] = f"{before}\0{line.strip()}"
                continue
        joined.append(line)
    return [line.replace("\0", " ") for line in joined]


def agrees(shown, got):
    """Whether what came is what the page shows, where `...` stands for any lines, or for the rest of one."""
    patterns = []
    shown, got = unwrapped(shown), unwrapped(got)
    for line in shown:
        if line.strip() == "...":
            patterns.append(r"(?:[^\n]*\n)*?")
        elif line.endswith("..."):
            patterns.append(re.escape(masked(line.removesuffix("...").rstrip())) + r"[^\n]*\n")
        else:
            patterns.append(re.escape(masked(line)) + r"\n")
    return re.fullmatch("".join(patterns), "".join(f"{masked(line)}\n" for line in got)) is not None


def rewritten(shown, got):
    """Return what a page shows of what came: as much as before, where lines were left out."""
    if agrees(shown, got):
        return shown
    wanted = [line for line in shown if line.strip() != "..."]
    before = {masked(line): line for line in wanted}
    got = [before.get(masked(line), line) for line in got]  # the time that it took then is as good as that of now
    if not wanted or wanted == shown:
        return [_shortened(line, wanted) for line in got]
    gaps = {i - before for before, i in enumerate(i for i, line in enumerate(shown) if line.strip() == "...")}
    new, last = [], (-1, -1)
    for i, j in [*_aligned(wanted, got), (len(wanted), len(got))]:
        between = got[last[1] + 1 : j]
        left_out = [at for at in range(last[0] + 1, i + 1) if at in gaps]
        if between and left_out:
            n_before, n_after = left_out[0] - last[0] - 1, i - left_out[-1]
            rest = between[n_before : len(between) - n_after]
            new += [*between[:n_before], "...", *between[max(n_before, len(between) - n_after) :]] if rest else between
        else:
            new += between if len(between) <= i - last[0] + 5 else ["..."]
        new += got[j : j + 1]
        last = i, j
    return [_shortened(line, wanted) for line in new]


def _aligned(wanted, got):
    """Return pairs (i, j), rising in both, of lines of a page and lines that came that are most alike in all."""
    rows = [masked(line).split() for line in wanted]
    columns = [masked(line).split() for line in got]
    alike = [[difflib.SequenceMatcher(None, a, b, autojunk=False).ratio() for b in columns] for a in rows]
    best = [[0.0] * (len(got) + 1) for _ in range(len(wanted) + 1)]
    for i in reversed(range(len(wanted))):
        for j in reversed(range(len(got))):
            met = alike[i][j] + best[i + 1][j + 1] if alike[i][j] >= 0.4 else 0.0
            best[i][j] = max(met, best[i + 1][j], best[i][j + 1])
    pairs, i, j = [], 0, 0
    while i < len(wanted) and j < len(got):
        if alike[i][j] >= 0.4 and best[i][j] == alike[i][j] + best[i + 1][j + 1]:
            pairs.append((i, j))
            i, j = i + 1, j + 1
        elif best[i][j] == best[i + 1][j]:
            i += 1
        else:
            j += 1
    return pairs


def _shortened(line, part):
    """Return a line cut as one of the page's is that was cut and begins alike."""
    for each in part:
        kept = each.removesuffix("...").rstrip()
        if each.endswith("...") and line[: min(20, len(kept))] == kept[:20]:
            return line[: len(kept)].rstrip() + " ..." if len(line) > len(kept) else line
    return line


def drift(page, command, got):
    """Return what is to be said of a command that prints something else than its page shows."""
    shown, came = ([masked(line) for line in unwrapped(lines)] for lines in (command.shown, got))
    said = difflib.unified_diff(shown, came, "the page", "now", lineterm="", n=2)
    return "\n".join([f"{page.name}:{command.line}: $ {command.text}", *list(said)])


def scrimps(text):
    """Return the scrimp command lines in a shell's text, each as a list of words after `scrimp`."""
    found = []
    for line in re.sub(r"\\\n", " ", text).splitlines():
        words = shlex.shlex(line, posix=True, punctuation_chars="|&;<>()")
        words.whitespace_split, words.commenters = True, "#"
        command = []
        for word in [*words, ";"]:
            if set(word) <= set("|&;"):
                found += _scrimp(command)
                command = []
            else:
                command.append(word)
    return found


def _scrimp(words):
    """Return what stands after `scrimp` in a simple command: variables before it, and redirections, left out."""
    while words and re.match(r"[A-Za-z_]\w*=", words[0]):
        words = words[1:]
    if not words or words[0] != "scrimp":
        return []
    rest, i = [], 1
    while i < len(words):
        if set(words[i]) <= set("<>&"):
            i += 1
        else:
            rest.append(words[i])
        i += 1
    return [rest]


def shell_lines(text):
    """Return (number, text) of what is typed on a page without output.

    That is what stands in its ```sh blocks, in blocks that are not run, and as a manual's example, further in.
    """
    found = []
    for match in re.finditer(r"^```sh\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        first = text.count("\n", 0, match.start(1))
        found += [(first + number, line) for number, line in _whole_lines(match[1])]
    for number, line in _whole_lines(text):
        if re.match(r"    (\w.*\| )?(\w+=\S+ )*scrimp ", line):
            found.append((number, re.split(r" {2,}", line.strip())[0]))
    for step in read_page(text):
        found += [(command.line, command.text) for command in step.commands if step.not_run]
    return sorted(found)


def _whole_lines(text):
    """Return (number, line) of a text's lines, those that go on made one."""
    found, number = [], 1
    for line in text.replace("\\\n", "\0").split("\n"):
        found.append((number, re.sub(r"\s*\0\s*", " ", line)))
        number += 1 + line.count("\0")
    return [(number, line) for number, line in found if line]


def run_page(page):
    """Type a page's blocks; return what is to be said of those that drifted, and the page's new text."""
    from console_runs import Typist

    text = page.read_text()
    said, lines = [], text.splitlines(keepends=True)
    changes = []
    with Typist() as typist:
        for step in read_page(text):
            if step.new_home:
                typist.move()
            if step.not_run:
                continue
            for command in step.commands:
                code, got = typist.type(command.text)
                if command.shown is None:
                    if code:
                        said.append(f"{page.name}:{command.line}: $ {command.text}\nended with {code}: {got}")
                elif not agrees(command.shown, got):
                    said.append(drift(page, command, got))
                    changes.append((command, rewritten(command.shown, got)))
    for command, new in reversed(changes):
        lines[command.start : command.start + len(command.shown)] = [f"{line}\n" for line in new]
    return said, "".join(lines)


def main():
    """Check pages, or write what their commands print into them."""
    parser = argparse.ArgumentParser(description="Run the console blocks of README.md and docs/*.md.")
    doing = parser.add_mutually_exclusive_group(required=True)
    doing.add_argument("--check", action="store_true", help="say what has drifted; exit 1 if anything has")
    doing.add_argument("--update", action="store_true", help="write what came into the pages")
    parser.add_argument("pages", nargs="*", type=Path, metavar="PAGE")
    given = parser.parse_args()
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before numpy: as in the tests
    from spared import spare

    spare()
    drifted = False
    for page in given.pages or pages():
        said, text = run_page(page.resolve())
        for each in said:
            drifted = True
            sys.stdout.write(f"{each}\n\n")
        if given.update and text != page.read_text():
            page.write_text(text)
    return int(drifted and given.check)


if __name__ == "__main__":
    sys.exit(main())
