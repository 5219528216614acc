"""The link check: one defect each, found; a sound site, passed."""

import pytest

from relbook.press import links

SOUND = """<html><head><link rel="stylesheet" href="_static/a.css?v=1">
<link rel="canonical" href="https://x.org/"></head>
<body><h1 id="top">x</h1><a href="sub/other.html#part">o</a><a href="#top">t</a><a href="#">t</a>
<a href="sub/">f</a><img src="a.png" srcset="a.png 2x"><img src="data:image/png;base64,x">
<a href="mailto:a@b.c">m</a><a href="https://example.org/paper">p</a>
<script src="_static/a.js"></script></body></html>"""


@pytest.fixture
def site(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "_static").mkdir()
    (tmp_path / "index.html").write_text(SOUND)
    (tmp_path / "sub" / "other.html").write_text('<p id="part">x</p><a href="../index.html">back</a>')
    (tmp_path / "sub" / "index.html").write_text("<p>x</p>")
    (tmp_path / "_static" / "template.html").write_text("<a href=\"{{ pathto('x') }}\">x</a>")
    for name in ("_static/a.css", "_static/a.js", "a.png"):
        (tmp_path / name).write_text("")
    return tmp_path


def test_a_sound_site(site):
    report = links.check(site)
    assert report.problems == ()
    assert report.pages == 3
    assert report.outside == ("https://example.org/paper",)


@pytest.mark.parametrize(
    ("html", "problem"),
    [
        ('<a href="gone.html">x</a>', "the link gone.html leads nowhere"),
        ('<a href="sub/other.html#gone">x</a>', "the link sub/other.html#gone leads nowhere"),
        ('<a href="#gone">x</a>', "the link #gone leads nowhere"),
        ('<a href="../outside.html">x</a>', "the link ../outside.html leads nowhere"),
        ('<img src="gone.png">', "the link gone.png leads nowhere"),
        ('<img srcset="gone.png 2x">', "the link gone.png leads nowhere"),
        ('<script src="https://cdn.example.org/x.js"></script>', "is loaded from the network"),
        ('<link rel="preload stylesheet" href="//cdn.example.org/x.css">', "is loaded from the network"),
        ('<iframe src="https://example.org"></iframe>', "is loaded from the network"),
        ('<p style="background: url(https://example.org/x.png)">x</p>', "is loaded from the network"),
        ('<style>@import "https://example.org/x.css";</style>', "is loaded from the network"),
        ('<a href="ftp:x">x</a>', "a scheme that a book should not use"),
    ],
)
def test_a_defect_is_found(site, html, problem):
    (site / "page.html").write_text(html)
    found = links.check(site).problems
    assert len(found) == 1
    assert found[0].startswith("page.html: ")
    assert problem in found[0]


def test_a_style_sheet_that_loads_from_the_network_is_found(site):
    (site / "_static" / "a.css").write_text("@font-face { src: url('https://fonts.example.org/x.woff2'); }")
    assert links.check(site).problems == (
        "_static/a.css: https://fonts.example.org/x.woff2 is loaded from the network",
    )


def test_an_empty_folder_is_no_site(tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no HTML page"):
        links.check(tmp_path)
