"""What pyproject.toml cannot say: the README as the package index shows it, and addresses, behind one switch.

Relative links and pictures are dead outside the repository. Where _config.yml says `public: true` they get its address;
before that a link is its text, a picture nothing. All other metadata is in pyproject.toml.
"""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent
LINK = re.compile(r"(?P<picture>!?)\[(?P<text>[^\]]*)\]\((?!\w+:|#)(?P<path>[^)\s]+)\)")
FORMULA = re.compile(r"^\$\$(.+?)\$\$$", re.MULTILINE | re.DOTALL)


def address(config):
    """The repository's URL in the text of _config.yml, if it says that the repository is public; else ""."""
    public = re.search(r"^\s+public:\s*true\b", config, re.MULTILINE)
    return re.search(r"^repository:\n\s+url:\s*(\S+)", config, re.MULTILINE)[1] if public else ""


def readme(text, url):
    """README.md for a place where only absolute links work and formulas are not set."""

    def absolute(found):
        if url:
            folder = "raw" if found["picture"] else "blob"
            return f"{found['picture']}[{found['text']}]({url}/{folder}/main/{found['path']})"
        return "" if found["picture"] else found["text"]

    return FORMULA.sub(r"```\n\1\n```", LINK.sub(absolute, text))


if __name__ == "__main__":
    from setuptools import setup

    url = address((ROOT / "_config.yml").read_text(encoding="utf-8"))
    setup(
        long_description=readme((ROOT / "README.md").read_text(encoding="utf-8"), url),
        long_description_content_type="text/markdown",
        project_urls={"Repository": url, "Changes": f"{url}/blob/main/CHANGELOG.md"} if url else {},
    )
