"""Writes an IntNet as a `.nir` file as nir 1.0.8 does: groups `node/nodes/<name>`, edges, metadata of the graph."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from snnkd.base.errors import LimitError
from snnkd.base.files import atomic
from snnkd.formats.nir.export import graph_of
from snnkd.formats.nir.graph import VERSION, Graph, Value
from snnkd.formats.nir.integers import metadata
from snnkd.ir.network import IntNet

_PACKED = 64  # elements of an array from which on it is compressed


def save(net: IntNet, path: str | Path) -> None:
    """Writes `net` to `path`, whole or not at all. Reading it back gives the same network.

    Raises LimitError for neurons that NIR has no words for, SnnkdError where the file cannot be written.
    """
    if net.is_sigma_delta:
        raise LimitError(f"{path}: NIR has no sigma-delta neurons; write the network as a .net file")
    with atomic(Path(path)) as temporary:
        temporary.write_bytes(to_bytes(net))


def to_bytes(net: IntNet) -> bytes:
    """Returns what `save` writes: the same bytes for the same network."""
    graph = graph_of(net)
    return graph_bytes(Graph(graph.nodes, graph.edges, metadata(net)))


def graph_bytes(graph: Graph) -> bytes:
    """Returns the file of a graph: the same bytes for the same one."""
    with h5py.File(f"{uuid.uuid4()}.nir", "w", driver="core", backing_store=False) as file:
        _write(file, graph)
        file.flush()
        return bytes(file.id.get_file_image())


def _write(file: h5py.File, graph: Graph) -> None:
    text = h5py.string_dtype()
    file.create_dataset("version", data=VERSION, dtype=text)
    top = file.create_group("node")
    top.create_dataset("type", data="NIRGraph", dtype=text)
    top.create_dataset("edges", data=np.array(graph.edges, object), dtype=text)
    nodes = top.create_group("nodes")
    for node in graph.nodes.values():
        group = nodes.create_group(node.name)
        _put(group, {"type": node.kind} | node.values)
    if graph.metadata:
        _put(top.create_group("metadata"), graph.metadata)


def _put(group: Any, values: dict[str, Value]) -> None:
    for name, value in values.items():
        if isinstance(value, str):
            group.create_dataset(name, data=value, dtype=h5py.string_dtype())
        else:
            group.create_dataset(name, data=value, compression="gzip" if value.size >= _PACKED else None)
