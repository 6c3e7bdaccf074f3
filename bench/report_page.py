"""The report page of a small log by the built-in local model, and its pictures: docs/report-page.png and -phone.png.

python bench/report_page.py [--out docs] [--keep HOME]

Everything in the log is real: SmolLM2 answers, checks and the answer key rate, `duel` and `refit` run as they do for
anybody. Two things are arranged, so that there is something to see: the arms have prices, as if the model were hosted
(it is free here), and what happened within minutes is dated back over two weeks. Needs Debian's chromium.
"""

import argparse
import os
import pty
import re
import select
import sqlite3
import subprocess
import sys
import tempfile
from datetime import datetime, timedelta
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

DAYS = 14

QUIET_S = 60.0

PROFILE = """
name = "demo"
default_arm = "full"
[caps]
per_day_usd = 0.01
per_month_usd = 0.10
[policy]
explore = 0.3
wtp_usd = 0.001
[guard]
private = "redact"
[plans]
careful = "brief ? checks > full"
"""

ARM = """
[[arms]]
name = "{name}"
model = "local/smollm2-135m-instruct"
tier = "{tier}"
tags = ["local", "private", "json"]
context_window = 2048
max_output_tokens = {limit}
system = "{system}"
price = {{ input_usd_per_mtok = {price}, output_usd_per_mtok = {out} }}
"""

ARMS = (
    ("brief", "small", 24, "Answer in one word.", 0.05, 0.2),
    ("plain", "medium", 64, "Answer in one short sentence.", 0.15, 0.6),
    ("full", "large", 128, "Think, then answer in two sentences.", 0.5, 2.0),
)

CAPITALS = {
    "France": "Paris", "Italy": "Rome", "Spain": "Madrid", "Germany": "Berlin", "Japan": "Tokyo", "Egypt": "Cairo",
    "Greece": "Athens", "Norway": "Oslo", "Portugal": "Lisbon", "Ireland": "Dublin", "Poland": "Warsaw",
    "Austria": "Vienna", "Cuba": "Havana", "Peru": "Lima", "Kenya": "Nairobi", "Turkey": "Ankara",
}  # fmt: skip
OPPOSITES = {
    "hot": "cold",
    "big": "small",
    "early": "late",
    "open": "close",
    "light": "dark",
    "loud": "quiet",
    "wet": "dry",
    "up": "down",
}
SUMS = [(7, 8), (12, 5), (9, 9), (20, 22), (15, 6), (31, 11), (8, 4), (50, 25)]
MORE = {
    "Which planet is known as the red planet?": "Mars",
    "What colour is a ripe banana?": "yellow",
    "How many days does a week have?": "7|seven",
    "Which animal says moo?": "cow",
    "What do bees make?": "honey",
    "Which ocean lies between Europe and America?": "Atlantic",
    "What is frozen water called?": "ice",
    "Who wrote Romeo and Juliet?": "Shakespeare",
}

QUESTIONS = [
    *((f"What is the capital of {country}?", city) for country, city in CAPITALS.items()),
    *((f"What is the opposite of {word}?", other) for word, other in OPPOSITES.items()),
    *((f"What is {a} plus {b}?", str(a + b)) for a, b in SUMS),
    *MORE.items(),
]


def run(home, *argv, **options):
    env = {**os.environ, "SCRIMP_HOME": str(home)}
    argv = [sys.executable, "-m", "scrimp", *map(str, argv)]
    return subprocess.run(argv, env=env, capture_output=True, text=True, check=True, cwd=home, **options).stdout


def right(pattern, text):
    return re.search(rf"(?i)\b({pattern})\b", text) is not None


def ask_all(home, profile):
    from scrimp import Scrimp

    client = Scrimp(profile, home=home, seed=7)
    for turn, suffix in enumerate(("", " Please answer briefly.")):
        for i, (question, pattern) in enumerate(QUESTIONS):
            options = {"checks": f"re:(?i)\\b({pattern})\\b"} if i % 2 == turn else {}
            if i % 4 == turn:
                options["plan"] = "careful"
            elif i % 3 == 0:
                options["arm"] = ARMS[(i // 3 + turn) % 3][0]
            answer = client.ask(question + suffix, **options)
            if "checks" not in options:
                client.rate(answer.id, "good" if right(pattern, answer.text) else "bad")
        print(run(home, "refit", "-p", profile).splitlines()[0], file=sys.stderr)


def fight(home, profile):
    """Judge duels at a terminal as a person would who knows the answers: by what is printed of the two."""
    file = home / "duels.txt"
    file.write_text("".join(f"{question}\n" for question, _ in QUESTIONS[::2]))
    key = dict(QUESTIONS)
    env = {**os.environ, "SCRIMP_HOME": str(home), "COLUMNS": "60", "NO_COLOR": "1", "TERM": "dumb"}
    master, slave = pty.openpty()
    argv = [sys.executable, "-m", "scrimp", "duel", "-f", str(file), "-p", str(profile), "--max-cost", "1"]
    process = subprocess.Popen(argv, stdin=slave, stdout=slave, stderr=slave, env=env, start_new_session=True)
    os.close(slave)
    said = ""
    try:
        while True:
            ready, _, _ = select.select([master], [], [], QUIET_S)
            data = os.read(master, 65_536) if ready else b""
            if not data:  # after the last one it waits, in case that is taken back
                os.write(master, b"q\n")
                continue
            said += data.decode("utf-8", "replace")
            if not said.endswith("q stop: "):
                continue
            question = next(each for each in key if each in said)
            first, second = said.rpartition("--- answer 1")[2].split("--- answer 2", 1)
            good = right(key[question], first), right(key[question], second)
            verdict = {(True, True): "=", (False, False): "0", (True, False): "1", (False, True): "2"}[good]
            os.write(master, f"{verdict}\n".encode())
            said = ""
    except OSError:  # the other end is closed
        pass
    process.wait()
    os.close(master)


def spread(home):
    """Date what happened back over some days, in its order."""
    conn = sqlite3.connect(home / "scrimp.db")
    (n,) = conn.execute("SELECT count(*) FROM requests").fetchone()
    now = datetime.fromisoformat(conn.execute("SELECT max(created_at) FROM requests").fetchone()[0])
    for i, (of,) in enumerate(conn.execute("SELECT id FROM requests ORDER BY n").fetchall()):
        at = now - timedelta(days=DAYS * (1 - (i + 1) / n) ** 1.3)
        text = at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        conn.execute("UPDATE requests SET created_at = ? WHERE id = ?", (text, of))
        conn.execute(
            "UPDATE reservations SET at = ?, day = ?, month = ? WHERE request_id = ?", (text, text[:10], text[:7], of)
        )
        conn.execute("UPDATE attempts SET started_at = ? WHERE request_id = ?", (text, of))
    conn.commit()
    conn.close()


def picture(page, path, height):
    import io

    from PIL import Image

    image = Image.open(io.BytesIO(page.picture(height=height))).convert("RGB")
    image.quantize(255, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE).save(path, optimize=True)
    print(f"{path}: {image.width} x {image.height}, {path.stat().st_size / 1000:.0f} kB", file=sys.stderr)


def shoot(report, out):
    from browser import Browser

    with Browser() as browser:
        page = browser.open(report, width=1280)
        end = page.run("document.getElementById('plans').getBoundingClientRect().top + scrollY")
        picture(page, out / "report-page.png", round(end) - 20)
        page = browser.open(report, width=390, dark=True)
        picture(page, out / "report-page-phone.png", 1600)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "docs")
    parser.add_argument("--keep", type=Path, help="the folder of the demo; one that is there is not asked again")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        home = (given.keep or Path(made)).absolute()
        profile = home / "demo.toml"
        if not profile.exists():
            home.mkdir(parents=True, exist_ok=True)
            names = ("name", "tier", "limit", "system", "price", "out")
            profile.write_text(PROFILE + "".join(ARM.format(**dict(zip(names, arm, strict=True))) for arm in ARMS))
            ask_all(home, profile)
            fight(home, profile)
            spread(home)
        report = home / "report.html"
        run(home, "report", "--html", report, "-p", profile)
        shoot(report, given.out)


if __name__ == "__main__":
    main()
