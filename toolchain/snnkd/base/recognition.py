"""What a file is that is not what was expected: told by its first bytes, a zip or an HDF5 file by what is in it; and
what to do about it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Wanted = Literal["network", "array", "toml", "bundle", "picture", "onnx", "weights"]

_HEAD = 4096  # bytes that are looked at
_MOST_MEMBERS = 10_000  # of a zip


@dataclass(frozen=True)
class Kind:
    """A kind of file. what: in words, behind 'is'. advice: what to do about it, whatever was wanted; instead: by what
    was wanted, where that makes a difference."""

    what: str
    advice: str = ""
    instead: Mapping[Wanted, str] = field(default_factory=dict)

    def sentence(self, wanted: Wanted) -> str:
        """Says what the file is and what to do to get what was wanted."""
        return f"is {self.what}: {self.instead.get(wanted, self.advice) or _EXPECTED[wanted]}"


_EXPECTED: dict[Wanted, str] = {
    "network": "expected a network, an HDF5 file (.net or .nir)",
    "array": "expected an array, an .npy or .npz file",
    "toml": "expected a TOML file",
    "bundle": "expected a zip that `snnkd handoff` has written",
    "picture": "expected a picture, such as .png or .jpg",
    "onnx": "expected an ONNX model",
    "weights": "expected weights, as torch.save or safetensors write a state_dict",
}
_TEACHER = "no spiking network, but it can teach one: `snnkd train --teacher FILE.onnx`"
_ANN: dict[Wanted, str] = {"network": f"{_TEACHER}, once it is exported as ONNX"}
_OWN: dict[Wanted, tuple[str, ...]] = {
    "network": ("hdf5",),
    "array": ("npy", "npz"),
    "toml": ("text",),
    "bundle": ("bundle",),
    "picture": ("picture",),
    "onnx": ("onnx",),
    "weights": ("torch", "safetensors", "pickle", "zip"),
}

KINDS = {
    "empty": Kind("empty", "write it or fetch it again"),
    "folder": Kind("a folder", "name a file in it", {"toml": "expected a name, or a file that ends with .toml"}),
    "lfs": Kind("a Git LFS pointer, which stands for a file that was not fetched", "run `git lfs pull` in its clone"),
    "annex": Kind("a git-annex pointer, which stands for a file that was not fetched", "run `git annex get` on it"),
    "html": Kind("a web page, not the file itself", "download it from its raw address"),
    "npy": Kind("a NumPy array", instead={"network": "a network is a .net or .nir file, an array goes to --input"}),
    "npz": Kind("a zip of NumPy arrays (.npz)", instead={"network": "a network is a .net or .nir file"}),
    "torch": Kind(
        "a file of torch",
        "snnkd runs no code that a file brings",
        {
            "network": "make its network with snnkd.to_intnet(blocks, ...) and snnkd.save, or with lava-dl's "
            "export_hdf5; as a teacher: --teacher FILE.py:NAME --weights FILE",
            "array": "numpy.save('FILE.npy', torch.load(FILE).numpy())",
        },
    ),
    "pickle": Kind(
        "a Python pickle, which could run any code when it is read",
        "it is not read",
        {"array": "write the array with numpy.save, without Python objects"},
    ),
    "onnx": Kind("an ONNX model", instead={"network": _TEACHER}),
    "keras": Kind("a Keras model", instead=_ANN),
    "tflite": Kind("a TensorFlow Lite model", instead=_ANN),
    "safetensors": Kind(
        "weights in safetensors",
        instead={"network": "they are no network; as a teacher: --teacher FILE.py:NAME --weights FILE.safetensors"},
    ),
    "bundle": Kind("a bundle of `snnkd handoff`", "unzip it; the network in it is model.net"),
    "zip": Kind("a zip", "unzip it and name the file in it"),
    "packed": Kind("packed", "unpack it"),
    "nir": Kind("a NIR graph", "it needs the suffix .nir"),
    "net": Kind(
        "a network of lava-dl or snnkd",
        "it needs the suffix .net",
        {"array": "--input takes events, an .npy", "toml": "a recipe names it in net or start, or --teacher does"},
    ),
    "hdf5": Kind(
        "an HDF5 file",
        instead={
            "network": "of something else than a network; those of lava-dl and snnkd have a group layer, of NIR node",
            "array": "numpy.save('FILE.npy', array) copies an array of it",
        },
    ),
    "picture": Kind(
        "a picture", instead={"array": "`snnkd encode RECIPE|FILE.net PICTURE --out events.npy` makes events of it"}
    ),
    "matlab": Kind("a MATLAB file", instead={"array": "numpy.save('FILE.npy', scipy.io.loadmat(FILE)[NAME])"}),
    "utf16": Kind("text in UTF-16", "save it as UTF-8"),
    "text": Kind("text", instead={"array": "numpy.save('FILE.npy', numpy.loadtxt(FILE, dtype=int, delimiter=','))"}),
}

# What files begin with; (where, what), the longest of those that share their first bytes before the others.
_BEGINNINGS: tuple[tuple[int, bytes, str], ...] = (
    (0, b"version https://git-lfs", "lfs"),
    (0, b"/annex/objects/", "annex"),
    (0, b"../.git/annex/", "annex"),
    (0, b"\x93NUMPY", "npy"),
    (0, b"\x89HDF\r\n\x1a\n", "hdf5"),
    (0, b"\x1f\x8b", "packed"),
    (0, b"BZh", "packed"),
    (0, b"\xfd7zXZ", "packed"),
    (0, b"7z\xbc\xaf\x27\x1c", "packed"),
    (0, b"\x28\xb5\x2f\xfd", "packed"),
    (0, b"Rar!", "packed"),
    (257, b"ustar", "packed"),
    (0, b"\x89PNG", "picture"),
    (0, b"\xff\xd8\xff", "picture"),
    (0, b"GIF8", "picture"),
    (0, b"II*\0", "picture"),
    (0, b"MM\0*", "picture"),
    (8, b"WEBP", "picture"),
    (4, b"TFL3", "tflite"),
    (0, b"MATLAB ", "matlab"),
    (0, b"\xff\xfe", "utf16"),
    (0, b"\xfe\xff", "utf16"),
    *((0, b"\x80" + bytes([protocol]), "pickle") for protocol in range(2, 6)),
)

# By the names in a zip, and by those in the root of an HDF5 file.
_IN_ZIPS: dict[str, Callable[[list[str]], bool]] = {
    "bundle": lambda names: {"manifest.json", "model.net"} <= set(names),
    "torch": lambda names: any(name.endswith("data.pkl") for name in names),
    "keras": lambda names: {"config.json", "model.weights.h5"} <= set(names),
    "npz": lambda names: bool(names) and all(name.endswith(".npy") for name in names),
}
_IN_HDF5 = {"layer": "net", "node": "nir", "model_weights": "keras", "_layer_checkpoint_dependencies": "keras"}


def sentence(path: Path, wanted: Wanted) -> str | None:
    """Says what the file at `path` is and how what is wanted comes of it: 'is a picture: ...'. None where that cannot
    be told, or the file is what was wanted."""
    kind = _kind(path)
    return None if kind is None or kind in _OWN[wanted] else KINDS[kind].sentence(wanted)


def of_members(names: Iterable[str], wanted: Wanted) -> str:
    """Says as `sentence` does what an HDF5 file is whose root has members of these `names`."""
    kinds = (_IN_HDF5[name] for name in names if name in _IN_HDF5)
    return KINDS[next(kinds, "hdf5")].sentence(wanted)


def _kind(path: Path) -> str | None:
    if path.is_dir():
        return "folder"
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except OSError:
        return None
    if not head:
        return "empty"
    for at, beginning, kind in _BEGINNINGS:
        if head[at : at + len(beginning)] == beginning:
            return kind
    if head[:4] == b"PK\3\4":
        return _of_zip(path)
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 1 << 32:
        return "safetensors"
    if (
        len(head) > 2 and head[0] == 8 and 1 <= head[1] <= 32 and head[2] in b"\x12\x1a\x22\x28\x32\x3a\x42"
    ):  # ir_version, next field
        return "onnx"
    return _of_text(head)


def _of_zip(path: Path) -> str:
    import zipfile

    try:
        with zipfile.ZipFile(path) as packed:
            names = packed.namelist()[:_MOST_MEMBERS]
    except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError):
        return "zip"
    return next((kind for kind, fits in _IN_ZIPS.items() if fits(names)), "zip")


def _of_text(head: bytes) -> str | None:
    if b"\0" in head:
        return None
    try:
        text = head.decode("utf-8", "strict" if len(head) < _HEAD else "ignore")
    except UnicodeDecodeError:
        return None
    start = text.lstrip("\ufeff \t\r\n").lower()
    if start.startswith(("<!doctype html", "<html", "<!doctype", "<?xml")):
        return "html"
    return "text" if all(letter.isprintable() or letter.isspace() for letter in text) else None
