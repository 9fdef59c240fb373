"""Arrays of files are read after their headers were believed."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from snnkd.base import arrays, memory
from snnkd.base.errors import FormatError, LimitError

NAMES = ("input", "events")


def header(shape: tuple[int, ...], dtype: str = "|u1") -> bytes:
    file = io.BytesIO()
    fields = {"descr": dtype, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, fields)
    return file.getvalue()


def test_an_array_of_either_file(tmp_path: Path) -> None:
    array = np.arange(12, dtype=np.int16).reshape(3, 4)
    np.save(tmp_path / "a.npy", array)
    np.savez(tmp_path / "one.npz", array)
    np.savez_compressed(tmp_path / "several.npz", events=array, labels=np.zeros(3))
    np.savez(tmp_path / "empty axis.npz", np.zeros((0, 1 << 40), np.uint8))
    np.lib.format.write_array((tmp_path / "new.npy").open("wb"), array, version=(3, 0))
    for name in ("a.npy", "one.npz", "several.npz", "new.npy"):
        assert np.array_equal(arrays.read(tmp_path / name, NAMES), array)
    assert arrays.read(tmp_path / "empty axis.npz", NAMES).shape == (0, 1 << 40)


def test_no_array_of_these_names(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.zeros(3), y=np.zeros(3))
    with pytest.raises(FormatError, match=r"expected one array, or one called input or events, found x, y"):
        arrays.read(tmp_path / "a.npz", NAMES)


@pytest.mark.parametrize("shape", [(10**6, 1000, 1000), (1 << 62, 1 << 62), (17,)])
def test_a_header_that_claims_more_than_there_is(tmp_path: Path, shape: tuple[int, ...]) -> None:
    (tmp_path / "a.npy").write_bytes(header(shape) + b"abc")
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as packed:
        packed.writestr("events.npy", header(shape) + b"abc")
    for name, place in (("a.npy", "a.npy: "), ("a.npz", "a.npz: events: ")):
        with pytest.raises(FormatError, match=f"{place}its header claims uint8 .*cut off or damaged"):
            arrays.read(tmp_path / name, NAMES)


def test_more_than_fits_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.save(tmp_path / "a.npy", np.zeros(5000, np.uint8))
    np.savez_compressed(tmp_path / "a.npz", np.zeros(5000, np.uint8))  # a few bytes
    monkeypatch.setattr(memory, "available", lambda: 4000)
    for name in ("a.npy", "a.npz"):
        with pytest.raises(LimitError, match=rf"{name}.* needs .* KiB of memory, and 3.91 KiB are free"):
            arrays.read(tmp_path / name, NAMES)


def test_what_is_no_array_says_what_it_is(tmp_path: Path) -> None:
    np.save(tmp_path / "objects.npy", np.array([{}, 1], object), allow_pickle=True)
    np.savez(tmp_path / "objects.npz", np.array([{}, 1], object))
    (tmp_path / "text.npy").write_text("0,1,0\n")
    (tmp_path / "nonsense.npy").write_bytes(b"\0\1\2")
    (tmp_path / "cut.npz").write_bytes((tmp_path / "objects.npz").read_bytes()[:200])
    for name, words in (
        ("objects.npy", "array of Python objects"),
        ("objects.npz", "array of Python objects"),
        ("text.npy", "is text: numpy.save"),
        ("nonsense.npy", "not an .npy file"),
        ("cut.npz", "is a zip"),
        ("none.npy", "no such file"),
        ("", "is a folder"),
    ):
        with pytest.raises(FormatError) as error:
            arrays.read(tmp_path / name, NAMES)
        assert words in str(error.value) and str(tmp_path / name) in str(error.value)


def test_rows_are_read_when_they_are_asked_for(tmp_path):
    path, values = tmp_path / "x.npy", np.arange(60, dtype=np.int16).reshape(10, 2, 3)
    np.save(path, values)
    rows = arrays.opened(path, ())
    assert isinstance(rows, arrays.Rows) and (rows.shape, rows.dtype, len(rows)) == ((10, 2, 3), np.int16, 10)
    for part in (slice(None), slice(3, 7), slice(8, 99), slice(5, 5)):
        np.testing.assert_array_equal(rows[part], values[part])
    path.write_bytes(path.read_bytes()[:-10])
    np.testing.assert_array_equal(rows[:8], values[:8])
    with pytest.raises(FormatError, match=r"x\.npy: was changed while it was read"):
        rows[8:]


def test_what_cannot_be_read_by_rows_is_read(tmp_path):
    values = np.asfortranarray(np.arange(6).reshape(2, 3))
    np.save(tmp_path / "x.npy", values)
    np.savez(tmp_path / "x.npz", events=values)
    for name in ("x.npy", "x.npz"):
        np.testing.assert_array_equal(arrays.opened(tmp_path / name, ("events",)), values)
    (tmp_path / "y.npy").write_bytes(b"\x93NUMPY")
    with pytest.raises(FormatError, match=r"y\.npy: "):
        arrays.opened(tmp_path / "y.npy", ())
