"""What stands on a terminal after all that was written to it, and what of it must be the same everywhere."""

import difflib
import re
from pathlib import Path

import pyte

GOLDEN = Path(__file__).parent / "golden"

WIDTHS = (80, 140)

TALL = 400
"""Lines of a terminal that keeps all that was written to it."""

OWN_COLOURS = {"default", "red", "green", "blue", "magenta", "cyan"}
"""Foregrounds that are legible on light and dark alike: of the terminal's own sixteen, without white, black and yellow."""

_MASKS = (
    (re.compile(r"\b01[0-9a-hjkmnp-tv-z]{24}\b"), lambda found: "01" + "k" * (len(found[0]) - 2)),
    (re.compile(r"\b\d{4}-\d\d-\d\d( \d\d:\d\d(:\d\d)?)?\b"), lambda found: re.sub(r"\d", "9", found[0])),
)
"""Ids and instants: as wide as they are, and the same every time."""


def drawn(text, width):
    """Return a terminal of a width on which a text was written."""
    screen = pyte.Screen(width, TALL)
    pyte.Stream(screen).feed(text.replace("\n", "\r\n"))
    return screen


def lines_of(screen):
    """Return the lines that stand there, without blanks at their ends."""
    lines = [line.rstrip() for line in screen.display]
    while lines and not lines[-1]:
        lines.pop()
    return lines


def colours_of(screen):
    """Return every (foreground, background, reversed, blinking) of a character that is no blank."""
    return {
        (cell.fg, cell.bg, cell.reverse, cell.blink)
        for row in screen.buffer.values()
        for cell in row.values()
        if cell.data.strip()
    }


def masked(lines, *, numbers=False):
    """Return lines with what varies from run to run put the same.

    Parameters
    ----------
    numbers
        Every digit too: of what this machine measures, or another kind of processor computes a little otherwise.
    """
    text = "\n".join(lines)
    for pattern, same in _MASKS:
        text = pattern.sub(same, text)
    return (re.sub(r"\d", "9", re.sub(r"\d+\.\d s\b", "9.9 s", text)) if numbers else text) + "\n"


def check(name, text, width, *, write):
    """Compare a screen with the one that is kept, or keep it."""
    path = GOLDEN / str(width) / f"{name}.txt"
    if write:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert path.exists(), f"no such golden screen: `just screens` writes {path}"
    kept = path.read_text()
    differs = "\n".join(difflib.unified_diff(kept.splitlines(), text.splitlines(), "kept", "now", lineterm="", n=0))
    assert text == kept, f"{path} shows something else; where that is meant, `just screens` writes it anew:\n{differs}"
