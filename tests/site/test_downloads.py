"""Each notebook page offers files that are there and are what their names say."""

import csv
import json
from html.parser import HTMLParser

import pytest
from built import HTML, PAGES

NOTEBOOKS = [page for page in PAGES if page.startswith("notebooks/")]


class Links(HTMLParser):
    """The targets of the download links of a page."""

    def __init__(self, page):
        super().__init__()
        self.found = []
        self.feed((HTML / page).read_text())

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        if tag == "a" and "download" in (values.get("class") or "").split():
            self.found.append(values["href"])


def files(page):
    return {path.name: path for path in ((HTML / page).parent / link for link in Links(page).found)}


@pytest.mark.parametrize("page", NOTEBOOKS)
def test_downloads_are_there_and_valid(page):
    found = files(page)
    stem = page.rpartition("/")[2].removesuffix(".html")
    assert {f"{stem}.md", f"{stem}.ipynb"} <= set(found)
    labels = {name.rpartition(".")[0] for name in found if name.startswith("fig-") and name.endswith(".svg")}
    assert labels == {name.rpartition(".")[0] for name in found if name.endswith(".pdf")}
    for label in labels:
        assert f'id="{label}"' in (HTML / page).read_text()
    for name, path in found.items():
        content = path.read_bytes()
        if name.endswith(".ipynb"):
            cells = json.loads(content)["cells"]
            assert any(cell.get("outputs") for cell in cells)
        elif name.endswith(".svg"):
            assert content.startswith(b"<?xml")
            assert b"</svg>" in content[-20:]
        elif name.endswith(".pdf"):
            assert content.startswith(b"%PDF-")
            assert b"%%EOF" in content[-20:]
        elif name.endswith(".csv"):
            header, *rows = csv.reader(content.decode().splitlines())
            assert header
            assert all(len(row) == len(header) for row in rows)
        else:
            assert content.startswith(b"---\njupytext:")


def test_every_figure_of_a_page_is_offered():
    """One SVG for each picture that a notebook captions."""
    pictures = {page: (HTML / page).read_text().count("<figure") for page in NOTEBOOKS}
    assert sum(pictures.values()) > 10
    for page, count in pictures.items():
        assert sum(name.endswith(".svg") for name in files(page)) == count, page


def test_pages_stay_light():
    for page in PAGES:
        assert (HTML / page).stat().st_size < 1_500_000, page
