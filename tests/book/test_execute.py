"""The runner: what is current does not run, only what is complete is promoted, nothing survives a kill."""

import ast
import os
import re
import signal
import subprocess
import sys
import time
import tomllib

import nbformat
import psutil
import pytest

from relbook.press import execute, fingerprint, notebook, reach
from relstab.store import atomic

HEADER = """---
jupytext:
  text_representation: {extension: .md, format_name: myst}
kernelspec: {display_name: Python 3, language: python, name: python3}
---

# A title

Some prose.

```{code-cell} ipython3
:tags: [parameters, remove-cell]
scale = "tiny"
```
"""


def cell(code, options=""):
    return f"\n```{{code-cell}} ipython3\n{options}{code}\n```\n"


def write(root, name, *codes, header=HEADER):
    path = root / "notebooks" / f"{name}.md"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(header + "".join(map(cell, codes)))
    return path


@pytest.fixture
def project(tmp_path, monkeypatch):
    """An empty project with a package of its own, so that nothing outside decides what is current."""
    monkeypatch.delenv("RELSTAB_DATA", raising=False)
    monkeypatch.delenv("RELSTAB_STORE", raising=False)
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "physics.py").write_text('"""Doc."""\n\n\ndef f(x):\n    """Doc."""\n    return x + 1\n')
    return tmp_path


def run(root, **options):
    lines = []
    results = execute.execute(root=root, sources=[root / "package"], say=lines.append, **options)
    return {result.name: result for result in results}, "\n".join(lines)


def why(root, **options):
    return {r.name: r.why for r in execute.status(root=root, sources=[root / "package"], **options)}


def leftovers(root):
    return [path.name for path in (root / "build" / "executed").rglob("*") if path.name.startswith(".")]


def test_only_what_changed_runs(project, monkeypatch):
    """Prose, comments, docstrings and tags change nothing; code, package, results, store and data do."""
    path = write(project, "a/one", "print(scale)  # a comment")
    results, said = run(project)
    assert results["a/one"].status == "executed"
    assert "[0:00] start  a/one  (never executed)" in said
    assert re.search(r"done   a/one  \d+ s  \(1 of 1\)", said)
    monkeypatch.setenv("RELSTAB_NO_RUN", "1")
    physics = project / "package" / "physics.py"
    text, source = path.read_text(), physics.read_text()
    path.write_text(text.replace("Some prose.", "Other prose.").replace("a comment", "another"))
    physics.write_text(source.replace("Doc.", "Longer documentation.") + "# a comment\n")
    assert run(project)[0]["a/one"].status == "current"
    path.write_text(text.replace("print(scale)", "print(scale, 1)"))
    results, said = run(project)
    assert not results["a/one"].ok
    assert "RELSTAB_NO_RUN is set, but a/one would have to run: its code changed" in said
    path.write_text(text)
    physics.write_text(source.replace("x + 1", "x - 1"))
    assert why(project) == why(project, ran=["a/one"]) == {"a/one": "the package changed"}
    physics.write_text(source)
    published = project / "results" / "laptop" / "zoo" / "x.json"
    stored = project / "build" / "store" / "gpu" / "zoo" / "x.json"
    own = project / "build" / "store" / "tiny" / "zoo" / "x.json"
    for file, reason in ((published, "published results changed"), (stored, "stored results changed"), (own, "")):
        file.parent.mkdir(parents=True)
        file.write_text("{}")
        assert why(project) == {"a/one": reason}
        assert why(project, ran=["a/one"]) == {"a/one": ""}
        assert why(project, ran=["a/two"]) == {"a/one": reason}
        file.unlink()
    (project / "data").mkdir()
    (project / "data" / "mnist.npz").write_bytes(b"1")
    monkeypatch.setenv("RELSTAB_DATA", str(project / "data"))
    assert why(project) == {"a/one": "the data folder changed"}


def test_by_hand_gives_the_same_notebook(project):
    """A plain `jupytext --to ipynb` and `papermill -p scale tiny` run the same cells to the same outputs."""
    path = write(project, "a/one", "x = 2", "print(scale, x)\nx")
    ours = nbformat.read(run(project)[0]["a/one"].executed, as_version=4)
    for command in (
        ["jupytext", "--to", "ipynb", "-o", "raw.ipynb", str(path)],
        ["papermill", "raw.ipynb", "by-hand.ipynb", "-p", "scale", "tiny"],
    ):
        subprocess.run([sys.executable, "-m", *command], cwd=project, check=True, capture_output=True)
    theirs = nbformat.read(project / "by-hand.ipynb", as_version=4)
    for field in ("cell_type", "source", "outputs"):
        assert [c.get(field) for c in ours.cells] == [c.get(field) for c in theirs.cells]
    for found in (ours, theirs):
        assert dict(found.metadata.papermill.parameters) == {"scale": "tiny"}
        assert [notebook.injected(c) for c in found.cells].count(True) == 1


def test_a_failure_keeps_the_old_copy_and_stops_nobody(project):
    """Raising, dying and complaining notebooks fail, with the end of their log; the others run."""
    path = write(project, "a/raises", "print(scale)")
    good = run(project)[0]["a/raises"].executed
    before = good.read_bytes()
    write(project, "a/raises", "print(scale)\nfor i in range(99): print('line', i)\nraise RuntimeError('boom')")
    write(project, "b/dies", "print(scale)\nimport os; os._exit(3)")
    write(project, "b/complains", "import sys; print(scale, file=sys.stderr)")
    write(project, "b/talks", "for i in range(100): print(scale)")
    write(project, "b/works", "print(scale)")
    results, said = run(project)
    assert {name for name, result in results.items() if result.ok} == {"b/works"}
    assert good.read_bytes() == before
    assert "papermill ended with exit code 1" in results["a/raises"].why
    assert "RuntimeError: boom" in said
    tail = said[said.index("FAILED a/raises") :].splitlines()[2:]
    assert sum(line.startswith("    | ") for line in tail[: execute.TAIL + 1]) == execute.TAIL
    assert "papermill ended with exit code" in results["b/dies"].why
    assert results["b/complains"].why == "code cell 3 wrote to stderr: tiny"
    assert results["b/talks"].why == "code cell 3 printed more than 60 lines"
    assert leftovers(project) == []
    assert path.exists()


def test_a_notebook_without_end_is_ended(project):
    write(project, "a/one", "print(scale)\nimport time; time.sleep(600)")
    results, said = run(project, timeout=4)
    assert results["a/one"].why == "no end after 4 s"
    assert "FAILED a/one  no end after 4 s  (1 of 1)" in said
    assert leftovers(project) == []


STARTED = """print(scale)
import os, pathlib, time
pathlib.Path('started').write_text(str(os.getpid()))
time.sleep(600)"""


def start_slow(project):
    """Another process that executes a notebook without end: the process, and the kernel's pid."""
    write(project, "a/one", STARTED)
    environment = {**os.environ, "PYTHONPATH": str(execute.ROOT)}
    code = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a background shell ignores it
        f"from relbook.press import execute; execute.execute(root={str(project)!r}, sources=['package'])"
    )
    owner = subprocess.Popen([sys.executable, "-c", code], cwd=project, env=environment, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not ((project / "started").exists() and (project / "started").read_text()):
        assert owner.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return owner, int((project / "started").read_text())


def gone(pid, seconds=10):
    deadline = time.monotonic() + seconds
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def test_kill_9_leaves_the_old_copy_and_the_next_start_sweeps(project):
    path = write(project, "a/one", "print(scale)")
    good = run(project)[0]["a/one"].executed
    before = good.read_bytes()
    owner, kernel = start_slow(project)
    papermill = psutil.Process(kernel).parent().pid
    owner.kill()
    owner.wait()
    assert good.read_bytes() == before
    assert leftovers(project)
    path.write_text(HEADER + cell("print(scale)"))
    assert run(project)[0]["a/one"].status == "current"  # the old copy is the one of this code
    assert leftovers(project) == []
    assert gone(papermill)
    assert gone(kernel)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interruption_ends_the_children(project, number):
    owner, kernel = start_slow(project)
    owner.send_signal(number)
    assert owner.wait(timeout=20) != 0
    assert gone(kernel)
    assert leftovers(project) == []


def test_usual_seconds_are_those_of_notebooks():
    usual = tomllib.loads((execute.ROOT / "notebooks" / "seconds.toml").read_text())
    names = {source.name for source in notebook.discover(execute.ROOT)}
    assert set(usual) <= names
    assert all(seconds > 0 for seconds in usual.values())


def test_two_runs_do_not_meet(project):
    write(project, "a/one", "print(scale)")
    folder = project / "build" / "executed" / "tiny"
    folder.mkdir(parents=True)
    with atomic.lock(folder / ".lock"), pytest.raises(ValueError, match="another run executes notebooks"):
        run(project)


def test_order_and_parameters(project):
    """`jobs` at a time; summaries after all others; parameters arrive with their types."""
    header = HEADER.replace('scale = "tiny"', 'scale = "tiny"\nrate = 0.1\nflag = True\nlabel = "a"\ncount = 1')
    write(project, "a/one", "print(scale, rate, flag, label, count)", header=header)
    write(project, "a/two", "print(scale, rate, flag, label, count)", header=header)
    write(project, "summary", "print(rate, flag, label, count)", header=header)
    (project / "notebooks" / "seconds.toml").write_text('"a/one" = 2\n"a/two" = 3.5\nsummary = 60\n')
    given = {"rate": 1e-05, "flag": False, "label": "no", "count": 3}
    results, said = run(project, jobs=2, parameters=given)
    assert all(result.ok for result in results.values())
    words = [line.split()[1:3] for line in said.splitlines() if line.startswith("[")]
    assert [word for word, _ in words] == ["start", "start", "done", "done", "start", "done"]
    assert [name for _, name in words[:2]] == ["a/two", "a/one"]  # the longer one first
    assert words[-1] == ["done", "summary"]
    text = nbformat.read(results["a/one"].executed, as_version=4).cells[-1].outputs[0].text
    assert text == "tiny 1e-05 False no 3\n"
    assert why(project)["a/one"].endswith("its parameters changed")


@pytest.mark.parametrize(
    ("header", "code", "given", "sentence"),
    [
        (HEADER.replace("parameters, ", ""), "print(scale)", {}, "has 0 cells tagged 'parameters'"),
        (HEADER + HEADER[HEADER.index("```") :], "print(scale)", {}, "has 2 cells tagged 'parameters'"),
        (HEADER, "print(scale)", {"sede": 3}, "parameter 'sede' is unknown to notebook a/one; it has scale"),
        (HEADER, "print(1)", {}, "parameter 'scale' of notebook a/one is read by no cell"),
        (HEADER.replace('"tiny"', "1"), "print(scale)", {}, "is 'tiny'; it must be of type int"),
        (HEADER.replace('"tiny"', "None"), "print(scale)", {}, "is 'tiny'; it must be of type NoneType"),
        (HEADER.replace('"tiny"', "max(1, 2)"), "print(scale)", {}, "must read NAME = literal"),
        (HEADER.replace("scale =", "size ="), "print(size)", {}, "parameter 'scale' is unknown"),
        (HEADER, "print(scale", {}, "is not Python"),
        (HEADER.replace("{extension: .md", "{extension"), "print(scale)", {}, "cannot be read"),
        (HEADER + cell("print(scale)", ":tags: [raises-exception]\n"), "1", {}, "tagged 'raises-exception'"),
    ],
)
def test_refused_notebooks(project, header, code, given, sentence):
    write(project, "a/one", code, header=header)
    results, said = run(project, parameters=given)
    assert results["a/one"].status == "refused"
    assert sentence in results["a/one"].why
    assert "\n" not in results["a/one"].why
    assert f"REFUSED {results['a/one'].why}" in said


def test_bad_requests(project):
    with pytest.raises(FileNotFoundError, match="no notebook"):
        run(project)
    write(project, "a/one", "print(scale)")
    with pytest.raises(ValueError, match="no notebook is called 'b'; there are a/one"):
        run(project, names=["b"])
    with pytest.raises(ValueError, match="scale is 'huge'"):
        run(project, scale="huge")
    with pytest.raises(ValueError, match="jobs is 0; it must be at least 1"):
        run(project, jobs=0)


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    """A complete executed notebook, its source cells and its path."""
    root = tmp_path_factory.mktemp("gate")
    (root / "package").mkdir()
    write(root, "a/one", "print(scale)", "scale")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("RELSTAB_DATA", raising=False)
        patch.delenv("RELSTAB_STORE", raising=False)
        path = run(root)[0]["a/one"].executed
        source = notebook.discover(root)[0]
        yield nbformat.read(path, as_version=4), notebook.read(source), path, root


def _running(found):
    found.cells[-1].metadata.papermill.status = "running"


def _unexecuted(found):
    found.cells[-1].execution_count = None


def _raised(found):
    error = nbformat.v4.new_output("error", ename="ValueError", evalue="", traceback=[])
    found.cells[-1].outputs.append(error)


def _unfinished(found):
    found.metadata.papermill.end_time = None


def _other_scale(found):
    found.metadata.papermill.parameters.scale = "paper"


def _not_injected(found):
    found.cells = [c for c in found.cells if not notebook.injected(c)]


def _other_code(found):
    found.cells[-1].source = "scale + 'edited by hand'"


def _missing_cell(found):
    del found.cells[-1]


CORRUPTIONS = [_running, _unexecuted, _raised, _unfinished, _other_scale, _not_injected, _other_code, _missing_cell]


@pytest.mark.parametrize("corrupt", CORRUPTIONS)
def test_the_gate_refuses_what_is_not_complete(executed, corrupt):
    found, cells, path, root = executed
    assert notebook.problems(found, cells, {"scale": "tiny"}) == []
    before = path.read_bytes()
    damaged = nbformat.from_dict(found)
    corrupt(damaged)
    assert notebook.problems(damaged, cells, {"scale": "tiny"})
    try:
        path.write_text(nbformat.writes(damaged))
        assert why(root)["a/one"]
        path.write_bytes(before[: len(before) // 2])
        assert why(root) == {"a/one": "its executed copy is damaged"}
    finally:
        path.write_bytes(before)
    assert why(root) == {"a/one": ""}


def test_an_output_that_was_changed_is_noticed(executed):
    """A bit that flips in a picture, an output that was emptied: cells and their states are as they were."""
    _, _, path, root = executed
    before = path.read_bytes()
    emptied = nbformat.reads(before.decode(), as_version=4)
    shown = next(cell for cell in emptied.cells if cell.get("outputs"))
    flipped = before.replace(b'"execution_count": 1', b'"execution_count": 3', 1)
    shown["outputs"] = []
    try:
        for content in (nbformat.writes(emptied).encode(), flipped):
            assert content != before
            path.write_bytes(content)
            assert why(root) == {"a/one": "its executed copy is damaged"}
    finally:
        path.write_bytes(before)
    assert why(root)["a/one"] == ""


def imported(code):
    """Paths of the modules that some source imports, wherever in it; of `from a import b` both a and a/b."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            yield from (alias.name.replace(".", "/") for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}".replace(".", "/") for alias in node.names)


def test_nothing_else_imports_the_publishing_modules():
    """They are left out of the key, so no number may depend on them: neither in the packages nor on a page."""
    files = {
        path.relative_to(folder.parent).as_posix(): path for folder in execute.SOURCES for path in folder.rglob("*.py")
    }
    sources = {n: path.read_text() for n, path in files.items() if not n.startswith(fingerprint.PUBLISHING)}
    for source in notebook.discover(execute.ROOT):
        cells = notebook.code_cells(notebook.read(source))
        sources[source.name] = "\n".join(cell.source for cell in cells)
    assert len(sources) > 150
    for name, code in sources.items():
        assert not [module for module in imported(code) if f"{module}/".startswith(fingerprint.PUBLISHING)], name
    assert "relstab/cli" in imported(sources["probe"])  # a page that needs a command has it in its key


def test_shipped_files_count(tmp_path):
    """A changed data file in the package changes the key as code does."""
    (tmp_path / "images.npz").write_bytes(b"1")
    before = fingerprint.package(tmp_path)
    (tmp_path / "images.npz").write_bytes(b"2")
    assert fingerprint.package(tmp_path) != before
    assert os.listdir(tmp_path) == ["images.npz"]


def test_published_rows_count_wherever_they_lie(project, monkeypatch):
    """RELSTAB_RESULTS may lead elsewhere; what a page is drawn from is in its key."""
    elsewhere = project / "elsewhere" / "laptop" / "zoo"
    elsewhere.mkdir(parents=True)
    monkeypatch.setenv("RELSTAB_RESULTS", str(project / "elsewhere"))

    def key():
        return fingerprint.studied(project, "tiny", reach.Studies([]), None, summary=False)["published results"]

    before = key()
    (elsewhere / "a.json").write_text("{}")
    assert key() != before
