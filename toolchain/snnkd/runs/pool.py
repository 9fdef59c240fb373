"""Where many trainings run at once: processes of this machine, or a Ray cluster. Both take functions and arguments and
give futures, so that whoever submits need not know which one it is.

    with open_pool(jobs=4) as pool:
        futures = [pool.submit(work, cell) for cell in cells]
"""

from __future__ import annotations

import contextlib
import io
import multiprocessing
import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import Connection
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Protocol, TextIO

from snnkd.base import packages
from snnkd.base.errors import LimitError, SnnkdError, in_a_line
from snnkd.engines.fast.threads import cores

STARTS = 3  # of one call: as often as its process or its node may die, and it goes on elsewhere


class Pool(Protocol):
    """slots: how many calls run at once."""

    slots: int

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Has `function(*arguments)` run in another process, with one thread of torch; all three can be pickled.

        The future raises what the function raises. A call whose process dies is started again, so it should go on
        where it was; the third time SnnkdError says so.
        """
        ...


@contextlib.contextmanager
def open_pool(jobs: int | None = None, ray: str | None = None, gpus: float = 0) -> Iterator[Pool]:
    """Opens a pool until the block ends; calls that run then, or wait, end without a result.

    jobs: processes of this machine, as many as it has cores where None. ray: the address of a Ray cluster instead, as
    `ray.init` takes it: 'auto', HOST:PORT or ray://HOST:PORT; where snnkd is installed on all its nodes. gpus: that a
    call takes of a node of it. Raises LimitError for both, for no process, without Ray and where no cluster answers.
    """
    if ray is not None and jobs is not None:
        raise LimitError(f"--jobs {jobs}: is for this machine; with --ray, the cluster runs as many as it has cores")
    if jobs is not None and jobs < 1:
        raise LimitError(f"--jobs {jobs}: expected at least 1")
    if ray is None:
        with contextlib.closing(_Processes(jobs or cores())) as pool:
            yield pool
        return
    with contextlib.redirect_stdout(_Told(sys.stdout)), contextlib.closing(_Cluster(ray, gpus)) as pool:
        yield pool


class _Processes:
    """Threads, each with a process of its own at a time: one that dies takes no other call with it."""

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self._context = multiprocessing.get_context("spawn")  # torch's threads do not survive a fork
        self._listener, self._alive = self._context.Pipe(duplex=False)
        self._threads = ThreadPoolExecutor(slots)
        self._idle: SimpleQueue[ProcessPoolExecutor] = SimpleQueue()
        for _ in range(slots):
            self._idle.put(self._process())

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        return self._threads.submit(self._call, function, *arguments)

    def close(self) -> None:
        self._alive.close()  # ends the processes, and so what the threads wait for
        self._threads.shutdown(cancel_futures=True)
        while not self._idle.empty():
            self._idle.get().shutdown()
        self._listener.close()

    def _process(self) -> ProcessPoolExecutor:
        """A process that starts with its first call."""
        return ProcessPoolExecutor(1, self._context, _prepare, (self._listener,))

    def _call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        process = self._idle.get()
        try:
            for _ in range(STARTS):
                try:
                    return process.submit(function, *arguments).result()
                except BrokenProcessPool:
                    process.shutdown()
                    if self._alive.closed:
                        break
                    process = self._process()
            raise SnnkdError(f"its process ended without a word, {STARTS} times: look for a lack of memory")
        finally:
            self._idle.put(process)


def _prepare(alive: Connection) -> None:
    """Makes the process that this runs in one for calls: with a single thread, without Ctrl-C, which is for its parent,
    and ended as soon as its parent has ended or closed the other end of `alive`."""
    os.environ["OMP_NUM_THREADS"] = "1"
    if torch := sys.modules.get("torch"):  # the user's script has loaded it
        torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        with contextlib.suppress(EOFError, OSError):
            alive.recv()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


class _Cluster:
    """The cores of a Ray cluster. A node that joins it later is used too."""

    def __init__(self, address: str, gpus: float) -> None:
        packages.require("--ray", "ray")
        import ray as imported

        self._ray: Any = imported
        ray = self._ray
        self._joined = not ray.is_initialized()
        if self._joined:
            try:
                ray.init(address, log_to_driver=False, logging_level="ERROR")
            except Exception as error:  # Ray's own are of no class
                raise LimitError(f"--ray {address}: no cluster answers there: {in_a_line(error)}") from error
        self.slots = int(ray.cluster_resources().get("CPU", 1))
        self._remote = ray.remote(num_cpus=1, num_gpus=gpus, max_retries=STARTS - 1)(_call)
        self._waiting: set[Any] = set()

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        reference, future = self._remote.remote(Path.cwd(), function, *arguments), Future()
        self._waiting.add(reference)
        future.set_running_or_notify_cancel()  # Ray has it

        def settle(done: Future[Any]) -> None:
            self._waiting.discard(reference)
            error: Any = done.exception()
            if error is None:
                future.set_result(done.result())
            elif isinstance(error, self._ray.exceptions.RayTaskError):
                future.set_exception(error.cause)  # what the function raised, without Ray's account of it
            else:
                future.set_exception(SnnkdError(f"its process or its node ended: {in_a_line(error)}"))

        reference.future().add_done_callback(settle)
        return future

    def close(self) -> None:
        for reference in list(self._waiting):
            self._ray.cancel(reference, force=True)
        if self._joined:
            self._ray.shutdown()


class _Told(io.TextIOBase):
    """stdout meanwhile. A thread of Ray's writes there, pages at a time, of nodes that die: its messages become lines
    on stderr."""

    def __init__(self, stdout: TextIO) -> None:
        self._stdout = stdout

    def write(self, text: str) -> int:
        if not threading.current_thread().name.startswith("ray_"):
            return self._stdout.write(text)
        if line := in_a_line(re.sub(r"\x1b\[\d+m", "", text).strip().split("\n")[0]):
            print(line, file=sys.stderr)
        return len(text)

    def flush(self) -> None:
        self._stdout.flush()


def _call(folder: Path, function: Callable[..., Any], *arguments: Any) -> Any:
    """What Ray runs, in the caller's folder where that is shared; it gives a call of one core one thread of OpenMP."""
    with contextlib.suppress(OSError):
        os.chdir(folder)
    return function(*arguments)
