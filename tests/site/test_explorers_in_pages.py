"""The explorers in the built book: by mouse and by keyboard, on a phone, in both themes."""

import pytest
from built import HTML, PAGES, until
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

SHOWN = "return [...document.querySelectorAll('.explorer .frame')].map(frame => frame.innerHTML)"
MIDDLE = "arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})"
WITH_EXPLORERS = [page for page in PAGES if "jupyter.widget-view+json" in (HTML / page).read_text()]
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
return [...document.querySelectorAll('.explorer :is(.frame, td, th, label, select, .widget-readout)')]
  .filter(element => element.offsetWidth && element.textContent.trim())
  .map(element => {
    const [a, b] = [light(getComputedStyle(element).color), light(ground(element))].sort((x, y) => y - x);
    return [(a + 0.05) / (b + 0.05), element.className + ' ' + element.textContent.slice(0, 30)];
  })
  .sort((x, y) => x[0] - y[0])[0]"""


@pytest.fixture(scope="module", params=WITH_EXPLORERS)
def explored(request, address, browser):
    """The address of a page with explorers, open and drawn; tests of one page follow each other."""
    browser.get(address + request.param)
    assert until(lambda: browser.execute_script(SHOWN))
    return address + request.param


def parts(browser, selector):
    return browser.find_elements(By.CSS_SELECTOR, f".explorer {selector}")


def changed(browser, before):
    return until(lambda: browser.execute_script(SHOWN) not in ([], before), 10)


def test_lists_change_the_picture_by_keyboard(explored, browser):
    for index in range(len(parts(browser, "select"))):
        chosen = parts(browser, "select")[index]
        options = chosen.find_elements(By.TAG_NAME, "option")
        if len(options) > 1:
            before = browser.execute_script(SHOWN)
            chosen.send_keys(Keys.ARROW_UP if options[-1].is_selected() else Keys.ARROW_DOWN)
            assert changed(browser, before), chosen.get_attribute("innerText")


def test_sliders_follow_the_mouse(explored, browser):
    for slider in parts(browser, ".widget-slider .noUi-target"):
        before = browser.execute_script(SHOWN)
        browser.execute_script(MIDDLE, slider)
        handle = slider.find_element(By.CSS_SELECTOR, ".noUi-handle")
        side = 1 if float(handle.get_attribute("aria-valuenow")) == 0 else -1
        ActionChains(browser).drag_and_drop_by_offset(handle, side * slider.size["width"], 0).perform()
        assert changed(browser, before)


def test_sliders_say_their_name_and_their_value(explored, browser):
    for slider in parts(browser, ".widget-slider"):
        handle = slider.find_element(By.CSS_SELECTOR, ".noUi-handle")
        before = browser.execute_script(SHOWN)
        at_start = float(handle.get_attribute("aria-valuenow")) == 0
        handle.send_keys(Keys.ARROW_RIGHT if at_start else Keys.ARROW_LEFT)
        assert changed(browser, before)
        for part, attribute in ((".widget-label", "aria-label"), (".widget-readout", "aria-valuetext")):
            text = slider.find_element(By.CSS_SELECTOR, part).text
            assert text
            assert until(lambda h=handle, a=attribute, t=text: h.get_attribute(a) == t, 5)


def test_switches_hide_and_show_by_mouse_and_keyboard(explored, browser):
    for box in parts(browser, ".widget-checkbox"):
        name = next(word for word in box.get_attribute("class").split() if word.startswith("switch-")).removeprefix(
            "switch-"
        )
        drawn = parts(browser, f".frame .{name}")
        tick = box.find_element(By.TAG_NAME, "input")
        browser.execute_script(MIDDLE, tick)
        assert [part.is_displayed() for part in drawn] == [True] * len(drawn)
        tick.click()
        assert [part.is_displayed() for part in drawn] == [False] * len(drawn)
        tick.send_keys(Keys.SPACE)
        assert [part.is_displayed() for part in drawn] == [True] * len(drawn)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_texts_stand_out_in_both_themes(explored, browser, theme):
    browser.execute_script("document.documentElement.dataset.theme = arguments[0]", theme)
    assert until(lambda: browser.execute_script(CONTRAST)[0] > 4.5, 5), browser.execute_script(CONTRAST)


def test_explorers_fit_a_phone(explored, browser):
    phone = {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
    try:
        browser.get(explored)
        until(lambda: browser.execute_script(SHOWN))
        right = (
            "return Math.max(...[...document.querySelectorAll('.explorer, .explorer *')]"
            ".map(element => element.getBoundingClientRect().right))"
        )
        wide = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert until(lambda: browser.execute_script(right) <= 390, 5), browser.execute_script(right)
        assert browser.execute_script(wide) <= 0
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_some_page_has_each_kind_of_control(address, browser):
    """Else the tests above would look at nothing."""
    found = set()
    for page in WITH_EXPLORERS:
        browser.get(address + page)
        until(lambda: browser.execute_script(SHOWN))
        found |= {kind for kind in ("slider", "dropdown", "checkbox") if parts(browser, f".widget-{kind}")}
    assert found == {"slider", "dropdown", "checkbox"}
