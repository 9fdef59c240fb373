"""Fuzzes the readers of `.net` and `.nir` files: mutations of valid files must be refused in one clear line, or load
rightly.

    python toolchain/benchmarks/fuzz_netx.py [--nir] [--n 10000] [--seed 0] [--files DIR|FILE...] [--keep DIR] [--json]

Half of the mutations change raw bytes, half the HDF5 tree, of files in plain, chunked, compressed and the latest form.
Each file is loaded in a process of its own interpreter, which together with the child that reads HDF5 for it may take
6 s of the processor and 1 GB more than it had. What loads must come back the same from `save`, and a `.net` must equal
what lava-dl's own NetX makes of the same file (nothing is run there), where lava-dl is installed.

`loaded` and `refused` are good. Everything else is a failure: `message` (a refusal without the file's name, longer than
one line or with control characters), `traceback`, `crash`, `hang`, `memory`, `differs` (from NetX, or after `save`) and
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
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, fields, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from netx_mutations import mutate, valid_files, valid_graphs
from snnkd import formats
from snnkd.base.errors import FormatError, QuantizationError
from snnkd.engines import lava
from snnkd.formats import netx
from snnkd.formats.hdf5.process import LIMITS, READER
from snnkd.ir.network import Conv, Dense, Input, IntNet, Layer, per_neuron

SECONDS = 1.0 + LIMITS["seconds"]
MEGABYTES = 1024
GOOD = ("loaded", "refused")
# What new memory of a process holds, where the C library is glibc: what was read beyond an end then differs from NetX's
_TELLING = {"MALLOC_PERTURB_": "85", "GLIBC_TUNABLES": "glibc.malloc.tcache_count=0"}
Compared = tuple[str, Any, Any]  # name, what it is here, what it is there


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


# What is right: the file as `save` writes it again, and lava-dl's NetX


def _first(compared: Iterable[Compared]) -> str:
    """The first name of what differs, '' where nothing does."""
    return next((name for name, left, right in compared if not np.array_equal(left, right)), "")


def difference(first: IntNet, second: IntNet) -> str:
    """The first thing in which two networks differ, '' where none does."""
    return _first((name, left, right) for (name, left), (_, right) in zip(_parts(first), _parts(second), strict=False))


def _parts(net: IntNet) -> Iterator[tuple[str, Any]]:
    for name in ("input_shape", "steps", "message_bits", "encoding", "readout", "provenance", "names"):
        yield name, getattr(net, name)
    for name, layer in zip(net.names, net.layers, strict=True):
        yield f"{name}: kind or shape", f"{type(layer).__name__} {layer.shape}"
        yield f"{name}: kind of neurons", layer.neuron.kind
        for parameter in (field.name for field in fields(layer.neuron)):
            own = getattr(layer.neuron, parameter)
            yield f"{name}.{parameter}", own if isinstance(own, str) else _spread(layer, parameter)
        for what in ("weight", "weight_exp", "delay", "stride", "padding", "dilation", "groups"):
            yield f"{name}.{what}", getattr(layer, what, None)


def _spread(layer: Layer, parameter: str) -> np.ndarray:
    """The parameter of each neuron; no bias is a bias of 0."""
    values = getattr(layer.neuron, parameter)
    return np.broadcast_to(per_neuron(np.array(0) if values is None else values, layer.shape), layer.shape)


def lava_difference(net: IntNet, path: Path) -> str:
    """What differs between `net` and what NetX makes of the file, '' where nothing does. Raises what NetX raises."""
    sys.path.insert(0, str(lava.WORKER))  # as in the worker, which is a script
    from record import Network  # pyright: ignore[reportMissingImports]

    shape = None if isinstance(net.layers[0], Dense | Input) else net.input_shape[::-1]
    with h5py.File(path) as file:  # NetX stops at an average, which for us is the readout
        layers: Any = file["layer"]
        count = len(layers) - (b"average" in np.ravel(layers[f"{len(layers) - 1}/type"][()]))
    network = Network(str(path), count, input_message_bits=net.message_bits, input_shape=shape)
    try:
        if len(network.layers) != len(net.layers):
            return f"{len(net.layers)} layers, in NetX {len(network.layers)}"
        bits = net.message_bits
        for name, layer, theirs in zip(net.names, net.layers, network.layers, strict=True):
            if difference := _layer_difference(layer, theirs, bits):
                return f"{name}: {difference}"
            bits = 0 if layer.neuron.kind == "cuba" else 16
        return ""
    finally:
        network.net_config.f.file.close()


def _parameters(layer: Layer, theirs: Any) -> dict[str, np.ndarray]:
    """What NetX's neurons have, by the name of ours; biases and thresholds of sigma-delta ones without their shift."""
    if layer.neuron.kind == "cuba":
        return {
            "current_decay": np.asarray(theirs.du.init) + 1,
            "voltage_decay": np.asarray(theirs.dv.init),
            "threshold": np.minimum(theirs.vth.init, 1 << 17),
            "bias": np.asarray(theirs.bias_mant.init).astype(np.int16),
        }
    if layer.neuron.kind == "sigma":
        return {}
    names = {"threshold": "vth", "spike_exp": "spike_exp", "state_exp": "state_exp", "cumulative": "cum_error"}
    names |= {"bias": "bias"} if layer.neuron.kind == "sigma-delta" else {}
    shift = layer.neuron.spike_exp + layer.neuron.state_exp
    values = {name: np.asarray(getattr(theirs, var).init) for name, var in names.items()}
    return {name: value >> shift if name in ("threshold", "bias") else value for name, value in values.items()}


def _layer_difference(layer: Layer, theirs: Any, bits: int) -> str:
    if type(layer).__name__ != type(theirs).__name__ or layer.shape[::-1] != tuple(theirs.shape):
        return f"{type(layer).__name__} {layer.shape}, in NetX {type(theirs).__name__} {tuple(theirs.shape)} (W, H, C)"
    process = {"cuba": "LIF", "delta": "Delta", "sigma-delta": "SigmaDelta", "sigma": "Sigma"}[layer.neuron.kind]
    if type(theirs.neuron).__name__ != process:
        return f"neurons of the kind '{layer.neuron.kind}', in NetX {type(theirs.neuron).__name__}"
    parameters = _parameters(layer, theirs.neuron)
    compared: list[Compared] = [
        (name, _spread(layer, name).T, np.broadcast_to(values, theirs.shape)) for name, values in parameters.items()
    ]
    if not isinstance(layer, Input):
        compared.append(("message bits", bits, int(theirs.synapse.num_message_bits.init)))
        compared += _of_conv(layer, theirs.synapse) if isinstance(layer, Conv) else _of_dense(layer, theirs.synapse)
    return _first(compared)


def _of_conv(layer: Conv, synapse: Any) -> list[Compared]:
    pairs = ("stride", "padding", "dilation")
    return [
        ("weight", layer.weight[:, :, ::-1, ::-1].transpose(0, 3, 2, 1), synapse.weight.init),
        *((name, getattr(layer, name)[::-1], np.ravel(getattr(synapse, name).init)) for name in pairs),
        ("groups", layer.groups, int(synapse.groups.init)),
    ]


def _of_dense(layer: Dense, synapse: Any) -> list[Compared]:
    from lava.utils.weightutils import clip_weights, determine_sign_mode, truncate_weights

    how, held = synapse.proc_params, synapse.weights.init
    mode = how.get("sign_mode") or determine_sign_mode(held)
    held = truncate_weights(clip_weights(held, mode, num_bits=8), mode, how.get("num_weight_bits", 8))
    return [
        ("weight", layer.weight * 2.0**layer.weight_exp, held * 2.0 ** how.get("weight_exp", 0)),
        ("delay", layer.delay, getattr(getattr(synapse, "delays", None), "init", None)),
    ]


# The processes that load


def _status(field: str) -> float:
    """A size of this process, in MB."""
    return int(Path("/proc/self/status").read_text().split(f"{field}:")[1].split()[0]) / 1024


def load_files(connection: Connection) -> None:
    """For each path received: (outcome, detail, seconds, megabytes)."""
    warnings.simplefilter("ignore")
    os.environ |= {**_TELLING, "MALLOC_PERTURB_": "170"}  # for the child that reads HDF5: unlike in compare_files
    limit = int((_status("VmSize") + 4 * MEGABYTES) * (1 << 20))
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    while True:
        path = Path(connection.recv())
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins here
        before, start, net = _status("VmRSS"), time.process_time(), None
        try:
            net = formats.load(path)
            outcome, detail = "loaded", ""
        except FormatError as error:
            # It names the file first, is one line without control characters, and short.
            message, name = str(error), str(path)
            good = message.startswith(f"{name}: ") and message.isprintable() and len(message) < len(name) + 500
            outcome, detail = "refused" if good else "message", message.replace(name, "FILE")[:600]
            outcome = "memory" if isinstance(error.__cause__, MemoryError) else outcome
        except BaseException:
            outcome, detail = "traceback", traceback.format_exc(limit=-2).replace("\n", " | ")
        seconds = time.process_time() - start + READER.used["seconds"]
        megabytes = _status("VmHWM") - before + READER.used["megabytes"]
        if net is not None:
            again = _saved_again(net, path)
            outcome, detail = ("differs", f"saved again: {again}") if again else (outcome, detail)
        connection.send((outcome, detail, seconds, megabytes))


def _saved_again(net: IntNet, path: Path) -> str:
    copy = path.with_stem(f"{path.stem}-again")
    try:
        formats.save(net, copy)
        return difference(net, formats.load(copy))
    except QuantizationError:
        return ""
    except Exception as error:
        return repr(error)[:300]
    finally:
        copy.unlink(missing_ok=True)


def compare_files(connection: Connection) -> None:
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

    def __init__(self, work: Callable[[Connection], None]) -> None:
        self.work, self.process, self.count = work, None, 0

    def ask(self, item: str, seconds: float) -> tuple | str:
        """The answer, 'hang' or 'crash'."""
        if self.process is None or self.count >= 1000:
            self.stop()
            context = multiprocessing.get_context("spawn")
            self.connection, theirs = context.Pipe()
            self.process, self.count = context.Process(target=self.work, args=(theirs,), daemon=True), 0
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
    """Mutations of the files `sources`, made in `folder`; those that fail are copied to `keep`."""

    sources: list[Path]
    seed: int
    folder: Path
    keep: Path
    with_lava: bool
    suffix: str = ".net"

    def work(self, indices: range) -> list[Result]:
        loader, comparer, results = Child(load_files), Child(compare_files), []
        for index in indices:
            path = self.folder / f"{self.seed}-{index}{self.suffix}"
            result = self._one(index, path, loader, comparer)
            if result.outcome not in GOOD:
                self.keep.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, self.keep)
                print(f"{path.name}: {result.kind}: {result.outcome}: {result.detail}", file=sys.stderr, flush=True)
            results.append(result)
            path.unlink()
        loader.stop()
        comparer.stop()
        return results

    def _one(self, index: int, path: Path, loader: Child, comparer: Child) -> Result:
        result = Result(index, mutate(self.seed, index, self.sources, path), "")
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


def _print(results: dict) -> None:
    outcomes = sorted(results["outcomes"], key=lambda outcome: (outcome not in GOOD, outcome))
    print(f"{'mutation':22}" + "".join(f"{outcome:>18}" for outcome in outcomes))
    for kind, counts in [*results["kinds"].items(), ("all", results["outcomes"])]:
        print(f"{kind:22}" + "".join(f"{counts.get(outcome, 0):18}" for outcome in outcomes))
    print(f"\nslowest {results['slowest_s']:.2f} s, largest {results['largest_mb']:.0f} MB")
    print(f"{results['compared']} networks compared with NetX\n\nmost frequent refusals:")
    for reason, count in results["reasons"].items():
        print(f"{count:7} {reason}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--nir", action="store_true", help="`.nir` files")
    parser.add_argument("--n", type=int, default=10_000, help="number of mutations")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--files", type=Path, nargs="+", default=[], help="valid files or folders, not the built-in")
    parser.add_argument("--keep", type=Path, default=Path("fuzz_netx_failures"), help="folder for failing files")
    parser.add_argument("--only", type=int, help="index of the one mutation to run")
    parser.add_argument("--no-lava", action="store_true", help="no comparison with NetX")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    indices = range(options.n) if options.only is None else range(options.only, options.only + 1)
    with_lava = not (options.nir or options.no_lava or lava.available())
    if not (with_lava or options.nir):
        print(f"not compared with NetX: {lava.available() or '--no-lava'}", file=sys.stderr)
    os.environ |= _TELLING
    with tempfile.TemporaryDirectory(prefix="fuzz-netx-") as name:
        folder = Path(name)
        suffix = ".nir" if options.nir else ".net"
        given = [sorted(path.rglob(f"*{suffix}")) if path.is_dir() else [path] for path in options.files]
        sources = [path for paths in given for path in paths] or (valid_graphs if options.nir else valid_files)(folder)
        run = Run(sources, options.seed, folder, options.keep, with_lava, suffix)
        with ThreadPoolExecutor(2) as pool:
            parts = pool.map(run.work, (indices[k::2] for k in range(2)))
            results = summary(sorted((result for part in parts for result in part), key=lambda result: result.index))
    print(json.dumps(results)) if options.json else _print(results)
    if results["failures"]:
        sys.exit(f"{len(results['failures'])} failures, in {options.keep}")


if __name__ == "__main__":
    main()
