"""The pages in a real browser: at the width of a phone and of a desk, dark and light, with texts that mean harm."""

import contextlib
import io
import itertools
import socket
import threading

import pytest
from browser import Browser, needs_browser
from pages import HARM, harm, home_of

from scrimp.routing.reports.page.document import document
from scrimp.routing.reports.page.markup import Markup

pytestmark = needs_browser

WAYS = [*itertools.product((390, 1280), (False, True))]

CONTRAST = """
(() => {
  const numbers = (colour) => (colour.match(/[\\d.]+/g) || []).map(Number);
  const light = (rgb) => {
    const part = rgb.slice(0, 3).map((v) => v / 255).map((v) => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * part[0] + 0.7152 * part[1] + 0.0722 * part[2];
  };
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const found = numbers(getComputedStyle(at).backgroundColor);
      if (found.length === 3 || found[3] === 1) return found;
    }
    throw new Error("no background");
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const poor = [];
  let seen = 0;
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !element.getClientRects().length) continue;
    if (["SCRIPT", "STYLE", "title", "desc"].includes(element.tagName)) continue;
    const style = getComputedStyle(element);
    const ink = light(numbers(element instanceof SVGElement ? style.fill : style.color));
    const paper = light(behind(element));
    const ratio = (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05);
    seen += 1;
    if (ratio < 4.5) poor.push([walker.currentNode.data.trim().slice(0, 40), ratio]);
  }
  return { seen, poor };
})()
"""

CHARTS = """
[...document.querySelectorAll("figure")].map((figure) => {
  const shown = [...figure.querySelectorAll("svg")].filter((svg) => svg.getClientRects().length);
  const box = shown.length ? shown[0].getBoundingClientRect() : { width: 0, height: 0, left: 0, right: 0 };
  const texts = shown.length ? [...shown[0].querySelectorAll("text")].map((each) => each.getBoundingClientRect()) : [];
  return {
    n: shown.length, width: box.width, height: box.height, left: box.left, right: box.right,
    named: shown.length && shown[0].querySelector("title").textContent !== "" && shown[0].querySelector("desc").textContent !== "",
    small: Math.min(...texts.map((each) => each.height)), inside: texts.every((each) => each.left >= 0 && each.right <= innerWidth),
    drawn: shown.length ? shown[0].querySelectorAll("rect:not(.hover), circle, path").length : 0,
  };
})
"""


@pytest.fixture(scope="module")
def browser():
    with Browser() as found:
        yield found


@pytest.fixture
def pages(scrimp, home, tmp_path):
    """Write both pages of a log; return their files."""

    def make(**options):
        home_of(home, **options)
        found = {}
        for name, argv in (("report", ("report", "--html")), ("log", ("log", "browse", "-n", "60", "--output"))):
            found[name] = tmp_path / f"{name}.html"
            assert scrimp(*argv, found[name]).code == 0
        return found

    return make


def is_still(page, title):
    """The page loaded nothing, said nothing, and nothing in it ran but its own script."""
    assert page.complaints() == []
    assert page.requests() == []
    assert page.run("document.title").startswith(title)
    assert page.run("document.querySelectorAll('script, style').length") == 2
    assert page.run("document.querySelectorAll('img, iframe, link, base, object, embed').length") == 0
    handlers = "[...document.querySelectorAll('*')].some((e) => [...e.attributes].some((a) => a.name.startsWith('on')))"
    assert page.run(handlers) is False


def fits(page):
    assert page.run("document.documentElement.scrollWidth - innerWidth") <= 0


def test_both_pages_at_both_widths_dark_and_light(browser, pages, tmp_path):
    image = pytest.importorskip("PIL.Image")
    found = pages(n=200)
    papers = {}
    for (name, path), (width, dark) in itertools.product(found.items(), WAYS):
        page = browser.open(path, width=width, dark=dark)
        is_still(page, f"scrimp {name}")
        fits(page)
        contrast = page.run(CONTRAST)
        assert contrast["seen"] > 100
        assert contrast["poor"] == []
        picture = image.open(io.BytesIO(page.picture())).convert("RGB")
        assert picture.width == width
        assert picture.height > 1500
        assert len(picture.getcolors(1 << 24)) > 60  # it is not blank
        papers[name, width, dark] = picture.getpixel((2, 2))
        # And with everything open.
        page.run("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
        fits(page)
        assert page.run(CONTRAST)["poor"] == []
        page.close()
    assert {papers[key] for key in papers if key[2]} == {(20, 23, 26)}
    assert {papers[key] for key in papers if not key[2]} == {(251, 251, 249)}


def test_every_chart_is_there_with_its_words_at_a_size_to_be_read(browser, pages):
    path = pages(n=200)["report"]
    for width, scripts in ((390, True), (1280, True), (768, True), (390, False), (1280, False)):
        page = browser.open(path, width=width, scripts=scripts)
        fits(page)
        if not scripts:  # what a page without scripts is can be asked of it all the same
            page.ask("Emulation.setScriptExecutionDisabled", value=False)
        charts = page.run(CHARTS)
        assert len(charts) == 11
        for chart in charts:
            assert chart["n"] == 1  # that of this width alone
            assert chart["width"] > 280
            assert chart["height"] > 60
            assert chart["left"] >= 0
            assert chart["right"] <= width
            assert chart["named"]
            assert chart["drawn"] > 1
            assert chart["small"] > 9
            assert chart["inside"]
        page.close()


def test_hostile_texts_are_inert(browser, pages):
    found = pages(n=4 * len(HARM), word=harm)
    for (name, path), (width, dark) in itertools.product(found.items(), WAYS):
        page = browser.open(path, width=width, dark=dark)
        page.run("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
        page.run("document.querySelectorAll('[tabindex]').forEach((each) => { each.focus(); })")
        is_still(page, f"scrimp {name}")
        fits(page)
        assert page.run("getComputedStyle(document.querySelector('h1')).display") == "block"
        assert page.run("document.querySelectorAll('h1').length") == 1
        if name == "log":
            rows = page.run("[...document.querySelectorAll('.log > details > summary')].map((e) => e.offsetHeight)")
            assert len(rows) == 60
            assert max(rows) < 130  # none pushes the others away
        else:
            longest = page.run("Math.max(...[...document.querySelectorAll('.ask')].map((e) => e.offsetHeight))")
            assert longest < 520
        page.close()


def test_what_got_in_all_the_same_would_not_run(browser, tmp_path):
    heard = []

    def listen(listening):
        with contextlib.suppress(OSError):
            while True:
                with listening.accept()[0] as caller:
                    caller.settimeout(2)
                    with contextlib.suppress(TimeoutError):  # one that was opened ahead, and then not allowed
                        heard.append(caller.recv(100))

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=listen, args=(listening,), daemon=True).start()
        there = f"http://127.0.0.1:{listening.getsockname()[1]}"
        smuggled = Markup(
            f"<img src={there}/a onerror=\"document.title='owned'\"><script>document.title = 'owned'</script>"
            f"<script src={there}/b></script><link rel=stylesheet href={there}/c><iframe src={there}/d></iframe>"
            f"<p id=styled style='color: rgb(1, 2, 3)' onclick=\"document.title='owned'\">text</p>"
            f"<form action={there}/e id=form></form><style>h1 {{ display: none }}</style>"
        )
        path = tmp_path / "page.html"
        path.write_text(document("report", "mine", [Markup("<h1>mine</h1>"), smuggled]))
        page = browser.open(path, width=1280)
        page.run("document.getElementById('styled').click(); document.getElementById('form').submit()")
        page.run(f"fetch('{there}/f').catch(() => null)")
        assert page.run("document.title") == "mine"
        assert page.run("getComputedStyle(document.getElementById('styled')).color") != "rgb(1, 2, 3)"
        assert page.run("getComputedStyle(document.querySelector('h1')).display") == "block"
        assert any("Content Security Policy" in each for each in page.complaints())
        assert [each for each in heard if each] == []
        page.close()


def test_tables_are_sorted_the_log_is_searched_and_the_theme_is_turned(browser, pages):
    found = pages(n=120)
    page = browser.open(found["report"], width=1280)
    column = "[...document.querySelectorAll('#front table tbody tr')].map((row) => Number(row.cells[3].dataset.v))"
    click = "document.querySelectorAll('#front table thead button')[3].click()"
    before = page.run(column)
    page.run(click)
    assert page.run(column) == sorted(before, reverse=True) != before
    page.run(click)
    assert page.run(column) == sorted(before)
    light = page.run("getComputedStyle(document.body).backgroundColor")
    page.run("document.getElementById('theme').click()")
    assert page.run("getComputedStyle(document.body).backgroundColor") != light
    page.close()
    page = browser.open(found["log"], width=1280)
    of = page.run("document.querySelectorAll('.log > details')[7].id").removeprefix("r")
    search = (
        f"(() => {{ const box = document.getElementById('find'); box.value = 'Question {of.upper()}'; "
        "box.dispatchEvent(new Event('input')); "
        "return [...document.querySelectorAll('.log > details')].filter((each) => !each.hidden).map((each) => each.id); })()"
    )
    assert page.run(search) == [f"r{of}"]
    assert page.run("document.getElementById('found').textContent") == "1 of 60"
    page.close()
    page = browser.open(found["log"], width=1280, scripts=False)
    page.ask("Emulation.setScriptExecutionDisabled", value=False)
    assert page.run("getComputedStyle(document.getElementById('finder')).display") == "none"  # it would do nothing
    page.close()


def test_on_paper_it_is_black_on_white_with_the_numbers(browser, pages):
    page = browser.open(pages(n=60)["report"], width=1280, dark=True)
    page.ask("Emulation.setEmulatedMedia", media="print", features=[{"name": "prefers-color-scheme", "value": "dark"}])
    assert page.run("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.run("getComputedStyle(document.body).color") == "rgb(0, 0, 0)"
    assert page.run("getComputedStyle(document.querySelector('nav')).display") == "none"
    assert page.run(CONTRAST)["poor"] == []
    page.run("dispatchEvent(new Event('beforeprint'))")
    assert page.run("[...document.querySelectorAll('figure details')].every((each) => each.open)")
    assert len(page.ask("Page.printToPDF")["data"]) > 10_000
    page.close()


def test_a_page_of_nothing_fits_too(browser, scrimp, home, tmp_path):
    path = tmp_path / "empty.html"
    assert scrimp("report", "--html", path).code == 0
    for width, dark in WAYS:
        page = browser.open(path, width=width, dark=dark)
        is_still(page, "scrimp report")
        fits(page)
        assert page.run(CONTRAST)["poor"] == []
        page.close()
