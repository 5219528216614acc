"""What every benchmark shares: one thread, machine and versions, median and spread, the two result files.

Times are CPU seconds of this process (`time.process_time`) unless work runs on a GPU: they survive a machine
that others use at the same time, where wall time does not.
"""

import json
import os
import platform
import statistics
import sys
import time
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

RESULTS = Path(__file__).parent / "results"
sys.path.insert(0, str(Path(__file__).parents[1]))  # the relstab of this checkout, installed or not


def single_thread():
    """One thread for torch and its libraries; call before any work."""
    import torch

    torch.set_num_threads(1)


def machine(*packages):
    """Processor, memory, load and versions, as a flat dict; a package that is absent is "not installed"."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        **{package: version(package) for package in packages},
    }


def quiet(limit=1.5):
    """Whether the machine is free for a timing: its load, of the last minute, at most `limit` (else it is said).

    Benchmarks whose times are quoted refuse a busier machine, or mark their results with --busy.
    """
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    if load > limit and "--busy" not in sys.argv:
        raise SystemExit(
            f"the load is {load:.1f}, above {limit}: times would be those of a busy machine (--busy takes them)"
        )
    return load <= limit


def version(package):
    """The installed version of a package, or "not installed"."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def measure(function, *, repeats=15, warmup=2, clock=time.process_time):
    """Seconds of `repeats` calls after `warmup` unmeasured ones: median, and quartiles as low and high."""
    for _ in range(warmup):
        function()
    seconds = []
    for _ in range(repeats):
        start = clock()
        function()
        seconds.append(clock() - start)
    low, median, high = statistics.quantiles(seconds, n=4, method="inclusive")
    return {"median": median, "low": low, "high": high}


def write(name, title, notes, conditions, tables):
    """Write results/<name>.json and results/<name>.md, and print the page.

    conditions: of `machine`; tables: {heading: rows}, rows a list of dicts with the same keys (column names).
    """
    RESULTS.mkdir(exist_ok=True)
    record = {"title": title, "machine": conditions, "tables": tables}
    (RESULTS / f"{name}.json").write_text(json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
    lines = [f"# {title}", "", notes, "", ", ".join(f"{key} {value}" for key, value in conditions.items()), ""]
    for heading, rows in tables.items():
        columns = list(rows[0])
        lines += [f"## {heading}", "", _line(columns), _line(["---"] * len(columns))]
        lines += [_line(_text(row[column]) for column in columns) for row in rows] + [""]
    page = "\n".join(lines)
    (RESULTS / f"{name}.md").write_text(page)
    print(page)


def _line(cells):
    return "| " + " | ".join(cells) + " |"


def _text(value):
    if value is None:
        return "–"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _processor():
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown"
