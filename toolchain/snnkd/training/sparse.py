"""Matrix products with spikes on the CPU, in which what is 0 costs nothing: forward, and the gradient of the weights.

Sums are made in another order than by a dense product. Forward they are exact in any order, being integers.
"""

# An intrinsic is called without its first parameter, the typing context.
# pyright: reportCallIssue=false

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic
from torch.autograd.function import once_differentiable

from snnkd.simulation.threads import spread
from snnkd.simulation.vectors import ACTIVE_COUNTS, ACTIVE_OFFSETS, jit, splat, store_active, vector_at

SPARSE = 0.2  # share of inputs that are not 0 up to which this is quicker than a dense product
_SAMPLED = 16  # every so many rows are looked at for it
_LEAST = 1 << 22  # products of a matrix product that are worth the lists
_LANES = 8  # float32 in a vector of 256 bits
_WIDE = 4 * _LANES  # outputs whose sums stay in registers


def pays(x: torch.Tensor, outputs: int) -> bool:
    """Whether x (M, I) on the CPU has so few entries that are not 0."""
    if x.device.type != "cpu" or x.numel() * outputs < _LEAST:
        return False
    some = x[::_SAMPLED]
    return int(torch.count_nonzero(some)) < SPARSE * some.numel()


class Product(torch.autograd.Function):
    """x @ weight.T for x (M, I) and weight (O, I), float32: (M, O)."""

    @staticmethod
    def forward(ctx: Any, x, weight):  # pyright: ignore
        lists = _Lists.of_rows(x.detach())
        ctx.save_for_backward(weight)
        ctx.lists, ctx.inputs = lists, x.shape[1]
        return lists.products(weight.detach().t())

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad):  # pyright: ignore
        (weight,) = ctx.saved_tensors
        of_x = grad @ weight if ctx.needs_input_grad[0] else None
        return of_x, ctx.lists.transposed(ctx.inputs).products(grad).t()


@dataclass(frozen=True, eq=False)
class _Lists:
    """Rows of a matrix as lists of what is not 0: that of row m is from begins[m] to ends[m], (M,) int64, of indices
    int32 and values float32."""

    begins: np.ndarray
    ends: np.ndarray
    indices: np.ndarray
    values: np.ndarray

    @classmethod
    def of_rows(cls, x: torch.Tensor) -> _Lists:
        rows, inputs = x.shape
        begins = np.arange(rows) * inputs
        size = x.numel() + _LANES  # a list is written by whole vectors
        lists = cls(begins, begins.copy(), np.empty(size, np.int32), np.empty(size, np.float32))
        arguments = (x.numpy(), lists.begins, lists.ends, lists.indices, lists.values)
        spread(_list, rows, arguments, torch.get_num_threads())
        return lists

    def transposed(self, inputs: int) -> _Lists:
        """The lists of the columns, of which there are `inputs`."""
        count = int((self.ends - self.begins).sum())
        begins, ends = np.empty(inputs, np.int64), np.empty(inputs, np.int64)
        lists = _Lists(begins, ends, np.empty(count, np.int32), np.empty(count, np.float32))
        _transpose(self.begins, self.ends, self.indices, self.values, begins, ends, lists.indices, lists.values)
        return lists

    def products(self, matrix: torch.Tensor) -> torch.Tensor:
        """(lists, O): for each list the sum of value * matrix[index], matrix (rows, O)."""
        outputs = matrix.shape[1]
        tiles = -(-outputs // _WIDE)
        tiled = F.pad(matrix, (0, -outputs % _WIDE)).unflatten(1, (tiles, _WIDE)).transpose(0, 1).contiguous()
        out = torch.empty(len(self.begins), tiles * _WIDE)
        arguments = (self.begins, self.ends, self.indices, self.values, tiled.numpy(), out.numpy())
        spread(_multiply, len(self.begins), arguments, torch.get_num_threads())
        return out[:, :outputs]


@intrinsic
def _set_bits(typing_context, x, at):
    """One bit for each of x[at : at + 8], float32, that is not 0, the first one lowest."""

    def generate(context, builder, signature, arguments):
        values = builder.load(vector_at(context, builder, x, arguments[0], arguments[1], _LANES), align=4)
        where = builder.fcmp_unordered("!=", values, ir.Constant(values.type, [0.0] * _LANES))
        return builder.zext(builder.bitcast(where, ir.IntType(8)), ir.IntType(64))

    return types.int64(x, at), generate


@intrinsic
def _sum_rows(typing_context, out, at, matrix, base, indices, values, first, last):
    """out[at : at + _WIDE] = the sum of values[k] * matrix[base + indices[k] * _WIDE :][:_WIDE] over first <= k < last.

    All are flat; float32, indices int32.
    """

    def generate(context, builder, signature, arguments):
        target, place, source, start, index_array, value_array, low, high = arguments
        number, vector = place.type, ir.VectorType(ir.FloatType(), _LANES)
        sums = [cgutils.alloca_once(builder, vector) for _ in range(_WIDE // _LANES)]
        for total in sums:
            builder.store(ir.Constant(vector, [0.0] * _LANES), total)
        with cgutils.for_range(builder, builder.sub(high, low)) as loop:
            k = builder.add(low, loop.index)
            first_lane = ir.Constant(ir.IntType(32), 0)
            index = builder.load(vector_at(context, builder, indices, index_array, k, 1), align=4)
            index = builder.sext(builder.extract_element(index, first_lane), number)
            value = builder.load(vector_at(context, builder, values, value_array, k, 1), align=4)
            scale = splat(builder, builder.extract_element(value, first_lane), vector)
            row = builder.add(start, builder.mul(index, ir.Constant(number, _WIDE)))
            for lane, total in enumerate(sums):
                here = builder.add(row, ir.Constant(number, lane * _LANES))
                addend = builder.load(vector_at(context, builder, matrix, source, here, _LANES), align=4)
                product = builder.fmul(addend, scale, flags=("contract",))
                builder.store(builder.fadd(builder.load(total), product, flags=("contract",)), total)
        for lane, total in enumerate(sums):
            here = builder.add(place, ir.Constant(number, lane * _LANES))
            builder.store(builder.load(total), vector_at(context, builder, out, target, here, _LANES), align=4)
        return context.get_dummy_value()

    return types.void(out, at, matrix, base, indices, values, first, last), generate


@jit
def _list(x, begins, ends, indices, values, first, last):
    """Lists of the rows `first` to `last` of x (M, I)."""
    inputs = x.shape[1]
    flat = x.reshape(-1)
    for m in range(first, last):
        end = begins[m]
        for i in range(0, inputs & ~7, 8):
            bits = _set_bits(flat, m * inputs + i)
            if bits:
                store_active(indices, end, ACTIVE_OFFSETS, bits, i, 0)
                end += ACTIVE_COUNTS[bits]
        for i in range(inputs & ~7, inputs):
            indices[end] = i
            end += flat[m * inputs + i] != 0
        for k in range(begins[m], end):
            values[k] = flat[m * inputs + indices[k]]
        ends[m] = end
    return 0, 0


@jit
def _transpose(begins, ends, indices, values, new_begins, new_ends, new_indices, new_values):
    """A counting sort: columns in order, within each the rows in order."""
    new_ends[:] = 0
    for m in range(begins.shape[0]):
        for k in range(begins[m], ends[m]):
            new_ends[indices[k]] += 1
    start = 0
    for i in range(new_ends.shape[0]):
        new_begins[i] = start
        start += new_ends[i]
        new_ends[i] = new_begins[i]
    for m in range(begins.shape[0]):
        for k in range(begins[m], ends[m]):
            at = new_ends[indices[k]]
            new_indices[at] = m
            new_values[at] = values[k]
            new_ends[indices[k]] = at + 1


@jit
def _multiply(begins, ends, indices, values, matrix, out, first, last):
    """Lists `first` to `last` with matrix (tiles, rows, _WIDE) to out (lists, tiles * _WIDE)."""
    tiles, rows = matrix.shape[:2]
    flat, sums = matrix.reshape(-1), out.reshape(-1)
    for tile in range(tiles):
        for n in range(first, last):
            at = (n * tiles + tile) * _WIDE
            _sum_rows(sums, at, flat, tile * rows * _WIDE, indices, values, begins[n], ends[n])
    return 0, 0
