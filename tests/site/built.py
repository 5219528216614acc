"""The built book's pages, what a browser is asked about each, and waiting."""

from dataclasses import dataclass
from pathlib import Path

from selenium.common.exceptions import TimeoutException
from selenium.webdriver.support.ui import WebDriverWait

HTML = Path(__file__).resolve().parents[2] / "build" / "site" / "tiny" / "_build" / "html"
PAGES = [
    path.relative_to(HTML).as_posix()
    for path in sorted(HTML.rglob("*.html"))
    if "_static" not in path.parts and path.name not in ("genindex.html", "search.html")
]

# What a page shows. MathJax draws what it does not understand in red and reports no error.
LOOK = """
const texts = (selector, keep) => [...document.querySelectorAll(selector)].filter(keep || (() => true)).map(e => e.textContent);
return {
  ready: document.readyState === 'complete',
  formulae: document.querySelectorAll('.math').length,
  undrawn: texts('.math', e => !e.querySelector('mjx-container')),
  red: texts('mjx-merror, mjx-assistive-mml mtext[mathcolor="red"], mjx-assistive-mml merror'),
  broken: [...document.images].filter(i => !i.complete || i.naturalWidth === 0).map(i => i.src.slice(0, 200)),
  views: document.querySelectorAll('script[type="application/vnd.jupyter.widget-view+json"]').length,
  drawn: document.querySelectorAll('.widget-subarea .jupyter-widgets').length,
  wide: document.documentElement.scrollWidth - document.documentElement.clientWidth,
}"""


@dataclass(frozen=True)
class Visit:
    """What the browser saw on one page: `look` (see LOOK), URLs asked for outside, failed loads, console errors."""

    look: dict
    outside: list
    failed: list
    errors: list


def until(condition, seconds=20):
    """Wait until the condition gives something true and return that; what it gives last when time is over."""
    try:
        return WebDriverWait(None, seconds, poll_frequency=0.1).until(lambda _: condition())
    except TimeoutException:
        return condition()
