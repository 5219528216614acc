"""Recreate book/assets/vendor from the npm packages named in its VENDOR.md, or check it against that table.

    python3 tools/vendor.py            fetch every package with `npm pack`, check each file's sha256, write it
    python3 tools/vendor.py --check    no network: every listed file is there, unchanged, and nothing else is

The table in VENDOR.md is the one list: file, package, version, path inside the package, licence, sha256.
To move to a newer version, edit the table's version, run with ``--update`` and read the difference.
"""

import argparse
import hashlib
import re
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import NamedTuple

VENDOR = Path(__file__).resolve().parents[1] / "book" / "assets" / "vendor"
OURS = {"VENDOR.md", "widgets-setup.js"}  # written here, not fetched


class Row(NamedTuple):
    """One line of the table in VENDOR.md."""

    file: str
    package: str
    version: str
    member: str
    licence: str
    sha256: str


def rows(text):
    """The table's rows; a row is a line of six cells whose first is in backquotes."""
    cells = (
        [cell.strip().strip("`") for cell in line.strip("| \n").split("|")]
        for line in text.splitlines()
        if line.startswith("| `")
    )
    return [Row(*line) for line in cells]


def problems(folder=VENDOR):
    """What differs between the folder and its table, one sentence each; an empty list when nothing does."""
    listed = rows((folder / "VENDOR.md").read_text())
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    names = {row.file for row in listed}
    lines = [f"{name} is not listed in VENDOR.md" for name in sorted(found - names - OURS)]
    lines += [f"{name} is missing" for name in sorted((names | OURS) - found)]
    for row in listed:
        if row.file in found and _sha256((folder / row.file).read_bytes()) != row.sha256:
            lines.append(f"{row.file} differs from the sha256 in VENDOR.md")
    return lines


def fetch(folder=VENDOR, *, update=False):
    """Write every listed file from its package; ValueError where a sha256 differs, unless `update`."""
    table = folder / "VENDOR.md"
    text = table.read_text()
    packages = {}
    with tempfile.TemporaryDirectory() as scratch:
        for row in rows(text):
            name = f"{row.package}@{row.version}"
            if name not in packages:
                packages[name] = _members(name, scratch)
            content = packages[name][f"package/{row.member}"]
            digest = _sha256(content)
            if digest != row.sha256:
                if not update:
                    raise ValueError(f"{row.file}: {name} gives sha256 {digest}, VENDOR.md has {row.sha256}")
                text = re.sub(rf"(\| `{re.escape(row.file)}` .*)`[0-9a-f]*` \|", rf"\1`{digest}` |", text)
            target = folder / row.file
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
    table.write_text(text)


def _members(name, scratch):
    packed = subprocess.run(["npm", "pack", "--silent", name], cwd=scratch, check=True, capture_output=True, text=True)
    with tarfile.open(Path(scratch) / packed.stdout.split()[-1]) as archive:
        return {m.name: archive.extractfile(m).read() for m in archive.getmembers() if m.isfile()}


def _sha256(content):
    return hashlib.sha256(content).hexdigest()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare with the table only; no network")
    parser.add_argument("--update", action="store_true", help="take new contents and write their sha256")
    options = parser.parse_args()
    if not options.check:
        fetch(update=options.update)
    found = problems()
    print("\n".join(found) or f"book/assets/vendor: {len(rows((VENDOR / 'VENDOR.md').read_text()))} files as listed")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
