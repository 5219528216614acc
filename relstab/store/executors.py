"""Where the units of a study run: worker processes of this machine, a dask cluster, SLURM.

`store.get_or_run(configs, executor)` takes anything with `submit` that returns jobs with `done`, `result` and
`cancel`: every `concurrent.futures.Executor`, dask's, and submitit's. ::

    with executors.processes() as pool:
        rows = store.get_or_run(registry.configs("zoo", "laptop"), pool)

RELSTAB_STORE should name a folder that all machines see (and can write) under one path: each worker then
stores its own results, and checkpoints survive their worker. Where a worker's folder is its own, the results
still come back to the caller, which stores them too. SLURM and dask: `book/how-to-run.md`.
"""

import contextlib
import itertools
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, NoReturn


def cores() -> int:
    """Number of CPU cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def gpus() -> list[str]:
    """The GPUs that a process started here may use, as CUDA_VISIBLE_DEVICES names them; [] without any."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [name.strip() for name in named.split(",") if name.strip() not in ("", "-1")]
    import torch

    return [str(index) for index in range(torch.cuda.device_count())]


def _worker(gpu: str | None = None) -> None:
    """Make a fresh process a worker: it ends with its parent, sees one GPU, and computes with one thread.

    Two OpenMP threads on a busy core cost far more than they bring; a process per core needs one each.
    """
    if gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu  # before torch looks
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.environ["OMP_NUM_THREADS"] = "1"
    import torch

    torch.set_num_threads(1)


def _end_with_parent() -> NoReturn:
    """End this process when the one that started it is gone, however that ended; what it was on resumes later.

    After `kill -9` of the parent nobody closes the pool, and its worker would wait for calls for ever
    (python/cpython#111873). The stored files are whole at every moment, so that ending at any moment is safe.
    """
    multiprocessing.parent_process().join()
    os._exit(1)


class Processes(ThreadPoolExecutor):
    """Worker processes, one behind each thread. One that dies takes nothing along but the call it was on.

    On a machine with GPUs each worker sees one of them, by turns: eight workers on eight GPUs use all.

    That call is made once more, by a fresh process: a unit goes on from its checkpoint. If it kills that one, too
    (for want of memory, say), it alone fails, with BrokenProcessPool.
    """

    def __init__(self, workers: int):
        super().__init__(workers)
        self._mine, self._pools, self._stopped = threading.local(), [], False
        self._gpus, self._turns = gpus(), itertools.count()
        self._starting = threading.Lock()  # so that no process starts behind the back of `stop`

    def submit(self, function: Callable, /, *arguments: Any, **options: Any) -> Future:
        """As of any executor."""
        return super().submit(self._call, function, arguments, options)

    def _call(self, function: Callable, arguments: tuple, options: dict[str, Any]) -> Any:
        for last in (False, True):
            try:
                with self._starting:
                    if self._stopped:
                        raise BrokenProcessPool("the executor was stopped")
                    job = self._pool().submit(function, *arguments, **options)
                return job.result()
            except BrokenProcessPool:
                self._mine.pool = None
                if last or self._stopped:
                    raise

    def _pool(self) -> ProcessPoolExecutor:
        """The pool of one process of this thread."""
        if getattr(self._mine, "pool", None) is None:
            if not hasattr(self._mine, "gpu"):  # a worker that takes the place of a dead one gets its GPU
                self._mine.gpu = self._gpus[next(self._turns) % len(self._gpus)] if self._gpus else None
            # Spawned, not forked: torch and CUDA do not survive a fork.
            context = multiprocessing.get_context("spawn")
            self._mine.pool = ProcessPoolExecutor(
                1, mp_context=context, initializer=_worker, initargs=(self._mine.gpu,)
            )
            self._pools.append(self._mine.pool)
        return self._mine.pool

    def stop(self) -> None:
        """Kill the worker processes, whatever they do; the calls they were on fail.

        Only processes of this executor end: a pool or a DataLoader of the caller's goes on.
        """
        with self._starting:
            self._stopped = True
            for pool in self._pools:
                for process in list((pool._processes or {}).values()):
                    process.kill()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """As of any executor."""
        super().shutdown(wait, cancel_futures=cancel_futures or self._stopped)
        for pool in self._pools:
            pool.shutdown(wait)


def processes(workers: int | None = None) -> Processes:
    """`workers` fresh single-threaded processes (default: one per core). ValueError unless >= 1."""
    workers = cores() if workers is None else workers
    if isinstance(workers, bool) or not isinstance(workers, int) or workers < 1:
        raise ValueError(f"workers is {workers!r}; it must be a whole number of processes, at least 1")
    return Processes(workers)


@contextlib.contextmanager
def connect(scheduler: str, *, resources: dict | None = None, timeout: float = 30.0) -> Iterator[Executor]:
    """An executor on the dask cluster whose scheduler listens at `scheduler` ("tcp://host:port").

    Args:
        resources: what a unit occupies, e.g. {"GPU": 1}; only workers started with that resource then get units.
        timeout: seconds to wait for the scheduler.

    Raises:
        ModuleNotFoundError: without dask.distributed.
        ConnectionError: when no scheduler answers.
        ValueError: for an address that is none.
    """
    if not isinstance(scheduler, str) or "://" not in scheduler:
        raise ValueError(f"scheduler is {scheduler!r}; it must be an address like 'tcp://host:8786'")
    try:
        from distributed import Client
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            f"scheduler is {scheduler!r}, but dask.distributed is not installed; pip install 'relstab[cluster]'"
        ) from None
    try:
        client = Client(scheduler, timeout=timeout, set_as_default=False)
    except OSError:
        raise ConnectionError(
            f"scheduler is {scheduler!r}, but no dask scheduler answers there within {timeout:g} s"
        ) from None
    with client:
        yield client.get_executor(pure=False, **({"resources": resources} if resources else {}))


@contextlib.contextmanager
def unwinding() -> Iterator[None]:
    """Inside, SIGTERM unwinds the stack as Ctrl-C does (SystemExit 143), so that child processes can be ended.

    >>> with unwinding():
    ...     signal.raise_signal(signal.SIGTERM)
    Traceback (most recent call last):
    SystemExit: 143
    """
    if threading.current_thread() is not threading.main_thread():  # only the main thread may set handlers
        yield
        return

    def stop(number, frame):
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def executor(*, jobs: int = 1, scheduler: str | None = None, gpus: int = 0) -> Iterator[Executor | None]:
    """What the command line asks for: a dask cluster, `jobs` processes, or None (one after the other, here).

    Args:
        gpus: dask resource "GPU" that a unit takes.

    Raises:
        ValueError: for jobs < 1, or gpus without a scheduler.
    """
    if gpus and not scheduler:
        raise ValueError(f"gpus is {gpus!r}, but only the workers of a scheduler have the resource GPU; give one")
    if scheduler is not None:
        with connect(scheduler, resources={"GPU": gpus} if gpus else None) as cluster:
            yield cluster
    elif jobs == 1:
        yield None
    else:
        with unwinding(), processes(jobs) as pool:
            try:
                yield pool
            # Ctrl-C and SIGTERM, too: what runs resumes from its checkpoint another time.
            except BaseException:
                pool.stop()
                raise
