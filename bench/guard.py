"""What guards are held to: python bench/guard.py [--data FOLDER].

Scope, what is private, and risk, a row each; every part runs alone too (guard_scope.py, guard_private.py, guard_risk.py)
and says more there. FOLDER holds public outcomes (`train/`, `answers/`), where they are at hand.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path

PARTS = ("guard_scope", "guard_private", "guard_risk")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    data = parser.parse_args().data
    sys.path.insert(0, str(Path(__file__).parent))
    print("| measured | target | got |\n|---|---|---|", flush=True)
    for part in PARTS:
        for row in importlib.import_module(part).rows(data):
            print(f"| {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    main()
