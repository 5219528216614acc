"""What is checked without running it, beside lint: the types of the public API, the workflows,
other machine-read files.

    python tools/static.py        in the lint step of `python3 run.py test`; needs no network

basedpyright reads what [tool.basedpyright] in pyproject.toml includes, with the examples of the README, written to
build/examples after the names that its text takes for granted. check-jsonschema has its schemas in the package.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
GIVEN = """import torch
import relstab

model: torch.nn.Module = torch.nn.Flatten()
images: torch.Tensor = torch.rand(8, 3, 32, 32)
generator: torch.Generator = torch.Generator()
"""
SCHEMAS = {
    "github-workflows": ".github/workflows/*.yml",
    "dependabot": ".github/dependabot.yml",
    "github-issue-forms": ".github/ISSUE_TEMPLATE/[!c]*.yml",
    "github-issue-config": ".github/ISSUE_TEMPLATE/config.yml",
    "citation-file-format": "CITATION.cff",
}


def examples(text):
    """The blocks of Python in a Markdown text.

    >>> examples("A\\n```python\\nx = 1\\n```\\nB\\n```bash\\nls\\n```\\n")
    ['x = 1\\n']
    """
    return re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def commands():
    """The checks, as arguments of this Python or paths of programs beside it."""
    yield [sys.executable, "-m", "basedpyright", "--pythonpath", sys.executable]
    for schema, pattern in SCHEMAS.items():
        names = sorted(str(path.relative_to(ROOT)) for path in ROOT.glob(pattern))
        yield [sys.executable, "-m", "check_jsonschema", "--quiet", "--builtin-schema", f"vendor.{schema}", *names]
    zizmor = shutil.which("zizmor", path=str(Path(sys.executable).parent)) or "zizmor"
    yield [zizmor, "--offline", "--quiet", ".github"]


def main():
    folder = ROOT / "build" / "examples"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    code = GIVEN + "\n".join(examples((ROOT / "README.md").read_text(encoding="utf-8")))
    (folder / "readme.py").write_text(code, encoding="utf-8")
    return max(subprocess.call(command, cwd=ROOT) for command in commands())


if __name__ == "__main__":
    sys.exit(main())
