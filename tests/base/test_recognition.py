"""Files that are not what was expected are called by their names, with what to do."""

import io
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest

from snnkd.base import recognition


def zipped(*names: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as packed:
        for name in names:
            packed.writestr(name, b"x")
    return file.getvalue()


def saved(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


FILES = {
    "lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n", "Git LFS pointer", "`git lfs pull`"),
    "annex": (b"/annex/objects/SHA256E-s3--0.net\n", "git-annex pointer", "`git annex get`"),
    "empty": (b"", "is empty", "fetch it again"),
    "page": (b"\n<!DOCTYPE html>\n<html lang=en>", "a web page", "raw address"),
    "npy": (saved(np.arange(3)), "a NumPy array", "goes to --input"),
    "npz": (zipped("a.npy", "b.npy"), "a zip of NumPy arrays", ".net or .nir"),
    "torch": (zipped("m/data.pkl", "m/version"), "a file of torch", "to_intnet"),
    "keras": (zipped("config.json", "metadata.json", "model.weights.h5"), "a Keras model", "exported as ONNX"),
    "bundle": (zipped("manifest.json", "model.net", "README.md"), "a bundle of `snnkd handoff`", "model.net"),
    "zip": (zipped("a.txt"), "a zip", "unzip it"),
    "cut zip": (zipped("a.txt")[:30], "a zip", "unzip it"),
    "pickle": (pickle.dumps([1], 4), "a Python pickle", "it is not read"),
    "onnx": (b"\x08\x09\x12\x07pytorch\x1a\x052.1.0:\x00", "an ONNX model", "--teacher FILE.onnx"),
    "tflite": (b"\x1c\0\0\0TFL3\x14\0\x20\0", "a TensorFlow Lite model", "exported as ONNX"),
    "safetensors": ((20).to_bytes(8, "little") + b'{"a":{"dtype":"F32"}', "weights in safetensors", "--weights"),
    "gzip": (b"\x1f\x8b\x08\0\0", "packed", "unpack it"),
    "tar": (b"a.net".ljust(257, b"\0") + b"ustar\0", "packed", "unpack it"),
    "png": (b"\x89PNG\r\n\x1a\n", "a picture", "expected a network"),
    "matlab": (b"MATLAB 5.0 MAT-file, Platform", "a MATLAB file", "expected a network"),
    "utf16": ("name = 1".encode("utf-16"), "text in UTF-16", "save it as UTF-8"),
    "text": ("0,1,ä\n".encode(), "text", "expected a network"),
}


@pytest.mark.parametrize("name", FILES)
def test_what_is_no_network(tmp_path: Path, name: str) -> None:
    data, what, advice = FILES[name]
    (tmp_path / "x.net").write_bytes(data)
    told = recognition.sentence(tmp_path / "x.net", "network")
    assert told is not None and what in told and advice in told and told.startswith("is ")


@pytest.mark.parametrize("data", [b"\x89HDF\r\n\x1a\n rest", b"\x00\x01\x02", b"\xc3\x28 no utf-8", b"\x08"])
def test_nothing_is_said_of_what_may_be_one_or_anything(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x.net").write_bytes(data)
    assert recognition.sentence(tmp_path / "x.net", "network") is None


def test_advice_leads_to_what_was_wanted(tmp_path: Path) -> None:
    for name, wanted, advice in (
        ("text", "array", "numpy.loadtxt"),
        ("png", "array", "snnkd encode"),
        ("torch", "array", "torch.load"),
        ("pickle", "array", "numpy.save"),
        ("npy", "bundle", "expected a zip that `snnkd handoff` has written"),
        ("npy", "toml", "expected a TOML file"),
        ("lfs", "picture", "`git lfs pull`"),
        ("text", "onnx", "expected an ONNX model"),
        ("npy", "weights", "expected weights"),
    ):
        (tmp_path / name).write_bytes(FILES[name][0])
        assert advice in str(recognition.sentence(tmp_path / name, wanted))
    (tmp_path / "x.npy").write_bytes(FILES["npy"][0])
    assert recognition.sentence(tmp_path / "x.npy", "array") is None
    assert recognition.sentence(tmp_path, "array") == "is a folder: name a file in it"
    assert recognition.sentence(tmp_path / "none", "array") is None


def test_hdf5_is_told_by_its_members() -> None:
    assert "needs the suffix .nir" in recognition.of_members(["node", "version"], "network")
    assert "needs the suffix .net" in recognition.of_members(["layer", "simulation"], "network")
    assert "a Keras model" in recognition.of_members(["model_weights", "optimizer_weights"], "network")
    assert "something else" in recognition.of_members(["spikes", "labels"], "network")
