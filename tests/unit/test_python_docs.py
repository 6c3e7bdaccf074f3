"""docs/python.md, run as it stands: every block in its order, and what stands after `# ->` compared."""

import ast
import asyncio
import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "python.md"
SHOWN = re.compile(r"^(?P<said>\S.*?) +# -> (?P<got>.+)$")


def blocks(text):
    return re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def run(block, names):
    """Run a block; return how many values were compared."""
    n_compared, waiting = 0, []
    for line in block.splitlines():
        shown = SHOWN.match(line)
        if shown is None:
            waiting.append(line)
            continue
        exec("\n".join(waiting), names)
        waiting = []
        assert repr(eval(shown["said"], names)) == shown["got"], line
        n_compared += 1
    exec("\n".join(waiting), names)
    return n_compared


@pytest.fixture
def work(home, profile):
    """A profile called work: `small` is cheap, `sums` is dear and answers in JSON."""
    (home / "profiles").mkdir(parents=True)
    before, sums, after = profile(small="ok", sums="json", name="work").read_text().partition('name = "sums"')
    dear = after.replace("output_usd_per_mtok = 4", "output_usd_per_mtok = 400")
    (home / "profiles" / "work.toml").write_text(before + sums + dear)


def test_the_page_is_true(work, capfd):
    names = {}
    assert sum(run(block, names) for block in blocks(PAGE.read_text())) > 15
    out, err = capfd.readouterr()
    assert "small" in out
    assert err == ""
    assert names["s"].profile == "work"


def test_the_readmes_example_runs(work, capfd):
    (block,) = blocks((PAGE.parents[1] / "README.md").read_text().partition("## From Python")[2].partition("\n## ")[0])
    names = {}
    code = compile(block, "README.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    asyncio.run(eval(code, names))
    names["s"].close()
    out, err = capfd.readouterr()
    assert out.endswith("\nsmall\n")
    assert err == ""
