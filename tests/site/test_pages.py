"""Every page of the built book, in a browser without network: it draws all and asks for nothing outside."""

import pytest
from built import HTML, PAGES, until
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

SHOWN = "return [...document.querySelectorAll('.explorer .frame')].map(frame => frame.innerHTML)"
LIGHT = 1_500_000  # bytes of a page, its explorers included
WITH_WIDGETS = [page for page in PAGES if "jupyter.widget-view+json" in (HTML / page).read_text()]


@pytest.mark.parametrize("page", PAGES)
class TestEveryPage:
    def test_asks_for_nothing_outside(self, visit, page):
        assert visit(page).outside == []

    def test_loads_everything(self, visit, page):
        assert visit(page).failed == []
        assert visit(page).look["broken"] == []

    def test_logs_no_error(self, visit, page):
        assert visit(page).errors == []

    def test_draws_its_maths(self, visit, page):
        assert visit(page).look["undrawn"] == []
        assert visit(page).look["red"] == []

    def test_draws_its_widgets(self, visit, page):
        look = visit(page).look
        assert look["drawn"] >= look["views"]

    def test_fits_its_window(self, visit, page):
        assert visit(page).look["wide"] <= 0

    def test_is_light(self, page):
        assert (HTML / page).stat().st_size < LIGHT


def test_some_page_has_maths_and_some_page_has_widgets(visit):
    """Else the tests above would look at nothing."""
    assert any(visit(page).look["formulae"] for page in PAGES)
    assert WITH_WIDGETS


@pytest.mark.parametrize("page", WITH_WIDGETS)
def test_each_slider_changes_the_picture(address, browser, page):
    browser.get(address + page)
    handles = until(lambda: browser.find_elements(By.CSS_SELECTOR, ".widget-slider .noUi-handle"))
    assert handles, "no slider was drawn"
    until(lambda: browser.execute_script(SHOWN))
    for handle in handles:
        before = browser.execute_script(SHOWN)
        browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", handle)
        at_end = handle.get_attribute("aria-valuenow") == handle.get_attribute("aria-valuemax")
        handle.send_keys(Keys.ARROW_LEFT if at_end else Keys.ARROW_RIGHT)
        until(lambda before=before: browser.execute_script(SHOWN) != before, 10)
        after = browser.execute_script(SHOWN)
        assert before
        assert after not in ([], before)


def test_search_finds_a_page(address, browser):
    browser.get(address + "search.html?q=diffeomorphisms")
    found = until(lambda: browser.find_elements(By.CSS_SELECTOR, "ul.search li a"))
    assert any("notebooks/" in link.get_attribute("href") for link in found)


def test_a_phone_sees_no_sideways_scrolling(address, browser):
    browser.set_window_size(500, 900)  # the narrowest window Chromium grants
    try:
        for page in PAGES:
            browser.get(address + page)
            wide = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
            assert until(lambda wide=wide: browser.execute_script(wide) <= 0, 5), page
    finally:
        browser.set_window_size(1280, 1600)
