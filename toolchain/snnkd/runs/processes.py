"""The processes that train a recipe together: where each of them stands, how they start, and how all end when one does.

`snnkd train --devices N` leads, and starts the other N - 1 of its machine. What they compute together is in
`training.group`. They read the recipe and the data, and write nothing; all else comes from the leading process.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from snnkd import recipe as recipes
from snnkd.base import progress
from snnkd.base.errors import LimitError, SnnkdError, SnnkdWarning, in_a_line
from snnkd.recipe import Recipe
from snnkd.runs.subject import read_data, read_frames

if TYPE_CHECKING:
    from snnkd.training.group import Group, Store

_TORCHRUN = "TORCHELASTIC_RUN_ID"  # what torchrun, and nobody else, sets
_NODE = ("MASTER_ADDR", "MASTER_PORT", "NODE_RANK")
_SECONDS = 10.0  # that processes take to end once another one has
_BOOT = """if True:
    import json, sys
    sys.path[:] = json.loads(sys.argv[1])
    from snnkd.runs import processes
    processes.main()
"""


@dataclass(frozen=True)
class Place:
    """Where a process stands: the number `rank` of `size`, and the number `local_rank` of the `local` ones of its
    machine.

    address, port: where all meet, None where torchrun says it. starts: how many processes it starts itself.
    """

    rank: int
    size: int
    local_rank: int
    local: int
    address: str | None = None
    port: int = 0
    starts: int = 0


def place(devices: int, nodes: int, environment: Mapping[str, str] = os.environ) -> Place:
    """Says where this process stands, one of `devices` on each of `nodes` machines, or where torchrun has put it.

    Raises LimitError where it cannot be told.
    """
    if _TORCHRUN in environment:
        if (devices, nodes) != (1, 1):
            raise LimitError("--devices, --nodes: torchrun says how many there are; leave them out")
        names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
        rank, size, local_rank, local = (int(environment[name]) for name in names)
        return Place(rank, size, local_rank, local)
    if nodes == 1:
        return Place(0, devices, 0, devices, "127.0.0.1", starts=devices - 1)
    address, port, node = (environment.get(name, "") for name in _NODE)
    if not (address and port.isdecimal() and node.isdecimal() and int(node) < nodes):
        raise LimitError(
            f"--nodes {nodes}: set MASTER_ADDR and MASTER_PORT, a host and a free port of the first machine, alike on "
            f"all machines, and NODE_RANK to 0 on that one and up to {nodes - 1} on the others"
        )
    return Place(int(node) * devices, devices * nodes, 0, devices, address, int(port), devices - 1)


@contextlib.contextmanager
def together(stands: Place, device: str, recipe: Path, data_root: str | Path | None) -> Iterator[Group]:
    """Joins all processes within, of which it starts those that are to be started.

    recipe: the file that these read, resolved; data_root: where data sets are. Where one of them ends early all do;
    raises SnnkdError then, which says why.
    """
    from snnkd.training import group
    from snnkd.training.chain import pick_device

    if stands.size == 1:
        yield group.ALONE
        return
    members = group.Group(stands.rank, stands.size, stands.local)
    torch_device, started = pick_device(device), []
    with progress.doing(f"{stands.size} processes meet"), contextlib.ExitStack() as ending:
        met = None
        if stands.address is not None:
            met = group.store(stands.address, stands.port, stands.rank == 0)
            order = {"recipe": str(recipe), "data_root": data_root and str(data_root), "device": torch_device.type}
            for number in range(1, stands.starts + 1):
                there = replace(stands, rank=stands.rank + number, local_rank=number, port=met.port, starts=0)
                started.append(_started({**order, "place": asdict(there)}))
                ending.callback(_ended, started[-1])
        try:
            _wait_for(started, stands, met)
            with group.joined(members, torch_device, stands.local_rank, met):
                progress.say("")
                yield members
            for process in started:
                process.wait()
        except group.LostError as error:
            raise SnnkdError(_reason(started, stands, met) or str(error)) from error


def assist(recipe: Recipe, stands: Place, data_root: str | Path | None, device: str) -> None:
    """Does this process's part of a training that another one leads. Raises as `together` and `Chain.train` do."""
    from snnkd.training.tuning import load_torch

    load_torch()
    from snnkd.training.chain import Chain

    with together(stands, device, Path(os.devnull), data_root) as group:
        # The leading process has read the data before it joined, and fetched what was missing.
        data, frames = read_data(recipe, data_root), read_frames(recipe, data_root)
        Chain(recipe, data, Path(os.devnull), device, frames, group).train([], resume=False)


def main() -> NoReturn:
    """Is what a process runs that `together` has started."""
    order = json.loads(sys.stdin.buffer.readline())
    threading.Thread(target=_end_with_the_other, daemon=True).start()
    member(order)


def member(order: dict) -> NoReturn:
    """Does the part of a training that `order` says, tells the others of an error, and ends this process."""
    warnings.simplefilter("ignore", SnnkdWarning)  # the leading process says the same
    from snnkd.training.tuning import load_torch

    load_torch()
    from snnkd.training import group

    stands, code = Place(**order["place"]), 0
    assert stands.address is not None, "its own processes are told where to meet"
    met = group.store(stands.address, stands.port, serves=False)
    met.set(_ready(stands.rank), "")
    try:
        assist(recipes.load(order["recipe"]), stands, order["data_root"], order["device"])
    except BaseException as error:
        code = 2
        if not isinstance(error.__cause__, group.LostError):  # whoever has ended says why itself
            said = str(error) if isinstance(error, SnnkdError) else f"{type(error).__name__}: {in_a_line(error)}"
            met.set("error", f"{said} (in process {stands.rank + 1} of {stands.size})")
    os._exit(code)  # there is nothing to save, and the end of torch's threads may take long


def _started(order: dict) -> subprocess.Popen[bytes]:
    """Starts a process. What is read from it comes through the store; it ends when its standard input does."""
    process = subprocess.Popen(
        [sys.executable, "-c", _BOOT, json.dumps(sys.path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C is for the leading process
    )
    assert process.stdin is not None
    process.stdin.write(json.dumps(order).encode() + b"\n")
    process.stdin.flush()
    return process


def _ended(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    assert process.stdin is not None
    process.stdin.close()


def _wait_for(started: list[subprocess.Popen[bytes]], stands: Place, met: Store | None) -> None:
    """Waits until the processes that were started are there. Raises SnnkdError where one ends before."""
    for number, process in enumerate(started, start=1):
        assert met is not None
        while not met.check([_ready(stands.rank + number)]):
            if process.poll() is not None:
                ended = f"process {stands.rank + number + 1} of {stands.size} {_said(process)}"
                raise SnnkdError(f"{ended}, before the training began")
            time.sleep(0.01)


def _reason(started: list[subprocess.Popen[bytes]], stands: Place, met: Store | None) -> str | None:
    """Why a process has ended, None where that is not known here."""
    until = time.monotonic() + _SECONDS
    with contextlib.suppress(RuntimeError):  # of a store that has ended too
        while met is not None and time.monotonic() < until:
            if met.check(["error"]):
                return met.get("error").decode()
            for number, process in enumerate(started, start=1):
                if (process.poll() or 0) < 0:
                    return f"process {stands.rank + number + 1} of {stands.size} {_said(process)}"
            time.sleep(0.01)
    return None


def _said(process: subprocess.Popen[bytes]) -> str:
    code = process.returncode
    return f"was ended by signal {-code}; was there enough memory?" if code < 0 else f"ended with status {code}"


def _ready(rank: int) -> str:
    return f"ready {rank}"


def _end_with_the_other() -> NoReturn:
    os.read(0, 1)  # nothing ever comes: its end is that of the process that holds the other one
    os._exit(3)
