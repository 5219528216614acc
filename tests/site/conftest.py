"""The built book behind a local server, and a headless Chromium that can reach nothing else."""

import functools
import http.server
import shutil
import threading
from pathlib import Path

import pytest
from built import HTML, LOOK, Visit, traffic, until
from selenium import webdriver

FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-proxy-server",
    "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--window-size=1280,1600", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)  # fmt: skip


def pytest_collection_modifyitems(items):
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("site")


@pytest.fixture(scope="session")
def address():
    """http://127.0.0.1:<port>/ of the built book."""
    if not (HTML / "index.html").is_file():
        pytest.fail("the book is not built; run `python3 run.py book` first")

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(HTML)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="session")
def browser():
    """Chromium without name resolution: what is not on 127.0.0.1 cannot load, but is seen to be asked for."""
    program = shutil.which("chromium") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if program is None or driver is None:
        pytest.skip("Chromium and its driver are not installed here")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for flag in FLAGS:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    # the driver is named: selenium would otherwise look for one to download
    with webdriver.Chrome(options=options, service=webdriver.ChromeService(executable_path=driver)) as chrome:
        chrome.set_page_load_timeout(180)  # the first page of a busy machine takes a minute
        yield chrome


@pytest.fixture(scope="session")
def visit(address, browser):
    """visit(page): open a page, let it draw everything, and return the Visit; a page is opened once."""

    def settled():
        look = browser.execute_script(LOOK)
        done = look["ready"] and not look["undrawn"] and not look["broken"] and look["drawn"] >= look["views"]
        return look if done else None

    @functools.cache
    def visit(page):
        browser.get_log("performance")
        browser.get_log("browser")
        browser.get(address + page)
        until(settled)
        urls, failed = traffic(browser.get_log("performance"))
        errors = [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
        assert urls, "the browser logged no request; the check would be blind"
        outside = [url for url in urls if not url.startswith((address, "data:", "blob:", "about:"))]
        return Visit(browser.execute_script(LOOK), outside, failed, errors)

    return visit
