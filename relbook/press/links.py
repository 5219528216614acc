"""Check a site without a browser: local links, anchors and files exist, nothing is loaded from a network.

Serves the book. Sphinx does not look at raw `<a href>`, at what the theme loads, or at pages it did not
write. Links to other sites are counted and not followed.

>>> import pathlib, tempfile
>>> from relbook.press import links
>>> with tempfile.TemporaryDirectory() as folder:
...     _ = pathlib.Path(folder, "index.html").write_text('<a href="missing.html">next</a>')
...     links.check(folder).problems
('index.html: the link missing.html leads nowhere',)
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

_LOADED = {"script": "src", "img": "src", "source": "src", "iframe": "src", "video": "src", "audio": "src",
           "embed": "src", "object": "data", "input": "src"}  # fmt: skip
_LOADED_RELATIONS = {
    "stylesheet",
    "icon",
    "preload",
    "modulepreload",
    "prefetch",
    "preconnect",
    "dns-prefetch",
    "manifest",
}
_CSS_LOAD = re.compile(r"""(?:url\(|@import)\s*["']?((?:https?:)?//[^"')\s;]+)""")
_LOCAL = {"", "file"}
_HARMLESS = {"data", "mailto", "javascript", "blob", "about"}


@dataclass(frozen=True)
class Report:
    """What was found: number of pages and of local links, defects in words, links to other sites."""

    pages: int
    links: int
    problems: tuple[str, ...]
    outside: tuple[str, ...]


class _Page(HTMLParser):
    """The anchors of one page, what it links to and what it loads."""

    def __init__(self, text: str):
        super().__init__()
        self.anchors, self.links, self.loads, self._style = set(), [], [], False
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attributes}
        self.anchors |= {values[name] for name in ("id", "name") if values.get(name)}
        self._style = tag == "style"
        if tag in ("a", "area") and "href" in values:
            self.links.append(values["href"])
        if tag == "link" and _LOADED_RELATIONS & set(values.get("rel", "").lower().split()):
            self.loads.append(values.get("href", ""))
        if values.get(_LOADED.get(tag)):
            self.loads.append(values[_LOADED[tag]])
        self.loads += [part.split()[0] for part in values.get("srcset", "").split(",") if part.strip()]
        self.loads += _CSS_LOAD.findall(values.get("style", ""))

    def handle_data(self, data: str) -> None:
        if self._style:
            self.loads += _CSS_LOAD.findall(data)

    def handle_endtag(self, tag: str) -> None:
        self._style = False


def check(folder: str | Path) -> Report:
    """Read every page and style sheet of the site in `folder`.

    FileNotFoundError: there is no page. A link counts as leading somewhere when the file exists and, for one
    with a fragment into a page, the page has that anchor.
    """
    folder = Path(folder).resolve()
    paths = [path for path in sorted(folder.rglob("*.html")) if "_static" not in path.relative_to(folder).parts]
    pages = {path: _Page(path.read_text(errors="replace")) for path in paths}  # themes leave templates in _static
    if not pages:
        raise FileNotFoundError(f"{folder} holds no HTML page; build the book first")
    problems, outside, links = [], set(), 0
    for path, page in pages.items():
        where = path.relative_to(folder)
        for url, loaded in [(url, False) for url in page.links] + [(url, True) for url in page.loads]:
            parts = urlsplit(url)
            if parts.netloc and loaded:
                problems.append(f"{where}: {url} is loaded from the network")
            elif parts.netloc:
                outside.add(url)
            elif parts.scheme in _LOCAL:
                links += 1
                if not _exists(path, parts, pages, folder):
                    problems.append(f"{where}: the link {url} leads nowhere")
            elif parts.scheme not in _HARMLESS:
                problems.append(f"{where}: the link {url} has a scheme that a book should not use")
    for path in sorted(folder.rglob("*.css")):
        problems += [
            f"{path.relative_to(folder)}: {url} is loaded from the network"
            for url in _CSS_LOAD.findall(path.read_text(errors="replace"))
        ]
    return Report(len(pages), links, tuple(dict.fromkeys(problems)), tuple(sorted(outside)))


def _exists(page: Path, parts: SplitResult, pages: Mapping[Path, _Page], folder: Path) -> bool:
    target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
    if target.is_dir():
        target /= "index.html"
    if not target.is_relative_to(folder) or not target.is_file():
        return False
    fragment = unquote(parts.fragment)
    return not fragment or target not in pages or fragment in pages[target].anchors
