"""Files that must be refused, each with one message that names file, layer and field."""

import json
import shutil

import h5py
import numpy as np
import pytest

from snnkd.base.errors import FormatError
from snnkd.formats import netx
from snnkd.formats.netx import refusals


def put(group, name, value):
    if name in group:
        del group[name]
    group[name] = value


def link_to(target):
    def change(file):
        del file["layer/3/weight"]
        file["layer/3/weight"] = target

    return change


def external_storage(file):
    del file["layer/3/weight"]
    file["layer/3"].create_dataset("weight", (3, 18), "i4", external=[("/etc/hostname", 0, 216)])


def virtual(file):
    del file["layer/3/weight"]
    layout = h5py.VirtualLayout((3, 18), "i4")
    layout[...] = h5py.VirtualSource("other.h5", "x", (3, 18))
    file["layer/3"].create_virtual_dataset("weight", layout)


def bomb(file):
    """32 KB of zeros, compressed."""
    del file["layer/3/weight"]
    file["layer/3"].create_dataset("weight", (1 << 15, 1 << 10), "i1", chunks=True, compression="gzip")[0] = 1


def many_chunks(file):
    del file["layer/3/weight"]
    file["layer/3"].create_dataset("weight", (1 << 10, 1 << 10), "i1", chunks=(1, 1))[0, 0] = 1


def large_chunk(file):
    del file["layer/3/weight"]
    file["layer/3"].create_dataset("weight", (3, 18), "i4", chunks=(3, 1 << 26), maxshape=(3, None))


def never_written_chunks(file):
    del file["layer/3/weight"]
    file["layer/3"].create_dataset("weight", (3, 18), "i4", chunks=True, fillvalue=2)


def never_written(file):
    del file["layer/3/weight"]
    file["layer/3"].create_dataset("weight", (3, 18), "i4", fillvalue=2)


def huge(file):
    del file["layer/3/weight"]
    file["layer/3"].create_dataset("weight", (3, 1 << 40), "i1", chunks=(1, 1 << 20))


def setting(place, value):
    return lambda file: put(file, place, value)


def without(place):
    return lambda file: file.__delitem__(place)


def attribute(name, value):
    return lambda file: file.attrs.__setitem__(name, value)


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        (link_to(h5py.SoftLink("/layer/1/weight")), ["layer/3: weight", "links are not followed"]),
        (link_to(h5py.ExternalLink("/etc/passwd", "/x")), ["layer/3: weight", "links are not followed"]),
        (external_storage, ["layer/3: weight", "in another file"]),
        (virtual, ["layer/3: weight", "in another file"]),
        (huge, ["layer/3: weight", "more than"]),
        (bomb, ["layer/3: weight", "more than 16777216 elements"]),
        (many_chunks, ["layer/3: weight", "more than 16777216 elements"]),
        (large_chunk, ["layer/3: weight", "more than 16777216 elements"]),
        (never_written, ["layer/3: weight", "damaged", "never written"]),
        (never_written_chunks, ["layer/3: weight", "damaged", "never written"]),
        (setting("layer/3/weight", np.full((3, 18), np.nan)), ["layer/3: weight", "NaN"]),
        (setting("layer/3/weight", np.full((3, 18), 1e300)), ["layer/3: weight", "32 bits"]),
        (setting("layer/3/weight", np.zeros((3, 18))), ["layer/3: weight", "all weights are 0"]),
        (setting("layer/3/weight", np.zeros((3, 17))), ["layer/3: weight", "expected 18 inputs"]),
        (setting("layer/3/weight", "text"), ["layer/3: weight", "expected numbers"]),
        (setting("layer/3/weight", h5py.Empty("f4")), ["layer/3: weight", "is empty"]),
        (without("layer/3/weight"), ["layer/3: weight: is missing"]),
        (setting("layer/3/neuron/iDecay", 1024.0), ["layer/3/neuron: iDecay", "expected integers, found float64"]),
        (setting("layer/3/neuron/iDecay", 4097), ["layer/3/neuron: iDecay", "[0, 4096]", "4097"]),
        (setting("layer/3/neuron/vDecay", -1), ["layer/3/neuron: vDecay", "[0, 4096]"]),
        (setting("layer/3/neuron/vThMant", -5), ["layer/3/neuron: vThMant"]),
        (setting("layer/3/neuron/vThMant", [1, 2]), ["layer/3/neuron: vThMant", "expected 1 or 3 values", "(2,)"]),
        (setting("layer/3/neuron/type", "ALIF"), ["layer/3/neuron: type", "'ALIF'", "train slayer.block.cuba"]),
        (setting("layer/3/neuron/type", "RF_PHASE"), ["layer/3/neuron: type", "train slayer.block.cuba"]),
        (setting("layer/3/neuron/type", "RF"), ["layer/3/neuron: type", "'RF'"]),
        (setting("layer/3/neuron/messageBits", 8), ["layer/3/neuron: messageBits"]),
        (setting("layer/3/delay", [-1, 0, 0]), ["layer/3: delay", "-1"]),
        (setting("layer/3/delay", [1, 2]), ["layer/3: delay", "(2,)"]),
        (setting("layer/1/delay", [1, 2]), ["layer/1: delay", "Lava ignores"]),
        (setting("layer/1/groups", [1, 1]), ["layer/1: groups"]),
        (setting("layer/1/groups", [1]), ["layer/1: groups"]),
        (setting("layer/1/groups", 0), ["groups 0"]),
        (setting("layer/1/padding", [1]), ["layer/1: padding"]),
        (setting("layer/1/bias", 3), ["layer/1: bias", "expected 2 values"]),
        (setting("layer/3/neuron/iDecay", [[1024]]), ["layer/3/neuron: iDecay", "(1, 1)"]),
        (setting("layer/1/stride", [1, 2, 3]), ["layer/1: stride"]),
        (setting("layer/1/stride", [0, 1]), ["stride"]),
        (setting("layer/1/shape", [2, 9, 9]), ["layer/1: shape", "expected (2, 3, 3)"]),
        (setting("layer/1/shape", [2, -3, 3]), ["layer/1: shape"]),
        (setting("layer/1/shape", [2, 3]), ["layer/1: shape"]),
        (without("layer/1/neuron"), ["layer/1: neuron: is missing"]),
        (without("layer/2"), ["layer", "expected groups 0 to 2"]),
        (without("layer"), ["an HDF5 file", "of something else than a network"]),
        (setting("layer/2/type", "pool"), ["layer/2: type: 'pool'", "strided convolution"]),
        (setting("layer/2/type", "dense_rec"), ["layer/2: type: 'dense_rec'", "recurrent"]),
        (setting("layer/1/type", "convT"), ["layer/1: type: 'convT'", "train with convolutions and dense layers"]),
        (setting("layer/2/type", "mystery"), ["layer/2: type: 'mystery'", "skips it in silence"]),
        (setting("layer/2/type", "average"), ["layer/2: type: 'average'"]),
        (setting("layer/2/type", np.bytes_(b"flatten ")), ["layer/2: type: 'flatten '"]),  # for NetX, spaces count
        (setting("layer/2/type", np.array([[b"flatten"]])), ["layer/2: type", "one short string"]),
        (setting("layer/2/type", 3), ["layer/2: type", "one short string"]),
        (setting("layer/2/type", "input"), ["layer/2: type", "must be the first"]),
        (setting("layer/0/shape", [1, 4, 6]), ["input shapes differ"]),
        (setting("layer/0/shape", [1, 5, 4]), ["input shapes differ"]),
        (setting("layer/0/shape", [1 << 20, 1 << 20, 1]), ["layer/0: shape", "at most"]),
        (attribute("snnkd_steps", 0), ["snnkd_steps"]),
        (attribute("snnkd_steps", "many"), ["snnkd_steps"]),
        (attribute("snnkd_steps", 2.5), ["snnkd_steps"]),
        (attribute("snnkd_message_bits", 99), ["snnkd_message_bits"]),
        (attribute("snnkd_input_shape", [2, 10]), ["snnkd_input_shape"]),
        (attribute("snnkd_input_shape", np.arange(1000)), ["snnkd_input_shape"]),
        (attribute("snnkd_encoding", "{"), ["snnkd_encoding", "not valid JSON"]),
        (attribute("snnkd_encoding", "[" * 100000), ["snnkd_encoding"]),
        (attribute("snnkd_encoding", "3"), ["snnkd_encoding", "JSON object"]),
        (attribute("snnkd_encoding", '{"a": NaN}'), ["snnkd_encoding", "no number"]),
        (attribute("snnkd_encoding", '{"a": 1e999}'), ["snnkd_encoding", "no number"]),
        (attribute("snnkd_encoding", '{"\\ud800": 1}'), ["snnkd_encoding", "not valid JSON"]),
        (attribute("snnkd_encoding", np.bytes_(b'{"\xff": 1}')), ["snnkd_encoding", "UTF-8"]),
        (attribute("snnkd_encoding", 3), ["snnkd_encoding"]),
        (attribute("snnkd_readout", '{"kind": "average"}'), ["readout"]),
        (attribute("snnkd_readout", json.dumps({"sort": 1})), ["snnkd_readout", "sort"]),
    ],
)
def test_refused(path, change, parts, edited, refused):
    refused(edited(path, change), *parts)


def test_complex_weights(path, edited, refused):
    def change(file):
        del file["layer/3/weight"]
        file["layer/3/weight/real"] = np.ones((3, 18))

    refused(edited(path, change), "layer/3: weight", "expected an array")


def test_dense_needs_flatten_behind_a_convolution(path, edited, refused):
    def change(file):
        file.move("layer/3", "layer/4")
        del file["layer/2"]
        file.move("layer/4", "layer/2")

    refused(edited(path, change), "layer/2", "needs a flatten layer")


def test_the_real_reason_comes_before_any_question(path, edited, refused):
    """A file that does not tell the shape of its input is not asked for it where no shape would help."""

    def change(file):
        for name in list(file.attrs):
            del file.attrs[name]
        del file["layer"]
        for index, kind in enumerate(("dense_rec", "dense")):
            for name, value in (("type", kind), ("shape", [3]), ("weight", np.ones((3, 3))), ("weight_rec", 3)):
                file[f"layer/{index}/{name}"] = value

    refused(edited(path, change), "layer/0: type: 'dense_rec'", "train dense layers")


def test_every_refusal_says_what_to_do():
    for reason in (*refusals.LAYERS.values(), *refusals.NEURONS.values()):
        problem, _, advice = reason.rpartition("; ")
        assert problem and advice.startswith(("train ", "leave ")), reason
        assert len(reason) < 260, "messages are cut at 300 characters"


def test_links_to_groups(path, tmp_path, edited, refused):
    def change(file):
        del file["layer/3/neuron"]
        file["layer/3/neuron"] = h5py.ExternalLink(str(tmp_path / "other.net"), "/layer/1/neuron")

    shutil.copy(path, tmp_path / "other.net")
    refused(edited(path, change), "layer/3: neuron", "links are not followed")


def test_an_average_over_one_output_each_is_no_average(path, edited):
    def change(file):
        group = file.create_group("layer/4")
        group["type"], group["shape"] = "average", [3, 1, 1]

    assert len(netx.load(edited(path, change)).layers) == 2


@pytest.mark.parametrize("keep", [0, 7, 100, 0.5, 0.95])
def test_damaged_files(path, keep, refused):
    raw = path.read_bytes()
    path.write_bytes(raw[: keep if isinstance(keep, int) else int(keep * len(raw))])
    refused(path)


def type_in_a_heap(file):
    """As lava-dl writes it."""
    put(file["layer/3"], "neuron/type", "CUBA")


def test_a_heap_that_the_library_walks_for_ever(path, edited, refused):
    raw = bytearray(edited(path, type_in_a_heap).read_bytes())
    first_object = raw.index(b"GCOL") + 16
    raw[first_object : first_object + 16] = bytes(16)
    path.write_bytes(raw)
    refused(path, "layer/3/neuron: type", "damaged: the HDF5 library takes more than 5 s")


@pytest.mark.parametrize(
    ("change", "place"),
    [
        (type_in_a_heap, "layer/3/neuron: type"),
        (attribute("snnkd_provenance", '{"text": "%s"}' % ("x" * 70000)), "attribute snnkd_provenance"),
    ],
)
def test_a_text_that_claims_three_gigabytes(path, edited, refused, change, place):
    """The HDF5 library tries to take them."""
    raw = bytearray(edited(path, change).read_bytes())
    heap = raw.index(b"GCOL")
    reference = raw.index(heap.to_bytes(8, "little") + b"\1\0\0\0")  # behind the text's length
    raw[reference - 4 : reference] = (3 << 30).to_bytes(4, "little")
    path.write_bytes(raw)
    refused(path, place, "damaged")


def test_a_heap_whose_gap_does_not_fit(path, edited, refused):
    """The HDF5 library opens no text of such a heap, also where the text itself is whole."""
    raw = bytearray(edited(path, type_in_a_heap).read_bytes())
    gap = raw.index(b"GCOL") + 16 + 16 + 8  # behind the one text, of up to 8 characters
    assert raw[gap : gap + 2] == b"\0\0"
    raw[gap + 9] ^= 0x10
    path.write_bytes(raw)
    refused(path, "layer/3/neuron: type", "damaged")


def test_quotations_are_plain_and_short(path, edited):
    def change(file):
        put(file, "layer/2/type", np.bytes_("\x1b[31m\n"))

    with pytest.raises(FormatError) as error:
        netx.load(edited(path, change))
    assert str(error.value).isprintable() and "type" in str(error.value)
    with pytest.raises(FormatError) as error:
        netx.load(edited(path, attribute("snnkd_steps", "1" * 60000)))
    assert len(str(error.value)) < len(str(path)) + 500


def test_not_a_file(tmp_path, refused):
    refused(tmp_path / "none.net", "no such file")
    refused(tmp_path, "is a folder")
    (tmp_path / "text.net").write_text("hello")
    refused(tmp_path / "text.net", "is text", "HDF5")
