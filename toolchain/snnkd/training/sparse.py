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
    """Whether x (T, N, I) on the CPU has so few entries that are not 0."""
    if x.device.type != "cpu" or x.numel() * outputs < _LEAST or x.stride(2) != 1:
        return False
    some = x[:, ::_SAMPLED]
    return int(torch.count_nonzero(some)) < SPARSE * some.numel()


class Product(torch.autograd.Function):
    """x @ weight.T for x (T, N, I), whose last axis is contiguous, and weight (O, I), float32: (T, N, O).

    Quickest where weight.T is contiguous, as its gradient will be.
    """

    @staticmethod
    def forward(ctx: Any, x, weight):  # pyright: ignore
        lists = _Lists.of_rows(x.detach())
        ctx.save_for_backward(weight)
        ctx.lists, ctx.inputs = lists, x.shape[2]
        return lists.products(weight.detach().t()).unflatten(0, x.shape[:2])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad):  # pyright: ignore
        (weight,) = ctx.saved_tensors
        of_x = grad @ weight if ctx.needs_input_grad[0] else None
        return of_x, ctx.lists.transposed(ctx.inputs).products(grad.flatten(0, 1)).t()


@dataclass(frozen=True, eq=False)
class _Lists:
    """Rows of a matrix as lists of what is not 0: that of row m is from begins[m] to ends[m], (M,) int64, of indices
    int32 and values float32; values is empty where all are 1."""

    begins: np.ndarray
    ends: np.ndarray
    indices: np.ndarray
    values: np.ndarray

    @classmethod
    def of_rows(cls, x: torch.Tensor) -> _Lists:
        """Of (T, N, I): T N rows."""
        steps, samples, inputs = x.shape
        rows = steps * samples
        begins = np.arange(rows) * inputs
        ends, indices = np.empty_like(begins), np.empty(x.numel() + _LANES, np.int32)  # written by whole vectors
        starts = np.add.outer(np.arange(steps) * x.stride(0), np.arange(samples) * x.stride(1)).reshape(-1)
        flat = x.as_strided((int(starts[-1]) + inputs,), (1,)).numpy()
        threads = torch.get_num_threads()
        others, _ = spread(_list, rows, (flat, starts, inputs, begins, ends, indices), threads)
        values = np.empty(indices.size if others else 0, np.float32)
        if others:
            spread(_fetch, rows, (flat, starts, begins, ends, indices, values), threads)
        return cls(begins, ends, indices, values)

    def transposed(self, inputs: int) -> _Lists:
        """The lists of the columns, of which there are `inputs`."""
        count = int((self.ends - self.begins).sum())
        begins, ends = np.empty(inputs, np.int64), np.empty(inputs, np.int64)
        values = np.empty(count if self.values.size else 0, np.float32)
        lists = _Lists(begins, ends, np.empty(count, np.int32), values)
        _transpose(self.begins, self.ends, self.indices, self.values, begins, ends, lists.indices, lists.values)
        return lists

    def products(self, matrix: torch.Tensor) -> torch.Tensor:
        """(lists, O): for each list the sum of value * matrix[index], matrix (rows, O)."""
        outputs = matrix.shape[1]
        tiles = -(-outputs // _WIDE)
        if outputs % _WIDE:
            matrix = F.pad(matrix, (0, -outputs % _WIDE))
        tiled = matrix.unflatten(1, (tiles, _WIDE)).transpose(0, 1).contiguous()
        out = torch.empty(len(self.begins), tiles * _WIDE)
        arguments = (self.begins, self.ends, self.indices, self.values, tiled.numpy(), out.numpy())
        spread(_multiply, len(self.begins), arguments, torch.get_num_threads())
        return out[:, :outputs]


@intrinsic
def _look(typing_context, x, at):
    """Of x[at : at + 8], float32: one bit for each that is not 0, the first one lowest; 256 if one is not 1 either."""

    def generate(context, builder, signature, arguments):
        values = builder.load(vector_at(context, builder, x, arguments[0], arguments[1], _LANES), align=4)

        def differs(number):
            where = builder.fcmp_unordered("!=", values, ir.Constant(values.type, [number] * _LANES))
            return builder.bitcast(where, ir.IntType(8))

        active = differs(0.0)
        other = builder.icmp_unsigned("!=", builder.and_(active, differs(1.0)), ir.Constant(active.type, 0))
        high = builder.shl(builder.zext(other, ir.IntType(64)), ir.Constant(ir.IntType(64), _LANES))
        return builder.or_(builder.zext(active, ir.IntType(64)), high)

    return types.int64(x, at), generate


def _sum_rows(weighted):
    """The intrinsic, without a list of values or with one."""

    def sum_rows(typing_context, out, at, matrix, base, indices, values, first, last):
        def generate(context, builder, signature, arguments):
            target, place, source, start, index_array, value_array, low, high = arguments
            number, vector = place.type, ir.VectorType(ir.FloatType(), _LANES)
            first_lane = ir.Constant(ir.IntType(32), 0)
            sums = [cgutils.alloca_once(builder, vector) for _ in range(_WIDE // _LANES)]
            for total in sums:
                builder.store(ir.Constant(vector, [0.0] * _LANES), total)
            with cgutils.for_range(builder, builder.sub(high, low)) as loop:
                k = builder.add(low, loop.index)
                index = builder.load(vector_at(context, builder, indices, index_array, k, 1), align=4)
                index = builder.sext(builder.extract_element(index, first_lane), number)
                row = builder.add(start, builder.mul(index, ir.Constant(number, _WIDE)))
                scale = None
                if weighted:
                    value = builder.load(vector_at(context, builder, values, value_array, k, 1), align=4)
                    scale = splat(builder, builder.extract_element(value, first_lane), vector)
                for lane, total in enumerate(sums):
                    here = builder.add(row, ir.Constant(number, lane * _LANES))
                    addend = builder.load(vector_at(context, builder, matrix, source, here, _LANES), align=4)
                    if scale is not None:
                        addend = builder.fmul(addend, scale, flags=("contract",))
                    builder.store(builder.fadd(builder.load(total), addend, flags=("contract",)), total)
            for lane, total in enumerate(sums):
                here = builder.add(place, ir.Constant(number, lane * _LANES))
                builder.store(builder.load(total), vector_at(context, builder, out, target, here, _LANES), align=4)
            return context.get_dummy_value()

        return types.void(out, at, matrix, base, indices, values, first, last), generate

    return intrinsic(sum_rows)


# out[at : at + _WIDE] = the sum of values[k] * matrix[base + indices[k] * _WIDE :][:_WIDE] over first <= k < last, or
# of matrix[...] alone. All are flat; float32, indices int32.
_sum_weighted, _sum_plain = _sum_rows(True), _sum_rows(False)


@jit
def _list(x, starts, inputs, begins, ends, indices, first, last):
    """Lists of the rows `first` to `last`, which begin at x[starts]; whether there is another number than 0 and 1."""
    others = 0
    for m in range(first, last):
        end, start = begins[m], starts[m]
        for i in range(0, inputs & ~7, 8):
            seen = _look(x, start + i)
            bits = seen & 255
            store_active(indices, end, ACTIVE_OFFSETS, bits, i, 0)
            end += ACTIVE_COUNTS[bits]
            others |= seen
        for i in range(inputs & ~7, inputs):
            value = x[start + i]
            indices[end] = i
            end += value != 0
            others |= ((value != 0) & (value != 1)) << 8
        ends[m] = end
    return others >> 8, 0


@jit
def _fetch(x, starts, begins, ends, indices, values, first, last):
    """The values of the rows `first` to `last`."""
    for m in range(first, last):
        for k in range(begins[m], ends[m]):
            values[k] = x[starts[m] + indices[k]]
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
            new_ends[indices[k]] = at + 1
            if values.shape[0]:
                new_values[at] = values[k]


@jit
def _multiply(begins, ends, indices, values, matrix, out, first, last):
    """Lists `first` to `last` with matrix (tiles, rows, _WIDE) to out (lists, tiles * _WIDE)."""
    tiles, rows = matrix.shape[:2]
    flat, sums = matrix.reshape(-1), out.reshape(-1)
    for tile in range(tiles):
        base = tile * rows * _WIDE
        for n in range(first, last):
            at = (n * tiles + tile) * _WIDE
            if values.shape[0]:
                _sum_weighted(sums, at, flat, base, indices, values, begins[n], ends[n])
            else:
                _sum_plain(sums, at, flat, base, indices, values, begins[n], ends[n])
    return 0, 0
