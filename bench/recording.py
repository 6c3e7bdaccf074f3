"""Record a terminal session as a picture: `python bench/recording.py` (or `just recording`) writes docs/first-screen.svg.

A real bash on a pseudo-terminal of 80 columns, in an empty home and without keys, types the commands of SESSION; pyte says
what then stands on the screen. Rows appear one after another where a viewer animates, and are all there where it does
not; colours follow the reader's light or dark. Seconds and ids are those of the run, all else is the same each time.
"""

import argparse
import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import tempfile
import termios
import time
from dataclasses import dataclass
from html import escape
from itertools import groupby
from pathlib import Path

import pyte

ROOT = Path(__file__).parents[1]
PICTURE = ROOT / "docs" / "first-screen.svg"

SESSION = (
    'scrimp ask "What is the capital of France?"',
    'scrimp route -p mixed "Design multi-region failover for a payments ledger"',
    'scrimp ask -p docs/examples/lab.toml --max-cost 0.00001 "Why is the sky blue?"',
)
COLUMNS, ROWS = 80, 60

READY = b"\x1b]133;A\x07"
"""What the prompt begins with, unseen: then the shell waits for a command."""

CELL_W, CELL_H, GAP, FONT, MARGIN, BAR = 8.4, 18, 8, 14, 16, 28
PAUSE_S, ROW_S = 1.0, 0.06
"""Before a command's first row of output, and between rows."""

ANSI = {
    "red": ("#cf222e", "#ff7b72"),
    "green": ("#116329", "#7ee787"),
    "brown": ("#7d4e00", "#e3b341"),
    "blue": ("#0969da", "#79c0ff"),
    "magenta": ("#8250df", "#d2a8ff"),
    "cyan": ("#1b7c83", "#76e3ea"),
}
"""A terminal's colours, as pyte calls them: on light, on dark."""


@dataclass(frozen=True)
class Run:
    """Neighbouring cells of one row that look alike."""

    column: int
    text: str
    look: str


@dataclass(frozen=True)
class Row:
    """A row of the screen: what stands there, and whether it is a command that was typed."""

    runs: tuple[Run, ...]
    typed: bool

    @property
    def text(self) -> str:
        """Return the row's text."""
        line = ""
        for run in self.runs:
            line = line.ljust(run.column) + run.text
        return line


class Shell:
    """A bash on a pseudo-terminal, and the screen that it writes on."""

    def __init__(self, home: Path) -> None:
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        env = {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(home), "SCRIMP_HOME": str(home / "scrimp"), "SCRIMP_RESIDENT": "0",
            "TERM": "xterm-256color", "LANG": "C.UTF-8", "TZ": "UTC", "PS1": r"\[\e]133;A\a\]$ ",
        }  # fmt: skip
        self.process = subprocess.Popen(
            ["bash", "--noprofile", "--norc", "-i"],
            stdin=slave, stdout=slave, stderr=slave, env=env, cwd=ROOT, start_new_session=True,
        )  # fmt: skip
        os.close(slave)
        self.screen = pyte.Screen(COLUMNS, ROWS)
        self.stream = pyte.ByteStream(self.screen)
        self.wait()

    def wait(self, seconds: float = 300) -> None:
        """Feed the screen until the prompt is back."""
        end, seen = time.monotonic() + seconds, b""
        while READY not in seen:
            if not select.select([self.master], [], [], max(0, end - time.monotonic()))[0]:
                raise SystemExit(f"no prompt within {seconds:g} s; the screen ends with {self.screen.display[-3:]}")
            data = os.read(self.master, 65536)
            seen = (seen + data)[-65536:]
            self.stream.feed(data)
        while select.select([self.master], [], [], 0.2)[0]:  # the rest of the prompt
            self.stream.feed(os.read(self.master, 65536))

    def type(self, command: str) -> int:
        """Type a command, wait for its end, and return the row that it stands in."""
        row = self.screen.cursor.y
        os.write(self.master, command.encode() + b"\n")
        self.wait()
        return int(row)

    def close(self) -> None:
        """End the shell."""
        os.write(self.master, b"exit\n")
        self.process.wait(20)
        os.close(self.master)


def record(session: tuple[str, ...] = SESSION) -> list[Row]:
    """Run a session, and return the rows that stand on the screen then."""
    with tempfile.TemporaryDirectory(prefix="scrimp-recording-") as home:
        shell = Shell(Path(home))
        typed = {shell.type(command) for command in session}
        end = shell.screen.cursor.y  # of the prompt that is left over
        rows = [Row(tuple(_runs(shell.screen.buffer[y])), y in typed) for y in range(end)]
        shell.close()
    return rows


def record_usual(session: tuple[str, ...] = SESSION) -> list[Row]:
    """Record a session in which the arm is taken that is worth most: one decision in twenty is drawn, to explore."""
    while True:
        rows = record(session)
        if not any("not drawn" in row.text for row in rows):
            return rows


def _runs(cells: pyte.screens.StaticDefaultDict) -> list[Run]:
    def look(column: int) -> str:
        cell = cells[column]
        colour = cell.fg if cell.fg in ANSI else ""
        return " ".join(filter(None, ("b" if cell.bold else "", "i" if cell.italics else "", colour)))

    found = []
    for style, columns in groupby(range(COLUMNS), look):
        run = list(columns)
        text = "".join(cells[column].data for column in run)
        # Each column of a table begins at its own place, whatever font there is.
        found += [Run(run[0] + part.start(), part[0], style) for part in re.finditer(r"\S+(?: \S+)*", text)]
    return found


def svg(rows: list[Row]) -> str:
    """Return the picture of a screen."""
    width, height = (
        COLUMNS * CELL_W + 2 * MARGIN,
        len(rows) * CELL_H + sum(row.typed for row in rows) * GAP + BAR + MARGIN,
    )
    light = "".join(f".{name}{{fill:{colours[0]}}}" for name, colours in ANSI.items())
    dark = "".join(f".{name}{{fill:{colours[1]}}}" for name, colours in ANSI.items())
    out = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}" '
            f'height="{height:g}" role="img" aria-labelledby="t d">'
        ),
        '<title id="t">scrimp in a terminal</title>',
        f'<desc id="d">{escape(" / ".join(row.text.strip() for row in rows if row.typed))}</desc>',
        "<style>",
        (
            f"text{{font:{FONT}px ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace;fill:#1f2328;"
            "white-space:pre}"
        ),
        f".b{{font-weight:700}}.i{{font-style:italic}}.paper{{fill:#fff;stroke:#d0d7de}}.dot{{fill:#d0d7de}}{light}",
        (
            "@media (prefers-color-scheme:dark){text{fill:#e6edf3}.paper{fill:#0d1117;stroke:#30363d}.dot{fill:#30363d}"
            f"{dark}}}"
        ),
        "@keyframes appear{from{opacity:0}to{opacity:0}}",
        ".typed text{font-weight:600}g{animation:appear backwards}",  # over, it is as if it had never been: all stands there
        "@media (prefers-reduced-motion:reduce){g{animation:none}}",
        "</style>",
        f'<rect class="paper" x=".5" y=".5" width="{width - 1:g}" height="{height - 1:g}" rx="8"/>',
        *(f'<circle class="dot" cx="{MARGIN + 4 + 16 * n}" cy="16" r="5"/>' for n in range(3)),
    ]
    at = 0.0
    y = float(BAR + MARGIN - CELL_H - GAP)
    for number, row in enumerate(rows):
        y += CELL_H + (GAP if row.typed else 0)
        after_typing = number > 0 and rows[number - 1].typed
        at += PAUSE_S if row.typed or after_typing else ROW_S
        words = "".join(_text(run, y) for run in row.runs)
        out.append(f'<g class="{"typed" if row.typed else "said"}" style="animation-duration:{at:.2f}s">{words}</g>')
    return "\n".join([*out, "</svg>"]) + "\n"


def _text(run: Run, y: float) -> str:
    style = f' class="{run.look}"' if run.look else ""
    x, length = MARGIN + run.column * CELL_W, len(run.text) * CELL_W
    return (
        f'<text x="{x:.1f}" y="{y:g}" textLength="{length:.1f}" xml:space="preserve"{style}>{escape(run.text)}</text>'
    )


def shown(picture: str) -> list[str]:
    """Return the rows of text of a picture."""
    import xml.etree.ElementTree as ET

    space = "{http://www.w3.org/2000/svg}"
    rows = []
    for group in ET.fromstring(picture).iter(f"{space}g"):
        line = ""
        for text in group.iter(f"{space}text"):
            column = round((float(text.attrib["x"]) - MARGIN) / CELL_W)
            line = line.ljust(column) + (text.text or "")
        rows.append(line)
    return rows


def masked(rows: list[str]) -> list[str]:
    """Return rows with ids and digits put the same: other machines take other seconds, and compute a little otherwise."""
    text = re.sub(r"\b01[0-9a-hjkmnp-tv-z]{24}\b", "ID", "\n".join(rows))
    return re.sub(r"\d", "9", text).split("\n")


def main() -> None:
    """Write the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--output", type=Path, default=PICTURE)
    output = parser.parse_args().output
    rows = record_usual()
    output.write_text(svg(rows), "utf-8")
    print("\n".join(row.text for row in rows))
    print(f"{output}: {len(rows)} rows")


if __name__ == "__main__":
    main()
