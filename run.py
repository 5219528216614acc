#!/usr/bin/env python3
"""The two commands, with nothing but Python 3.11 or later:

    python3 run.py book [--scale tiny] [--jobs 2] [--only NAME]    execute notebooks, render the book
    python3 run.py test [pytest options]                           lint and the test suite
    python3 run.py test -m numerical                               the tests of the numerical part alone
    python3 run.py test tests/site                                 the built book in a browser

An active virtual or conda environment that has everything is used as it is. Otherwise .venv is made, once
(some minutes), with the versions in constraints.txt.
"""

import hashlib
import os
import re
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
EXTRAS = ("probe", "book", "dev", "cluster")


def main(arguments):
    """Run one command in a complete environment; return or become its exit code."""
    if sys.version_info < (3, 11):  # noqa: UP036 - whoever has an older one must be told
        return f"run.py: this is Python {sys.version.split()[0]}; 3.11 or later is needed"
    if not arguments or arguments[0] in ("-h", "--help"):
        print(__doc__)
        return 0 if arguments else 2
    verb, *rest = arguments
    if verb not in ("book", "test"):
        return f"run.py: the command is {verb!r}; it must be book or test"
    os.chdir(ROOT)
    python = environment()
    if python is None:
        return 1
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # on a busy two-core machine two OpenMP threads are slower
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return test(python, rest) if verb == "test" else become([python, "-m", "relbook", "book", *rest])


def become(command):
    """Replace this process by the command, so that a signal meant for one reaches the other."""
    sys.stdout.flush()
    if os.name == "nt":  # there exec would return to the shell at once
        return subprocess.call(command)
    os.execv(command[0], command)


LINT = (
    ["-m", "ruff", "check", "."],
    ["-m", "ruff", "format", "--check", "."],
    ["-c", "import importlinter.cli as cli; cli.lint_imports_command()", "--no-cache", "--no-logo"],
    ["tools/static.py"],
)


def test(python, options):
    """Lint, then tests; all are run, and the first that fails gives the exit code.

    Options that choose tests (a path, -k, -m) leave lint out. The browser tests need the built book and are left out
    unless an option names them. Tests run in one process a core; `-n 0` runs them in one, for a debugger.
    """
    chosen = any(option in ("-k", "-m") or option.startswith("tests") for option in options)
    browser = [] if any("tests/site" in option for option in options) else ["--ignore=tests/site"]
    typed = ["--jaxtyping-packages=relstab,relbook,beartype.beartype"]
    spread = ["-n", "logical", "--dist", "worksteal"]  # one process a core; a later -n counts
    commands = [*([] if chosen else LINT), ["-m", "pytest", *typed, *spread, *browser, *options]]
    codes = [subprocess.call([python, *command]) for command in commands]
    return next((code for code in codes if code), 0)


# ---------------------------------------------------------------- environment


def environment():
    """The Python that has everything: this one, else .venv's, made if need be; None if that failed."""
    if Path(sys.prefix) != VENV:
        lacking = unmet(requirements())
        if not lacking:
            return sys.executable
        if sys.prefix != sys.base_prefix or os.environ.get("CONDA_PREFIX") == sys.prefix:
            print(f"the active environment is not complete: {'; '.join(lacking)}", flush=True)
    python = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    stamp = VENV / "relstab-stamp"
    wanted = fingerprint()
    if python.exists() and stamp.exists() and stamp.read_text() == wanted:
        return str(python)
    return str(python) if make(python, stamp, wanted) else None


def make(python, stamp, wanted):
    """Make .venv from nothing; the stamp comes last, so that an interrupted attempt is made again."""
    began = time.monotonic()
    print("making .venv, once; this takes some minutes", flush=True)
    log = ROOT / "build" / "install.log"
    log.parent.mkdir(exist_ok=True)
    base = getattr(sys, "_base_executable", sys.executable)  # .venv's own Python cannot make it anew
    pip = [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    steps = [
        [base, "-m", "venv", "--clear", str(VENV)],
        [*pip, "-c", "constraints.txt", "-e", f".[{','.join(EXTRAS)}]"],
    ]
    with open(log, "wb") as printed:
        for step in steps:
            process = subprocess.Popen(step, stdin=subprocess.DEVNULL, stdout=printed, stderr=printed)
            while wait(process) is None:
                if sys.stdout.isatty():
                    print(f"\r{time.monotonic() - began:4.0f} s ", end="", flush=True)
            if process.returncode:
                tail = log.read_text(encoding="utf-8", errors="replace").splitlines()[-15:]
                tail.append(f"run.py: .venv could not be made; the whole story is in {log}")
                print("\n".join(tail), file=sys.stderr)
                return False
    stamp.write_text(wanted)
    print(f"\r.venv is made ({time.monotonic() - began:.0f} s)", flush=True)
    return True


def wait(process):
    """The exit code, or None if it has none within a second; an interruption ends the process, too."""
    try:
        return process.wait(timeout=1)
    except subprocess.TimeoutExpired:
        return None
    except BaseException:
        process.kill()
        raise


def fingerprint():
    """Hash of what decides the content of .venv: pins, requirements, Python, and where .venv lies."""
    total = hashlib.sha256(f"{sys.version} {VENV}".encode())
    for name in ("constraints.txt", "pyproject.toml"):
        total.update((ROOT / name).read_bytes())
    return total.hexdigest()


def requirements():
    """Every requirement of the project with its extras, as written in pyproject.toml."""
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = [line for extra in EXTRAS for line in project["optional-dependencies"][extra]]
    return list(dict.fromkeys(project["dependencies"] + extras))


def unmet(lines):
    """What this environment lacks or has in another version than a requirement allows, in words.

    Requirements are `name>=1.2,<3`: names and numeric bounds, no markers.
    """
    found = []
    for line in lines:
        name, bounds = re.fullmatch(r"([A-Za-z0-9._-]+)(.*)", line).groups()
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            found.append(f"{name} is missing")
            continue
        if not all(satisfies(version, bound) for bound in bounds.split(",") if bound):
            found.append(f"{name} is {version}, not {bounds}")
    return found


def satisfies(version, bound):
    """Whether a version meets one bound; only the numbers before any letter count: 1.0.4.post1 is 1.0.4."""
    operator, limit = re.fullmatch(r"(>=|<=|==|<|>|!=)\s*([0-9.]+)", bound.strip()).groups()
    a, b = (tuple(map(int, re.match(r"[0-9]+(?:\.[0-9]+)*", text)[0].split("."))) for text in (version, limit))
    length = max(len(a), len(b))
    a, b = (numbers + (0,) * (length - len(numbers)) for numbers in (a, b))
    return {">=": a >= b, "<=": a <= b, "==": a == b, "<": a < b, ">": a > b, "!=": a != b}[operator]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
