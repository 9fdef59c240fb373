"""The readers of files that somebody else may have made, for fuzz.py: valid files of each, how they are mutated, what
reads them, and what of them has to come back when they are saved again."""

# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import h5py
import numpy as np

import netx_mutations
from netx_comparison import difference
from plain_mutations import mutating, of_bytes, of_npy, of_safetensors, of_toml, of_zip
from snnkd import bundle, formats, targets
from snnkd import recipe as recipes
from snnkd.base import files
from snnkd.base.errors import QuantizationError
from snnkd.bundle import proof
from snnkd.data import datasets, inputs, logits
from snnkd.data.samples import Samples, given
from snnkd.engines.conformance import small_net
from snnkd.engines.reference.definition import simulate
from snnkd.ir import partial_trace, trace
from snnkd.ir.event_encoding import EventEncoding
from snnkd.ir.network import IntNet
from snnkd.recipe import architecture
from snnkd.targets import measurement

Mutate = Callable[[int, int, list[Path], Path], str]


@dataclass(frozen=True)
class Reader:
    """valid: writes small valid files into a folder. mutate: writes mutation `index` of `seed` of one of some files,
    and returns its kind. load: reads a file as snnkd does. again: what is lost or changed when that is saved and read
    again, '' for nothing. lines: whether a refusal may list several problems."""

    valid: Callable[[Path], list[Path]]
    mutate: Mutate
    load: Callable[[Path], Any]
    again: Callable[[Any, Path], str] = lambda *_: ""
    lines: bool = False


def _network_again(net: IntNet, path: Path) -> str:
    copy = path.with_stem(f"{path.stem}-again")
    try:
        formats.save(net, copy)
        return difference(net, formats.load(copy))
    except QuantizationError:
        return ""
    finally:
        copy.unlink(missing_ok=True)


# Arrays


@cache
def _net() -> IntNet:
    """(2, 4, 5), three layers, events 0 or 1."""
    return small_net(3)


def _events(samples: int = 3, steps: int = 7) -> np.ndarray:
    shape = (samples, steps, *_net().input_shape)
    return (np.random.default_rng(0).random(shape) < 0.3).astype(np.uint8)


def _valid_npy(folder: Path) -> list[Path]:
    events = _events()
    forms = {
        "u1": events,
        "i8": events.astype(np.int64),
        "bool": events.astype(bool),
        "fortran": np.asfortranarray(events),
    }
    forms |= {"flat": events.reshape(3, 7, -1), "big": events.astype(">i4")}
    for name, array in forms.items():
        np.save(folder / f"{name}.npy", array)
    return [folder / f"{name}.npy" for name in forms]


def _valid_traces(folder: Path) -> list[Path]:
    run = simulate(_net(), _events(), states=True)
    trace.save(run, folder / "whole.npz")
    last = run.layers[-1]
    part = {last.name: last.spikes[:, :, :2], f"{last.name}_neurons": np.array([1, 0]), "layer0_v": run.layers[0].v}
    np.savez(folder / "part.npz", **part)  # pyright: ignore[reportArgumentType]
    return [folder / "whole.npz", folder / "part.npz"]


def _valid_data_sets(folder: Path) -> list[Path]:
    random = np.random.default_rng(0)
    images, labels = random.integers(0, 256, (40, 6, 5), np.uint8), np.arange(40) % 4
    np.savez_compressed(folder / "own.npz", x=images, y=labels)
    np.savez(folder / "test.npz", x=images[:, None], y=labels, x_test=images[:8, None], y_test=labels[:8])
    return [folder / "own.npz", folder / "test.npz"]


@cache
def _data() -> datasets.DataSet:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        return datasets.load(str(_valid_data_sets(Path(folder))[1]), validation=0)


def _valid_logits(folder: Path) -> list[Path]:
    data, random = _data(), np.random.default_rng(0)
    answers = (random.random((len(part), len(data.classes))) for part in (data.train, data.test))
    logits.save_logits(folder / "logits.npz", data, *answers)
    return [folder / "logits.npz"]


# Tables


def _valid_measurements(folder: Path) -> list[Path]:
    said = 'target = "loihi2"\nsource = "a"\ndate = 2026-11-20\ninstrument = "b"\nconditions = "c"\n'
    values = "[measured]\ndynamic_uJ = 3\ntotal_uJ = 12.1\npower_mW = 120\nlatency_us = 100.0\n"
    (folder / "measured.toml").write_text(said + values)
    return [folder / "measured.toml"]


def _valid_toml(kind: str, pattern: str, found: int) -> Callable[[Path], list[Path]]:
    def valid(folder: Path) -> list[Path]:
        copies = []
        alone = [pair for pair in files.names(kind, pattern).items() if b"extends =" not in pair[1].read_bytes()]
        for name, path in alone[:found]:
            copies.append(folder / f"{name.replace('/', '_')}.toml")
            copies[-1].write_bytes(path.read_bytes())
        return copies

    return valid


def _recipe_again(recipe: recipes.Recipe, path: Path) -> str:
    again = recipes.parse(recipe.to_dict(), source=path)
    return "" if again == recipe else "the resolved recipe, parsed again, is another one"


def _architecture_again(network: architecture.Architecture, path: Path) -> str:
    again, problems = architecture.parse(network.to_dict())
    return "" if again == network else f"the network, parsed again, is another one {problems}"


# Checkpoints, bundles, recordings


def _stage() -> tuple[Any, Any]:
    import torch

    torch.manual_seed(0)
    network = torch.nn.Linear(6, 3)
    return network, torch.optim.Adam(network.parameters())


def _valid_checkpoints(folder: Path) -> list[Path]:
    import torch

    from snnkd.training.loop import checkpoint

    network, optimizer = _stage()
    network(torch.ones(2, 6)).sum().backward()
    optimizer.step()
    progress = checkpoint.Progress("key", 2, 1, 0.5, {}, [{"epoch": 1, "loss": 0.25}, {"epoch": 2, "loss": 0.125}])
    checkpoint.save(folder / "stage.safetensors", progress, network, network.state_dict(), optimizer)
    return [folder / "stage.safetensors"]


def _load_checkpoint(path: Path) -> Any:
    from snnkd.training.loop import checkpoint

    checkpoint.peek(path)
    return checkpoint.load(path, "key", *_stage())


def _valid_bundles(folder: Path) -> list[Path]:
    samples = Samples("random", _events(16, 5))
    bundle.make(_net(), "cortex-m4", samples, folder / "bundle.zip", "network", "other")
    return [folder / "bundle.zip"]


def _load_bundle(path: Path) -> list[proof.Check]:
    """All checks that run nothing of the bundle."""
    return list(islice(proof.prove(path), 4))


_CAMERA = EventEncoding(4, sensor=(34, 34), window_us=5000)


def _recorded() -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    times = np.sort(random.integers(0, 20_000, 60))
    x, y, polarity = (random.integers(0, high, 60) for high in (34, 34, 2))
    return {"t": times, "x": x, "y": y, "p": polarity}


def _valid_recordings(folder: Path) -> list[Path]:
    columns = _recorded()
    fields = np.zeros(60, [(name, "<i8") for name in columns])
    for name, values in columns.items():
        fields[name] = values
    np.save(folder / "fields.npy", fields)
    np.save(folder / "columns.npy", np.stack(list(columns.values()), axis=1))
    np.savez(folder / "arrays.npz", **columns)  # pyright: ignore[reportArgumentType]
    t, x, y, p = columns.values()
    packed = np.stack([x, y, p << 7 | t >> 16, t >> 8 & 255, t & 255], axis=1).astype(np.uint8)
    (folder / "atis.bin").write_bytes(packed.tobytes())
    (folder / "camera.aedat").write_bytes(_aedat(t, x, y, p))
    return [folder / name for name in ("fields.npy", "columns.npy", "arrays.npz", "atis.bin", "camera.aedat")]


def _aedat(t: np.ndarray, x: np.ndarray, y: np.ndarray, p: np.ndarray) -> bytes:
    """AEDAT 3.1, one packet of polarity events."""
    head = b"#!AER-DAT3.1\r\n#Format: RAW\r\n#!END-HEADER\r\n"
    packet = np.array([1, 0], "<i2").tobytes() + np.array([8, 4, 0, len(t), len(t), len(t)], "<i4").tobytes()
    words = np.stack([x << 17 | y << 2 | p << 1 | 1, t], axis=1).astype("<i4")
    return head + packet + words.tobytes()


def _mutate_recording(seed: int, index: int, sources: list[Path], path: Path) -> str:
    change = {".npy": of_npy, ".npz": of_zip}.get(path.suffix, of_bytes)
    return mutating(change)(seed, index, sources, path)


def _valid_spike_lists(folder: Path) -> list[Path]:
    random = np.random.default_rng(0)
    with h5py.File(folder / "lists.h5", "w") as file:
        times = file.create_dataset("spikes/times", 4, h5py.vlen_dtype("f2"))
        units = file.create_dataset("spikes/units", 4, h5py.vlen_dtype("u2"))
        for index in range(4):
            times[index] = np.sort(random.random(20)).astype("f2")
            units[index] = random.integers(0, 700, 20)
        file["labels"] = np.arange(4)
    return [folder / "lists.h5"]


_COCHLEA = EventEncoding(4, sensor=(1, 700), window_us=250_000, polarity="merged")

READERS: dict[str, Reader] = {
    "net": Reader(netx_mutations.valid_files, netx_mutations.mutate, formats.load, _network_again),
    "nir": Reader(netx_mutations.valid_graphs, netx_mutations.mutate, formats.load, _network_again),
    "npy": Reader(_valid_npy, mutating(of_npy), lambda path: given(_net(), path, None)),
    "trace": Reader(_valid_traces, mutating(of_zip), lambda path: partial_trace.load(path, _net())),
    "npz": Reader(_valid_data_sets, mutating(of_zip), lambda path: datasets.load(str(path))),
    "logits": Reader(_valid_logits, mutating(of_zip), lambda path: logits.read_logits(path, _data())),
    "recipe": Reader(
        _valid_toml("models", "recipes/**/*.toml", 12), mutating(of_toml), recipes.load, _recipe_again, lines=True
    ),
    "network": Reader(
        _valid_toml("models", "networks/*.toml", 8),
        mutating(of_toml),
        architecture.load,
        _architecture_again,
        lines=True,
    ),
    "target": Reader(_valid_toml("hw_targets", "*/target.toml", 8), mutating(of_toml), targets.load, lines=True),
    "measurement": Reader(_valid_measurements, mutating(of_toml), measurement.load, lines=True),
    "checkpoint": Reader(_valid_checkpoints, mutating(of_safetensors), _load_checkpoint),
    "bundle": Reader(
        _valid_bundles, mutating(lambda random, data: of_zip(random, data, sums=True)), _load_bundle, lines=True
    ),
    "recording": Reader(_valid_recordings, _mutate_recording, lambda path: inputs.encode(_CAMERA, (2, 34, 34), [path])),
    "spikes": Reader(
        _valid_spike_lists, netx_mutations.mutate, lambda path: inputs.encode(_COCHLEA, (1, 1, 700), [path])
    ),
}
