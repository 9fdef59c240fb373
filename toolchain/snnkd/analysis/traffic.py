"""What a network's events do to the cores of a placement: messages between cores, their hops, and the time of a step.

`docs/energy_model.md` has the formulas and the origin of the constants.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, prod
from typing import Any

import numpy as np

from snnkd.analysis.placement import Block, blocks, extent, reached
from snnkd.ir.network import Conv, IntNet, Shape
from snnkd.ir.trace import Activity
from snnkd.targets import Target
from snnkd.targets.target import Mesh

TIMES = ("synop_time", "update_time", "step_time")  # costs that a latency needs
LINK_TIME = "link_time"  # with this one also links are waited for


@dataclass(frozen=True, eq=False)
class Traffic:
    """Work by core, means of one inference.

    messages: between the cores of consecutive layers; a spike is one message to each core that reads it. copies: those
    beyond the first of each spike. hops: of all messages over the mesh; None where the target tells no mesh, or they
    leave the chip. chips: as many as the cores need. synops: (T, cores) of each step. neurons: (cores,). link: (T,)
    messages over the busiest link of the mesh in each step, None as hops.
    """

    messages: float
    copies: float
    hops: float | None
    chips: int
    synops: np.ndarray
    neurons: np.ndarray
    link: np.ndarray | None = None

    def latency_us(self, times: Mapping[str, float]) -> float:
        """Computes how long an inference takes whose every step waits for its busiest core or link, in us.

        times: TIMES in ns: of a synop and of an update on one core, and of a step in which nothing happens; and
        LINK_TIME, of a message on a link, without which no link is waited for.
        """
        busiest = (self.synops * times["synop_time"] + self.neurons * times["update_time"]).max(axis=1)
        if self.link is not None:
            busiest = np.maximum(busiest, self.link * times.get(LINK_TIME, 0.0))
        return float((busiest + times["step_time"]).sum()) / 1000


def traffic(net: IntNet, seen: Activity, target: Target) -> Traffic | None:
    """Counts what the events of `seen` do on the cores of `target`; None where its limits give no placement."""
    placed = blocks(net, target)
    if placed is None:
        return None
    by_layer = [[block for block in placed if block.layer == number] for number in range(len(net.layers))]
    synops = np.zeros((seen.steps, len(placed)))
    messages, copies, first = 0, 0, 0
    mesh = _mesh_of(len(placed), target)
    between = None if mesh is None else _Tiles(mesh, seen.steps)
    for number, (_, shape, layer) in enumerate(net.inputs()):
        own = by_layer[number]
        if layer.kind != "input":
            connections = Connections(layer if layer.kind == "conv" else None, shape)
            for core, block in enumerate(own, first):
                synops[:, core] = connections.synops(seen.events[number], block)
            if number:
                events, senders = seen.events[number].sum(axis=0), by_layer[number - 1]
                readers = connections.readers(own)
                messages += int((events * readers).sum())
                copies += int((events * (readers - 1).clip(0)).sum())
                if between is not None:
                    between.add(first - len(senders), connections.messages(seen.events[number], senders, own))
        first += len(own)
    neurons = np.array([block.neurons for block in placed])
    mean = 1 / seen.samples
    chips = ceil(len(placed) / target.limits["cores"].high)
    hops, link = (None, None) if between is None else (between.hops * mean, between.busiest_link * mean)
    return Traffic(messages * mean, copies * mean, hops, chips, synops * mean, neurons, link)


class Connections:
    """The connections into a layer, of one that reads `shape`. conv: its convolution, None for a dense layer."""

    def __init__(self, conv: Conv | None, shape: Shape):
        self._conv, self._read_shape, self._shape = conv, shape, extent(shape)
        self._sides = None if conv is None else reached(conv, shape)

    def synops(self, events: np.ndarray, block: Block) -> np.ndarray:
        """Counts the connections that events (T, *shape) read on a core: (T,) int64."""
        if self._conv is None or self._sides is None:
            return events.reshape(len(events), -1).sum(axis=1) * len(block.channels)
        rows, columns = (
            side[:, part.start : part.stop].sum(axis=1)
            for side, part in zip(self._sides, (block.rows, block.columns), strict=True)
        )
        by_group = events.reshape(len(events), self._conv.groups, -1, *events.shape[2:]).sum(axis=2)
        read = np.einsum("tghw,h,w->tg", by_group, rows, columns)
        return read @ self._in_groups(block)

    def readers(self, cores: Sequence[Block]) -> np.ndarray:
        """Counts the cores that read each neuron: int64, of the shape that the layer reads."""
        if self._conv is None or self._sides is None:
            return np.full(self._read_shape, len(cores), np.int64)
        total = np.zeros(self._shape, np.int64)
        for core in cores:
            rows, columns = self._along(core, range(self._shape[1]), range(self._shape[2]))
            total += np.einsum("c,h,w->chw", self._channels(core), rows, columns)
        return total

    def messages(self, events: np.ndarray, senders: Sequence[Block], readers: Sequence[Block]) -> np.ndarray:
        """Counts the messages that events (T, *shape) are, from each block that sends to each that reads:
        (T, senders, readers), of the same type."""
        events = events.reshape(-1, *self._shape)
        counts = np.zeros((len(events), len(senders), len(readers)), events.dtype)
        for k, sender in enumerate(senders):
            parts = (sender.channels, sender.rows, sender.columns)
            own = events[(slice(None), *(slice(part.start, part.stop) for part in parts))]
            if self._conv is None:
                counts[:, k] = own.sum(axis=(1, 2, 3))[:, None]
                continue
            for j, reader in enumerate(readers):
                counts[:, k, j] = self._read(own, sender, reader)
        return counts

    def _read(self, events: np.ndarray, sender: Block, reader: Block) -> np.ndarray:
        """Events (T, C, H, W) of a block that some neuron of another reads, (T,)."""
        rows, columns = (side > 0 for side in self._along(reader, sender.rows, sender.columns))
        channels = self._channels(reader)[sender.channels.start : sender.channels.stop] > 0
        return events[:, channels][:, :, rows][:, :, :, columns].sum(axis=(1, 2, 3))

    def _along(self, reader: Block, rows: range, columns: range) -> tuple[np.ndarray, np.ndarray]:
        """Whether a block reads these rows and columns of the input, each int64."""
        assert self._sides is not None
        sides = zip(self._sides, (rows, columns), (reader.rows, reader.columns), strict=True)
        found = [np.any(side[of.start : of.stop, by.start : by.stop], axis=1) for side, of, by in sides]
        return np.asarray(found[0], np.int64), np.asarray(found[1], np.int64)

    def _channels(self, reader: Block) -> np.ndarray:
        """Whether a block reads each channel of the input, (C,) int64."""
        assert self._conv is not None
        groups = (self._in_groups(reader) > 0).astype(np.int64)
        return groups.repeat(self._shape[0] // self._conv.groups)

    def _in_groups(self, block: Block) -> np.ndarray:
        """How many channels of a block lie in each group: (groups,) int64."""
        assert self._conv is not None
        per_group = len(self._conv.weight) // self._conv.groups
        group = np.arange(block.channels.start, block.channels.stop) // per_group
        return np.bincount(group, minlength=self._conv.groups)


class _Tiles:
    """Messages between the tiles of a mesh, whose cores lie in the order of the layers, row by row."""

    def __init__(self, mesh: Mesh, steps: int):
        self._mesh, tiles = mesh, mesh.rows * mesh.columns
        self._counts = np.zeros((steps, tiles, tiles))

    def add(self, first: int, messages: np.ndarray) -> None:
        """Adds messages (T, senders, readers) of cores that follow each other, from number `first` on."""
        senders, readers = messages.shape[1:]
        tile = np.arange(first, first + senders + readers) // self._mesh.cores_per_tile
        place: Any = (slice(None), tile[:senders, None], tile[senders:])
        np.add.at(self._counts, place, messages)

    @property
    def hops(self) -> float:
        """Counts the hops of all messages."""
        row, column = np.divmod(np.arange(self._counts.shape[1]), self._mesh.columns)
        return float((self._counts * (abs(row[:, None] - row) + abs(column[:, None] - column))).sum())

    @property
    def busiest_link(self) -> np.ndarray:
        """Counts the messages over the busiest link in each step, (T,). A message goes along its row first, then
        along the column of the tile that reads it (XY routing); a link leads one way."""
        rows, columns = self._mesh.rows, self._mesh.columns
        whole = self._counts.reshape(-1, rows, columns, rows, columns)
        along, down = whole.sum(axis=3), whole.sum(axis=2)  # (T, row, from, to) and (T, from, to, column)
        loads = [np.zeros((len(whole), 1))]
        for edge in range(1, columns):
            loads += [along[:, :, :edge, edge:].sum(axis=(2, 3)), along[:, :, edge:, :edge].sum(axis=(2, 3))]
        for edge in range(1, rows):
            loads += [down[:, :edge, edge:].sum(axis=(1, 2)), down[:, edge:, :edge].sum(axis=(1, 2))]
        return np.concatenate(loads, axis=1).max(axis=1)


def _mesh_of(cores: int, target: Target) -> Mesh | None:
    """The mesh of a target, None where it tells none, or so many cores leave the chip."""
    mesh = target.mesh
    return None if mesh is None or cores > prod((mesh.rows, mesh.columns, mesh.cores_per_tile)) else mesh
