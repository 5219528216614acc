"""What a reader uses beside the text: themes, phone, print, search, bibliography, buttons, links; one test a tool."""

import re

import pytest
from built import HTML, PAGES, until
from selenium.webdriver.common.by import By

CHAPTERS = [page for page in PAGES if re.match(r"notebooks/(petrini2021|tomasini2023|ruderman2018|slides2022)/", page)]
PHONE = {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True}
WIDE = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
PAPER = {"width": 794, "height": 1123, "deviceScaleFactor": 1, "mobile": False}  # A4 at 96 dots an inch
# The least contrast of a figure's words against the page, and of a verdict's words against their ground.
CONTRAST = """
const channel = value => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
const parts = colour => colour.match(/[\\d.]+/g).map(Number);
const light = colour => {
  const [r, g, b] = parts(colour).map(value => channel(value / 255));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const ground = element => {
  const [, , , opaque = 1] = parts(getComputedStyle(element).backgroundColor);
  return opaque || !element.parentElement ? getComputedStyle(element).backgroundColor : ground(element.parentElement);
};
const shown = [...document.querySelectorAll(arguments[0])]
  .filter(e => e.textContent.trim() && e.getClientRects().length);
const worst = shown.map(e => {
  const style = getComputedStyle(e), colour = e.ownerSVGElement ? style.fill : style.color;
  const behind = ground(e.ownerSVGElement ? e.ownerSVGElement.parentElement : e);
  const [a, b] = [light(colour), light(behind)].sort((x, y) => y - x);
  return [(a + 0.05) / (b + 0.05), e.textContent.slice(0, 40)];
}).sort((x, y) => x[0] - y[0]);
return worst.length ? worst[0] : null"""


@pytest.fixture
def screen(browser):
    """screen(metrics) makes the browser a phone or a sheet of paper, until the test ends."""
    yield lambda metrics: browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(
    "page", ["notebooks/petrini2021/04_error.html", "notebooks/ruderman2018/03_learned_stability.html"]
)
def test_figures_take_the_colours_of_the_theme(address, browser, page, theme):
    browser.get(address + page)
    browser.execute_script("document.documentElement.dataset.theme = arguments[0]", theme)
    assert browser.find_elements(By.CSS_SELECTOR, "figure svg.figure")
    black = "svg.figure text:not([style*='--ink-']), svg.figure text[style*='--ink-000000']"
    found = until(lambda: (browser.execute_script(CONTRAST, black) or [0])[0] > 4.5, 5)
    assert found, browser.execute_script(CONTRAST, black)
    assert browser.execute_script(CONTRAST, ".cell_output .output.text_html :is(td, th, p, summary)")[0] > 4.5


def test_the_front_page_bends_a_picture(address, browser):
    """Without a kernel: a slider changes the pictures and the numbers, and folds are marked in words."""
    browser.get(address + "notebooks/index.html")
    until(lambda: browser.find_elements(By.CSS_SELECTOR, ".bend-or-noise[data-live='true']"), 20)
    state = (
        "const box = document.querySelector('.bend-or-noise'); return [box.querySelectorAll('canvas')[4].toDataURL(),"
        "box.querySelector('.value').textContent, box.querySelector('.folds').textContent]"
    )
    before = browser.execute_script(state)
    assert "→" in before[1]
    assert "does not fold" in before[2]
    for name, value in (("delta", 6), ("cut", 4)):
        browser.execute_script(
            "const input = document.querySelector(`.bend-or-noise input[name='${arguments[0]}']`);"
            "input.value = arguments[1]; input.dispatchEvent(new Event('input'))",
            name,
            value,
        )
    after = browser.execute_script(state)
    assert after[0] != before[0]
    assert after[1] != before[1]
    assert "folds" in after[2]
    assert "no diffeomorphism" in after[2]


def test_the_front_page_fits_a_phone(address, browser, screen):
    screen(PHONE)
    browser.get(address + "notebooks/index.html")
    until(lambda: browser.find_elements(By.CSS_SELECTOR, ".bend-or-noise[data-live='true']"), 20)
    assert browser.execute_script(WIDE) <= 0
    right = (
        "return Math.max(...[...document.querySelectorAll('.bend-or-noise *, .prev-next-area p')].map(e => "
        "e.getBoundingClientRect().right))"
    )
    assert browser.execute_script(right) <= 390
    assert not browser.execute_script("return document.querySelectorAll('[data-wide]').length")  # the tally fits, too


@pytest.mark.parametrize("page", CHAPTERS)
def test_the_first_thing_on_a_phone_is_the_page(address, browser, screen, page):
    """Not its provenance; and a figure that is wider than the screen says so."""
    screen(PHONE)
    browser.get(address + page)
    text = browser.find_element(By.CSS_SELECTOR, ".bd-article").text
    assert "Executed with" not in text[:600]
    hints = (
        "return [...document.querySelectorAll('figure:has(svg.figure)')].map(e => getComputedStyle(e, "
        "'::before').content)"
    )
    assert all("scroll" in hint for hint in browser.execute_script(hints))


@pytest.mark.parametrize(
    "page", ["notebooks/across/all_networks.html", "notebooks/ruderman2018/02_deformations.html", "book/notation.html"]
)
def test_a_wide_table_or_equation_says_so(address, browser, screen, page):
    screen(PHONE)
    browser.get(address + page)
    marked = "return [...document.querySelectorAll('[data-wide]')].map(e => getComputedStyle(e, '::before').content)"
    silent = (
        'return [...document.querySelectorAll(".bd-article :is(.table-frame, '
        ".pst-scrollable-table-container, mjx-container[display='true'])\")]"
        ".filter(e => e.scrollWidth > e.clientWidth + 2 && !e.closest('[data-wide]')).length"
    )
    assert until(lambda: browser.execute_script(marked))
    assert all("scroll" in hint for hint in browser.execute_script(marked))
    assert until(lambda: browser.execute_script(silent) == 0)


@pytest.mark.parametrize(
    "page",
    [
        "notebooks/petrini2021/04_error.html",
        "notebooks/probe.html",
        "notebooks/claims.html",
        "notebooks/across/all_networks.html",
    ],
)
def test_print_cuts_nothing(address, browser, screen, page):
    screen(PAPER)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    browser.get(address + page)
    cut = (
        "return [...document.querySelectorAll('.bd-article :is(pre, figure, table, .table-frame)')].filter(e => "
        "e.getClientRects().length && getComputedStyle(e).overflowX !== 'visible'"
        " && (e.scrollWidth > e.clientWidth + 2 || e.scrollHeight > e.clientHeight + 2))"
        ".map(e => e.textContent.slice(0, 60))"
    )
    assert browser.execute_script(cut) == []


def test_a_printed_chapter_has_its_number_and_no_bars(address, browser, screen):
    """One title, numbered; what is folded away leaves no empty bar."""
    screen(PAPER)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    browser.get(f"{address}notebooks/ruderman2018/03_learned_stability.html")
    titles = [title.text for title in browser.find_elements(By.CSS_SELECTOR, "h1") if title.is_displayed()]
    assert len(titles) == 1 and re.match(r"\d+\. ", titles[0])
    bars = browser.find_elements(By.CSS_SELECTOR, ".bd-article details.hide > summary")
    assert bars and not any(bar.is_displayed() for bar in bars)


def test_every_row_of_the_ledger_is_printed(address, browser, screen):
    """As one line: sections are unfolded on paper, what a row unfolds to is not."""
    screen(PAPER)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    browser.get(f"{address}notebooks/claims.html")
    heights = "return [...document.querySelectorAll('.claim')].map(row => row.getBoundingClientRect().height)"
    found = browser.execute_script(heights)
    assert len(found) > 200
    assert min(found) > 5 and sum(found) / len(found) < 120


@pytest.mark.parametrize("word", ["b-5-slope", "a-prop1-drift"])
def test_search_knows_ids(address, browser, word):
    """As one word: few pages have it, and the one that judges it is among them."""
    browser.get(f"{address}search.html?q={word}")
    found = until(lambda: browser.find_elements(By.CSS_SELECTOR, "ul.search li a"))
    assert found
    assert len(found) <= 8


def test_figures_have_one_numbering():
    numbers = [
        number
        for page in PAGES
        for number in re.findall(r'<span class="caption-number">Fig\. ([\d.]+) ?</span>', (HTML / page).read_text())
    ]
    assert len(numbers) > 30
    assert len(set(numbers)) == len(numbers)
    assert all(re.fullmatch(r"\d+\.\d+", number) for number in numbers)


def test_the_bibliography_has_links_and_tells_papers_apart():
    text = (HTML / "book" / "bibliography.html").read_text()
    entries = re.findall(r'<div class="citation".*?</div>', text, re.DOTALL)
    assert len(entries) >= 15
    without = [entry for entry in entries if 'class="reference external"' not in entry]
    assert len(without) <= 1  # slides of a retreat
    labels = re.findall(r'<span class="fn-bracket">\[</span>(.*?)<span', text)
    assert len(set(labels)) == len(labels)
    assert "2021a" in text
    assert "2021b" in text
    assert "@software" in text  # how to cite this book


def test_public_addresses_hang_on_one_switch():
    for page in PAGES:
        text = (HTML / page).read_text()
        assert "mybinder.org/v2" not in text, page
        assert "/issues/new" not in text, page


@pytest.mark.parametrize(("name", "function"), [("diffeo", "sample_coefficients"), ("sensitivity", "sensitivity")])
def test_two_modules_are_annotated(name, function):
    text = (HTML / "book" / "api" / f"measured-{name}.html").read_text()
    assert text.count('class="highlight') > 5
    assert f'<p class="rubric">{function}</p>' in text
    assert 'class="math notranslate nohighlight"' in text
    assert not re.search(r":math:|:param|\.\. math::|&gt;&gt;&gt; .*</p>", text), (
        "prose that no one has read as reStructuredText"
    )


def test_the_reference_leads_to_source():
    pages = [page for page in PAGES if page.startswith("_modules/relstab/")]
    assert len(pages) > 5
    assert "_modules/relstab" in (HTML / "book" / "api" / "deformations.html").read_text()


def test_pages_say_what_they_are_and_when_they_were_made():
    for page in CHAPTERS:
        text = (HTML / page).read_text()
        found = re.search(r'<meta property="og:description" content="([^"]{60,})"', text)
        assert found, page
        assert "Last updated on" in text
