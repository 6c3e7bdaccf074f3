"""Does the router know an easy prompt from a hard one: python bench/everyday.py [FILE ...] [-p PROFILE] [--router NAME].

Without files it reads bench/everyday/*.jsonl: judged prompts of three kinds that no router is trained on. Prints the table of
docs/results.md; `scrimp eval --judged FILE` measures the same. At `balanced`, without keys or caps.
"""

from __future__ import annotations

import sys
from pathlib import Path

from scrimp.cli.app import run


def main():
    given = sys.argv[1:]
    files = [arg for arg in given if not arg.startswith("-") and Path(arg).is_file()]
    rest = [arg for arg in given if arg not in files]
    files = files or sorted(map(str, Path(__file__).with_name("everyday").glob("*.jsonl")))
    profile = [] if {"-p", "--profile"} & set(rest) else ["-p", "mixed"]
    sys.exit(
        run(["eval", *(part for file in files for part in ("--judged", file)), "--prefer", "balanced", *profile, *rest])
    )


if __name__ == "__main__":
    main()
