"""How pages are read, compared with what came, and rewritten."""

import pytest
from console_blocks import agrees, masked, read_page, rewritten, run_page, scrimps, shell_lines

PAGE = """# A page

<!-- $ echo hidden > made.txt
$ echo more >> made.txt -->
```console
$ cat made.txt
hidden
more
$ echo a \\
    b
a b
```
<!-- new home -->
```console
$ cat made.txt || echo gone
...
gone
```
<!-- not run: it would never end -->
```console
$ scrimp serve
```
```sh
VAR=1 scrimp ask "a; b" | scrimp rate good > out.txt   # and more
cat x | scrimp ask \\
  -q "c"
```

    scrimp log -n 5     the latest
"""


def test_a_page_is_typed_from_its_top_to_its_end(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    assert run_page(page) == ([], PAGE)


def test_what_drifted_is_said_with_its_place_and_mended(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(PAGE.replace("hidden\nmore\n$", "hidden\nand less\n$").replace("\na b\n", "\na c\n"))
    said, text = run_page(page)
    assert [each.splitlines()[0] for each in said] == ["page.md:6: $ cat made.txt", "page.md:9: $ echo a \\"]
    assert "-and less\n+more" in said[0]
    assert text == PAGE


def test_a_hidden_command_may_not_fail(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("<!-- $ ls nowhere -->\n")
    said, _ = run_page(page)
    assert said[0].startswith("page.md:1: $ ls nowhere\nended with 2: ")


def test_each_step_has_its_lines():
    steps = read_page(PAGE)
    assert [len(step.commands) for step in steps] == [2, 2, 0, 1, 1]
    assert [(command.line, command.shown) for command in steps[1].commands] == [(6, ["hidden", "more"]), (9, ["a b"])]
    assert steps[2].new_home
    assert steps[4].not_run == "it would never end"


def test_a_block_begins_with_a_command():
    with pytest.raises(ValueError, match="line 2"):
        read_page("```console\nscrimp ask\n```\n")


def test_command_lines_are_found_where_nothing_is_shown():
    lines = shell_lines(PAGE)
    assert [number for number, _ in lines] == [21, 24, 25, 29]
    assert [argv for _, text in lines for argv in scrimps(text)] == [
        ["serve"], ["ask", "a; b"], ["rate", "good"], ["ask", "-q", "c"], ["log", "-n", "5"],
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("shown", "got", "same"),
    [
        (["a 1.5 s", "b"], ["a 12 min", "b"], True),
        (["a  1.5 s  x"], ["a  1,112 ms     x"], True),
        (["a  $1.5  x"], ["a  $1.5     x"], False),
        (["run 01m8n0zejv45t7qvesmg459py5 of 2026-11-30"], ["run 01m8p4drxj0htgenckn1j5f5n7 of 2027-01-01"], True),
        (["97.5%"], ["97.6%"], False),
        (["a", "...", "z"], ["a", "b", "c", "z"], True),
        (["a", "...", "z"], ["a", "z"], True),
        (["a", "...", "z"], ["a", "b", "y"], False),
        (["...", "b", "..."], ["b"], True),
        (["The tallest ..."], ["The tallest mountain"], True),
        (["The tallest ..."], ["The highest mountain"], False),
        (["a"], ["a", ""], False),
        ([], [], True),
        ([], ["a"], False),
    ],
)
def test_what_varies_is_masked_and_all_else_compared(shown, got, same):
    assert agrees(shown, got) is same


def test_where_a_line_with_a_mask_was_wrapped_says_nothing():
    long = "[strong · $0.000014 · 1 of 1 checks passed · predicted quality 99% (similar"
    assert agrees([f"{long} models) · 1 s]"], [long, "  models) · 0.75 s]"])
    assert not agrees([f"{long} models)]"], [long, "  models)]"])
    assert masked("a  2026-11-30T11:53:41.094404Z    b  0.25 s") == "a  TIME  b  N"


@pytest.mark.parametrize(
    ("shown", "got", "new"),
    [
        (["a 1 s"], ["a 2 s"], ["a 1 s"]),
        (["a"], ["b", "c"], ["b", "c"]),
        (["a"], [], []),
        (["one a", "...", "the end"], ["one b", "x", "y", "the end"], ["one b", "...", "the end"]),
        (["...", "the step b", "..."], ["x", "y", "the step c", "z"], ["...", "the step c", "..."]),
        (
            ["plan a b", "...", "said it all", "2193"],
            ["plan a c", "x", "said it all", "a new line", "2193"],
            ["plan a c", "...", "said it all", "a new line", "2193"],
        ),
        (["the tallest is ...", "b"], ["the tallest is Everest", "c"], ["the tallest is ...", "c"]),
    ],
)
def test_a_page_is_rewritten_with_as_much_as_it_showed(shown, got, new):
    assert rewritten(shown, got) == new


def test_a_server_takes_a_free_port_and_the_page_shows_its_own(tmp_path):
    page = tmp_path / "page.md"
    text = (
        "```console\n$ python tests/server.py --port 8765 &\nhttp://127.0.0.1:8765/v1\n"
        '$ grep -c "127.0.0.1:8765" docs/examples/cascade.toml\n1\n```\n'
    )
    page.write_text(text)
    assert run_page(page) == ([], text)
