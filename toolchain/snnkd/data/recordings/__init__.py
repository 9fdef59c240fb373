"""Recordings of event cameras and other sensors of events: their formats, and how data sets of them are laid out."""

from __future__ import annotations

from snnkd.data.recordings import aedat, arrays, atis
from snnkd.data.recordings.collection import Decode

# By suffix: what reads the one recording in a file.
FORMATS: dict[str, Decode] = {
    ".bin": atis.decode,
    ".aedat": aedat.decode,
    ".npy": arrays.decode,
    ".npz": arrays.decode,
}
