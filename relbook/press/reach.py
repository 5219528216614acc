"""Which studies a page shows, read from its code: only their folders and their rows decide whether it runs again.

A study is reached where the code imports from its folder or names it in quotes, where a claim that it shows (by
its id or its figure's label) is measured from the study, through the functions of `relbook.page` and the explorers
that it calls, and through the folders of other studies. What asks for every study depends on all.

>>> studies = Studies([])
>>> studies.behind('registry.shown("zoo")') is None  # no studies below these folders: nothing is known
True
"""

import ast
import re
import tomllib
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path

_ALL = re.compile(r"\bregistry\.(names|STUDIES)\b|\bpapers\.(evaluate|ledger)\(\)|\bpage\.status\b")


class Studies:
    """The folders of studies below the packages in `sources`."""

    def __init__(self, sources: Iterable[str | Path]):
        homes = [Path(source) / "studies" for source in sources]
        self.folders = {
            path.name: path
            for home in homes
            if home.is_dir()
            for path in sorted(home.iterdir())
            if path.is_dir() and path.name != "__pycache__"
        }
        self.packages = [Path(source) for source in sources]

    def files(self, name: str) -> list[Path]:
        """The files of a study's folder."""
        return [p for p in sorted(self.folders[name].rglob("*")) if p.is_file() and "__pycache__" not in p.parts]

    def mentioned(self, text: str) -> set[str]:
        """The studies whose folder a text imports from or which it names in quotes."""
        return {
            name
            for name in self.folders
            if re.search(rf"""relbook\.studies\.{name}\b|studies import [^\n]*\b{name}\b|["']{name}["']""", text)
        }

    @cached_property
    def _needed(self) -> dict[str, set[str]]:
        """Study -> studies that its folder mentions."""
        return {
            name: self.mentioned("\n".join(path.read_text() for path in self.files(name) if path.suffix == ".py"))
            for name in self.folders
        }

    @cached_property
    def _claims(self) -> list[tuple[str, str, set[str]]]:
        """(id, label of the figure, studies it is measured from and its folder) of every claim."""
        found = []
        for name, folder in self.folders.items():
            path = folder / "claims.toml"
            for id_, claim in tomllib.loads(path.read_text()).items() if path.is_file() else ():
                studies = {name, *claim.get("studies", [])} & self.folders.keys()
                found.append((id_, claim["figure"], studies))
        return found

    @cached_property
    def _helpers(self) -> list[tuple[str, set[str]]]:
        """(how a page calls it, studies it mentions) of what pages share."""
        found = []
        for package in self.packages:
            if (path := package / "page.py").is_file():
                text = path.read_text()
                for node in ast.parse(text).body:
                    if isinstance(node, ast.FunctionDef):
                        found.append((f"page.{node.name}", self.mentioned(ast.get_source_segment(text, node))))
            for path in sorted((package / "explorers").glob("*.py")):
                found.append(("explorers", self.mentioned(path.read_text())))
            if (path := package / "findings.py").is_file():
                found.append(("findings", self.mentioned(path.read_text())))
        return found

    def behind(self, code: str) -> frozenset[str] | None:
        """The studies that a page with this code shows; None where it shows all, or nothing is known of any."""
        if not self.folders or _ALL.search(code):
            return None
        found = self.mentioned(code)
        for id_, figure, studies in self._claims:
            if re.search(rf"""["']({re.escape(id_)}|{re.escape(figure)})["']""", code):
                found |= studies
        for call, studies in self._helpers:
            if re.search(rf"\b{re.escape(call)}\b", code):
                found |= studies
        todo = list(found)
        while todo:
            new = self._needed[todo.pop()] - found
            found |= new
            todo += new
        return frozenset(found)
