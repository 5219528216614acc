"""The built book's pages, what a browser is asked about each, and waiting."""

import json
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
const all = selector => [...document.querySelectorAll(selector)];
const texts = elements => elements.map(element => element.textContent);
return {
  ready: document.readyState === 'complete',
  formulae: all('.math').length,
  undrawn: texts(all('.math').filter(e => !e.querySelector('mjx-container'))),
  red: texts(all('mjx-merror, mjx-assistive-mml mtext[mathcolor="red"], mjx-assistive-mml merror')),
  broken: [...document.images].filter(i => !i.complete || i.naturalWidth === 0).map(i => i.src.slice(0, 200)),
  views: all('script[type="application/vnd.jupyter.widget-view+json"]').length,
  drawn: all('.widget-subarea .jupyter-widgets').length,
  wide: document.documentElement.scrollWidth - document.documentElement.clientWidth,
}"""


@dataclass(frozen=True)
class Visit:
    """What the browser saw on a page: `look` (see LOOK), requests outside, failed loads, console errors."""

    look: dict
    outside: list
    failed: list
    errors: list


def traffic(entries):
    """The URLs that a performance log says were asked for, and those of them that failed."""
    events = [json.loads(entry["message"])["message"] for entry in entries]

    def named(method):
        return [event["params"] for event in events if event["method"] == f"Network.{method}"]

    urls = {params["requestId"]: params["request"]["url"] for params in named("requestWillBeSent")}
    lost = [urls.get(params["requestId"], "?") for params in named("loadingFailed") if not params.get("canceled")]
    responses = [params["response"] for params in named("responseReceived")]
    return list(urls.values()), lost + [response["url"] for response in responses if response["status"] >= 400]


def until(condition, seconds=20):
    """Wait until the condition gives something true and return that; what it gives last when time is over."""
    try:
        return WebDriverWait(None, seconds, poll_frequency=0.1).until(lambda _: condition())
    except TimeoutException:
        return condition()
