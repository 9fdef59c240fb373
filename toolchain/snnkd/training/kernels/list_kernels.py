"""Kernels of `lists`: they make lists of what is not 0, and sum rows of a matrix by them.

The first number that a kernel which lists returns is not 0 where it met another number than 0 and 1.
"""

from __future__ import annotations

from snnkd.engines.fast.kernels.compiling import jit
from snnkd.engines.fast.kernels.primitives import store_active
from snnkd.engines.fast.kernels.sizes import ACTIVE_COUNTS, ACTIVE_OFFSETS
from snnkd.training.kernels.primitives import add_plain, add_weighted, look, sum_plain, sum_weighted
from snnkd.training.kernels.sizes import WIDE


@jit
def _list_some(x, start, count, base, indices, end):
    """Lists base + i of each x[start + i], i < count, that is not 0, from indices[end] on.

    Returns where the list ends, and whether there is another number than 0 and 1.
    """
    graded = 0
    for i in range(0, count & ~7, 8):
        seen = look(x, start + i)
        bits = seen & 255
        store_active(indices, end, ACTIVE_OFFSETS, bits, base + i, 0)
        end += ACTIVE_COUNTS[bits]
        graded |= seen
    for i in range(count & ~7, count):
        value = x[start + i]
        indices[end] = base + i
        end += value != 0
        graded |= ((value != 0) & (value != 1)) << 8
    return end, graded >> 8


@jit
def list_rows(x, starts, inputs, begins, ends, indices, first, last):
    """Lists the rows `first` to `last`, of so many inputs, which begin at x[starts]."""
    graded = 0
    for m in range(first, last):
        ends[m], row_graded = _list_some(x, starts[m], inputs, 0, indices, begins[m])
        graded |= row_graded
    return graded, 0


@jit
def list_patches(x, starts, image, size, kernel, stride, padding, begins, ends, indices, first, last):
    """Lists what the output pixels of the images `first` to `last` see, pixel by pixel.

    starts: where images begin in x. image: (H, W, C). size: (H', W'). kernel, stride, padding: (down, right).
    """
    height, width, channels = image
    row, graded = first * size[0] * size[1], 0
    end = row * kernel[0] * kernel[1] * channels
    for m in range(first, last):
        for y in range(size[0]):
            top = y * stride[0] - padding[0]
            for z in range(size[1]):
                left = z * stride[1] - padding[1]
                begin, skipped = max(left, 0), max(-left, 0)
                count = max(min(left + kernel[1], width) - begin, 0) * channels  # padding may be wider than a kernel
                begins[row] = end
                for k in range(max(-top, 0), min(kernel[0], height - top)):
                    place = starts[m] + ((top + k) * width + begin) * channels
                    base = (k * kernel[1] + skipped) * channels
                    end, row_graded = _list_some(x, place, count, base, indices, end)
                    graded |= row_graded
                ends[row] = end
                row += 1
    return graded, 0


@jit
def fetch_patches(x, starts, image, size, kernel, stride, padding, begins, ends, indices, values, first, last):
    """Fetches the values of what `list_patches` has listed."""
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
def fetch(x, starts, begins, ends, indices, values, first, last):
    """Fetches the values of what `list_rows` has listed."""
    for m in range(first, last):
        for k in range(begins[m], ends[m]):
            values[k] = x[starts[m] + indices[k]]
    return 0, 0


@jit
def multiply(begins, ends, indices, values, matrix, out, first, last):
    """Multiplies the lists `first` to `last` by matrix (tiles, rows, WIDE) to out (lists, tiles * WIDE)."""
    tiles, rows = matrix.shape[:2]
    flat, sums = matrix.reshape(-1), out.reshape(-1)
    for tile in range(tiles):
        base = tile * rows * WIDE
        for n in range(first, last):
            at = (n * tiles + tile) * WIDE
            if values.shape[0]:
                sum_weighted(sums, at, flat, base, indices, values, begins[n], ends[n])
            else:
                sum_plain(sums, at, flat, base, indices, values, begins[n], ends[n])
    return 0, 0


@jit
def scatter(begins, ends, indices, values, matrix, out):
    """Adds the rows of matrix (tiles, lists, WIDE), times the values of its list, to out (tiles, inputs, WIDE)."""
    (tiles, lists), inputs = matrix.shape[:2], out.shape[1]
    flat, sums = matrix.reshape(-1), out.reshape(-1)
    for tile in range(tiles):
        base = tile * inputs * WIDE
        for n in range(lists):
            at = (tile * lists + n) * WIDE
            if values.shape[0]:
                add_weighted(sums, base, flat, at, indices, values, begins[n], ends[n])
            else:
                add_plain(sums, base, flat, at, indices, values, begins[n], ends[n])
