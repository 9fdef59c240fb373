"""Lists of what is not 0 in spikes: of rows, or of what each output pixel of a convolution sees; and their products.

Products are made in the order of the lists, which do not depend on the number of threads.
"""

# An intrinsic is called without its first parameter, the typing context.
# pyright: reportCallIssue=false

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
import torch
import torch.nn.functional as F
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from snnkd.simulation.threads import spread
from snnkd.simulation.vectors import ACTIVE_COUNTS, ACTIVE_OFFSETS, jit, splat, store_active, vector_at

_LANES = 8  # float32 in a vector of 256 bits
_WIDE = 4 * _LANES  # outputs whose sums stay in registers


@dataclass(frozen=True, eq=False)
class Lists:
    """Rows of a matrix as lists of what is not 0: that of row m is from begins[m] to ends[m], (M,) int64, of indices
    int32 and values float32; values is empty where all are 1."""

    begins: np.ndarray
    ends: np.ndarray
    indices: np.ndarray
    values: np.ndarray

    @classmethod
    def of_rows(cls, x: torch.Tensor) -> Lists:
        """Of (T, N, I): T N rows."""
        rows, inputs = x.shape[:2].numel(), x.shape[2]
        flat, starts = _memory(x)
        begins = np.arange(rows) * inputs
        ends, indices = np.empty_like(begins), np.empty(x.numel() + _LANES, np.int32)  # written by whole vectors
        threads = torch.get_num_threads()
        others, _ = spread(_list, rows, (flat, starts, inputs, begins, ends, indices), threads)
        values = np.empty(indices.size if others else 0, np.float32)
        if others:
            spread(_fetch, rows, (flat, starts, begins, ends, indices, values), threads)
        return cls(begins, ends, indices, values)

    @classmethod
    def of_patches(cls, x: torch.Tensor, kernel: Sequence[int], stride: list[int], padding: list[int]) -> Lists:
        """Of (T, N, H, W, C), images without gaps: T N H' W' rows of kH kW C, what each output pixel sees."""
        images, (high, wide, channels) = x.shape[:2].numel(), x.shape[2:]
        size, taps = reach((high, wide), kernel, stride, padding), prod(kernel) * channels
        flat, starts = _memory(x)
        begins, ends = np.empty((2, images * prod(size)), np.int64)
        indices = np.empty(len(begins) * taps + _LANES, np.int32)  # few of them are touched
        geometry = tuple(np.array(pair) for pair in ((high, wide, channels), size, kernel, stride, padding))
        threads = torch.get_num_threads()
        others, _ = spread(_list_patches, images, (flat, starts, *geometry, begins, ends, indices), threads)
        values = np.empty(indices.size if others else 0, np.float32)
        if others:
            spread(_fetch_patches, images, (flat, starts, *geometry, begins, ends, indices, values), threads)
        return cls(begins, ends, indices, values)

    def transposed(self, inputs: int) -> Lists:
        """The lists of the columns, of which there are `inputs`."""
        count = int((self.ends - self.begins).sum())
        begins, ends = np.empty(inputs, np.int64), np.empty(inputs, np.int64)
        values = np.empty(count if self.values.size else 0, np.float32)
        lists = Lists(begins, ends, np.empty(count, np.int32), values)
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


def reach(size: Sequence[int], kernel: Sequence[int], stride: Sequence[int], padding: Sequence[int]) -> list[int]:
    """[H', W'] of a convolution."""
    return [(n + 2 * p - k) // s + 1 for n, k, s, p in zip(size, kernel, stride, padding, strict=True)]


def _memory(x: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """The memory of x (T, N, ...), whose rows x[t, n] have no gaps, and where in it each of them begins."""
    (steps, samples, *rest), (step, sample, *_) = x.shape, x.stride()
    starts = np.add.outer(np.arange(steps) * step, np.arange(samples) * sample).reshape(-1)
    return x.as_strided((int(starts[-1]) + prod(rest),), (1,)).numpy(), starts


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
def _list_some(x, start, count, base, indices, end):
    """Lists base + i of the x[start + i], i < count, that are not 0 from indices[end] on; where the list ends, and
    whether there is another number than 0 and 1."""
    others = 0
    for i in range(0, count & ~7, 8):
        seen = _look(x, start + i)
        bits = seen & 255
        store_active(indices, end, ACTIVE_OFFSETS, bits, base + i, 0)
        end += ACTIVE_COUNTS[bits]
        others |= seen
    for i in range(count & ~7, count):
        value = x[start + i]
        indices[end] = base + i
        end += value != 0
        others |= ((value != 0) & (value != 1)) << 8
    return end, others >> 8


@jit
def _list(x, starts, inputs, begins, ends, indices, first, last):
    """Lists of the rows `first` to `last`, which begin at x[starts]; whether there is another number than 0 and 1."""
    others = 0
    for m in range(first, last):
        ends[m], other = _list_some(x, starts[m], inputs, 0, indices, begins[m])
        others |= other
    return others, 0


@jit
def _list_patches(x, starts, image, size, kernel, stride, padding, begins, ends, indices, first, last):
    """Lists of what the output pixels of the images `first` to `last` see, one behind the other; the rest as `_list`.
    image: (H, W, C); size: (H', W')."""
    high, wide, channels = image
    row, others = first * size[0] * size[1], 0
    end = row * kernel[0] * kernel[1] * channels
    for m in range(first, last):
        for y in range(size[0]):
            top = y * stride[0] - padding[0]
            for z in range(size[1]):
                left = z * stride[1] - padding[1]
                begin, skipped = max(left, 0), max(-left, 0)
                count = (min(left + kernel[1], wide) - begin) * channels
                begins[row] = end
                for k in range(max(-top, 0), min(kernel[0], high - top)):
                    place = starts[m] + ((top + k) * wide + begin) * channels
                    base = (k * kernel[1] + skipped) * channels
                    end, other = _list_some(x, place, count, base, indices, end)
                    others |= other
                ends[row] = end
                row += 1
    return others, 0


@jit
def _fetch_patches(x, starts, image, size, kernel, stride, padding, begins, ends, indices, values, first, last):
    """The values of what `_list_patches` has listed."""
    line, taps = image[1] * image[2], kernel[1] * image[2]
    row = first * size[0] * size[1]
    for m in range(first, last):
        for y in range(size[0]):
            for z in range(size[1]):
                corner = (y * stride[0] - padding[0]) * line + (z * stride[1] - padding[1]) * image[2]
                for k in range(begins[row], ends[row]):
                    values[k] = x[starts[m] + corner + indices[k] // taps * line + indices[k] % taps]
                row += 1
    return 0, 0


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
