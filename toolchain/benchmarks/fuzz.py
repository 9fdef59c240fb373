"""Fuzzes the readers of files: mutations of valid files must be refused in one clear line, or load rightly.

    python toolchain/benchmarks/fuzz.py READER [--n 2000] [--seed 0] [--files DIR|FILE...] [--keep DIR] [--json]

READER is `net` or `nir`, networks; `npy`, events; `trace`, a recording for `verify --against`; `npz`, a data set of
one's own; `logits`; `recipe`, `network`, `target`, TOML; `checkpoint` of a training; `bundle`, up to the checks that
run its code; `recording`, .bin, .aedat, .npy, .npz; `spikes`, the .h5 of the Heidelberg sets. Or `all`, one after the
other. fuzz_readers.py has them.

Each file is loaded in a process of its own interpreter, which together with the child that reads HDF5 for it may take
6 s of the processor and 1 GB more than it had. What loads must come back the same when it is saved again, where
snnkd saves such files, and a `.net` must equal what lava-dl's own NetX makes of the same file (nothing is run there),
where lava-dl is installed. The file must be as it was, and nothing may lie beside it.

`loaded` and `refused` are good. Everything else is a failure: `message` (a refusal without the file's name, longer than
one line, but of a table with several problems, or with control characters), `traceback`, `crash`, `hang`, `memory`,
`lost` (the file changed, or something was left beside it), `differs` (from NetX, or when it was saved again) and
`stricter in Lava` (NetX cannot load what we load). Failing files are kept in DIR and the exit status is 1. Mutation i
of a seed is always the same file; --only i runs it alone.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import io
import json
import multiprocessing
import os
import re
import resource
import shutil
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path

from fuzz_readers import READERS, Reader
from netx_comparison import lava_difference
from snnkd.base.errors import SnnkdError
from snnkd.engines import lava
from snnkd.formats import netx
from snnkd.formats.hdf5 import process

SECONDS = 1.0 + process.LIMITS["seconds"]
MEGABYTES = 1024
GOOD = ("loaded", "refused")
_LONGEST = 1600  # characters of a line of a message
# What new memory of a process holds, where the C library is glibc: what was read beyond an end then differs from NetX's
_TELLING = {"MALLOC_PERTURB_": "85", "GLIBC_TUNABLES": "glibc.malloc.tcache_count=0"}


@dataclass
class Result:
    """What became of one mutated file; `seconds` of the processor, `megabytes` on top of what the process had.

    Both are sums of the process that loads and of the one that reads HDF5 for it.
    """

    index: int
    kind: str
    outcome: str
    detail: str = ""
    seconds: float = 0.0
    megabytes: float = 0.0
    compared: bool = False


# The processes that load


def _status(field: str) -> float:
    """A size of this process, in MB."""
    return int(Path("/proc/self/status").read_text().split(f"{field}:")[1].split()[0]) / 1024


def attempt(reader: Reader, path: Path) -> tuple[str, str]:
    """Loads a file as snnkd does; (outcome, detail), those of good ones included."""
    before, beside = path.read_bytes(), set(path.parent.iterdir())
    outcome, detail = _loaded(reader, path)
    if outcome in GOOD and (path.read_bytes() != before or set(path.parent.iterdir()) != beside):
        return "lost", "the file was changed, or something is left beside it"
    return outcome, detail


def _loaded(reader: Reader, path: Path) -> tuple[str, str]:
    try:
        found = reader.load(path)
    except SnnkdError as error:
        # It names the file, is one line without control characters (a table's problems have lines), and short.
        message, name = str(error), str(path)
        lines = message.split("\n") if reader.lines else [message]
        good = name in message and all(map(str.isprintable, lines)) and all(len(line) < _LONGEST for line in lines)
        outcome = "memory" if isinstance(error.__cause__, MemoryError) else "refused" if good else "message"
        return outcome, message.replace(name, "FILE")[:600]
    except BaseException:
        return "traceback", traceback.format_exc(limit=-2).replace("\n", " | ")
    try:
        different = reader.again(found, path)
    except Exception as error:
        different = repr(error)[:300]
    return ("differs", f"saved again: {different}") if different else ("loaded", "")


def load_files(connection: Connection, name: str) -> None:
    """For each path received: (outcome, detail, seconds, megabytes)."""
    warnings.simplefilter("ignore")
    reader = READERS[name]
    os.environ |= {**_TELLING, "MALLOC_PERTURB_": "170"}  # for the child that reads HDF5: unlike in compare_files
    with tempfile.TemporaryDirectory() as folder:  # what is only imported with the first file is no part of the others
        attempt(reader, reader.valid(Path(folder))[0])
    limit = int((_status("VmSize") + 4 * MEGABYTES) * (1 << 20))
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    while True:
        path = Path(connection.recv())
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins here
        process.READER.used.update(seconds=0.0, megabytes=0.0)
        before, start = _status("VmRSS"), time.process_time()
        outcome, detail = attempt(reader, path)
        seconds = time.process_time() - start + process.READER.used["seconds"]
        connection.send((outcome, detail, seconds, _status("VmHWM") - before + process.READER.used["megabytes"]))


def compare_files(connection: Connection, _: str) -> None:
    """For each path received: (outcome, detail) of the comparison with NetX."""
    warnings.simplefilter("ignore")
    multiprocessing.set_start_method(None, force=True)  # Lava sets its own
    while True:
        path = Path(connection.recv())
        net = netx.load(path)
        with contextlib.redirect_stdout(io.StringIO()):
            try:
                difference = lava_difference(net, path)
                connection.send(("differs", f"from NetX: {difference}") if difference else ("loaded", ""))
            except Exception as error:
                place = traceback.extract_tb(error.__traceback__)[-1]
                text = f"{type(error).__name__}: {error} ({place.name})".replace(str(path), "FILE")
                connection.send(("stricter in Lava", " ".join(text.split())[:300]))


class Child:
    """A process that answers, one at a time, what `work` does with what is sent; started again when it had to end."""

    def __init__(self, work: Callable[[Connection, str], None], name: str) -> None:
        self.work, self.name, self.process, self.count = work, name, None, 0

    def ask(self, item: str, seconds: float) -> tuple | str:
        """The answer, 'hang' or 'crash'."""
        if self.process is None or self.count >= 1000:
            self.stop()
            context = multiprocessing.get_context("spawn")
            self.connection, theirs = context.Pipe()
            self.process, self.count = context.Process(target=self.work, args=(theirs, self.name), daemon=True), 0
            self.process.start()
            theirs.close()
            seconds += 60  # its imports
        self.count += 1
        self.connection.send(item)
        try:
            if self.connection.poll(seconds):
                return self.connection.recv()
            answer = "hang"
        except (EOFError, ConnectionError):
            answer = "crash"
        self.stop()
        return answer

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.join()
            self.connection.close()
            self.process = None


# The run


@dataclass(frozen=True)
class Run:
    """Mutations of the files `sources` of a reader, made in `folder`; those that fail are copied to `keep`."""

    name: str
    sources: list[Path]
    seed: int
    folder: Path
    keep: Path
    with_lava: bool

    def work(self, indices: range) -> list[Result]:
        loader, comparer, results = Child(load_files, self.name), Child(compare_files, self.name), []
        suffixes = sorted({source.suffix for source in self.sources})
        for index in indices:
            own = self.folder / str(index)
            own.mkdir()
            path = own / f"{self.name}-{self.seed}-{index}{suffixes[index % len(suffixes)]}"
            result = self._one(index, path, loader, comparer)
            if result.outcome not in GOOD:
                self.keep.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, self.keep)
                print(f"{path.name}: {result.kind}: {result.outcome}: {result.detail}", file=sys.stderr, flush=True)
            results.append(result)
            shutil.rmtree(own)
        loader.stop()
        comparer.stop()
        return results

    def _one(self, index: int, path: Path, loader: Child, comparer: Child) -> Result:
        alike = [source for source in self.sources if source.suffix == path.suffix]
        result = Result(index, READERS[self.name].mutate(self.seed, index, alike, path), "")
        answer = loader.ask(str(path), 5 * SECONDS)  # on a busy machine, the processor's seconds are fewer
        if isinstance(answer, str):
            return replace(result, outcome=answer)
        result.outcome, result.detail, result.seconds, result.megabytes = answer
        if result.seconds > SECONDS:
            result.outcome = "hang"
        elif result.megabytes > MEGABYTES:
            result.outcome = "memory"
        if result.outcome == "loaded" and self.with_lava:
            answer = comparer.ask(str(path), 60.0)
            result.outcome, result.detail = ("stricter in Lava", answer) if isinstance(answer, str) else answer
            result.compared = True
        return result


def summary(results: list[Result]) -> dict:
    """The table as data."""
    kinds: dict[str, collections.Counter] = collections.defaultdict(collections.Counter)
    for result in results:
        kinds[result.kind][result.outcome] += 1
    reasons = collections.Counter(_reason(result.detail) for result in results if result.outcome == "refused")
    return {
        "n": len(results),
        "outcomes": dict(collections.Counter(result.outcome for result in results)),
        "kinds": {kind: dict(kinds[kind]) for kind in sorted(kinds)},
        "slowest_s": max(result.seconds for result in results),
        "largest_mb": max(result.megabytes for result in results),
        "compared": sum(result.compared for result in results),
        "reasons": dict(reasons.most_common(25)),
        "failures": [asdict(result) for result in results if result.outcome not in GOOD],
    }


def _reason(message: str) -> str:
    """A message without what differs between files: place, numbers, quotations."""
    message = re.sub(r"'[^']*'", "'...'", message.removeprefix("FILE: "))
    return re.sub(r"-?\d[\d.e+]*", "#", message)[:90]


def _print(name: str, results: dict) -> None:
    print(f"{name}: {results['n']} mutations")
    outcomes = sorted(results["outcomes"], key=lambda outcome: (outcome not in GOOD, outcome))
    print(f"{'mutation':22}" + "".join(f"{outcome:>18}" for outcome in outcomes))
    for kind, counts in [*results["kinds"].items(), ("all", results["outcomes"])]:
        print(f"{kind:22}" + "".join(f"{counts.get(outcome, 0):18}" for outcome in outcomes))
    print(f"\nslowest {results['slowest_s']:.2f} s, largest {results['largest_mb']:.0f} MB")
    if results["compared"]:
        print(f"{results['compared']} networks compared with NetX")
    print("\nmost frequent refusals:")
    for reason, count in results["reasons"].items():
        print(f"{count:7} {reason}")


def fuzzed(name: str, options: argparse.Namespace) -> dict:
    """Runs the mutations of one reader; the table as data."""
    reader = READERS[name]
    indices = range(options.n) if options.only is None else range(options.only, options.only + 1)
    with_lava = name == "net" and not (options.no_lava or lava.available())
    if name == "net" and not with_lava:
        print(f"not compared with NetX: {lava.available() or '--no-lava'}", file=sys.stderr)
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        valid, work = Path(folder) / "valid", Path(folder) / "work"
        valid.mkdir()
        work.mkdir()
        sources = [path for given in options.files for path in (_files(given) if given.is_dir() else [given])]
        run = Run(name, sources or reader.valid(valid), options.seed, work, options.keep, with_lava)
        with ThreadPoolExecutor(2) as pool:
            parts = pool.map(run.work, (indices[k::2] for k in range(2)))
            return summary(sorted((result for part in parts for result in part), key=lambda result: result.index))


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("reader", choices=[*READERS, "all"], metavar="READER", help=", ".join([*READERS, "all"]))
    parser.add_argument("--n", type=int, default=2000, help="number of mutations")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--files", type=Path, nargs="+", default=[], help="valid files or folders, not the built-in")
    parser.add_argument("--keep", type=Path, default=Path("fuzz_failures"), help="folder for failing files")
    parser.add_argument("--only", type=int, help="index of the one mutation to run")
    parser.add_argument("--no-lava", action="store_true", help="no comparison with NetX")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    os.environ |= _TELLING
    failures = 0
    for name in READERS if options.reader == "all" else [options.reader]:
        results = fuzzed(name, options)
        failures += len(results["failures"])
        print(json.dumps({"reader": name, **results})) if options.json else _print(name, results)
    if failures:
        sys.exit(f"{failures} failures, in {options.keep}")


if __name__ == "__main__":
    main()
