"""The zip of a bundle: the same bytes each time, and nothing read that could do harm."""

import stat
import struct
import zipfile

import pytest

from snnkd.base.errors import FormatError
from snnkd.bundle import archive

FILES = {"README.md": b"read me\n", "c/model.c": b"int x;\n" * 500, "golden/a.npz": bytes(range(256))}


def test_the_same_contents_give_the_same_bytes(tmp_path):
    first = archive.write(tmp_path / "a.zip", FILES)
    second = archive.write(tmp_path / "b.zip", dict(reversed(FILES.items())))
    assert first == second
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


def test_what_was_written_is_read_and_its_sums_hold(tmp_path):
    archive.write(tmp_path / "a.zip", FILES)
    found = archive.read(tmp_path / "a.zip")
    assert {name: found[name] for name in FILES} == FILES
    assert archive.differences(found) == []
    archive.unpack(found, tmp_path / "folder")
    assert (tmp_path / "folder" / "c" / "model.c").read_bytes() == FILES["c/model.c"]


@pytest.mark.parametrize("name", [*FILES, archive.SUMS])
def test_one_changed_byte_is_found_in_any_file(tmp_path, name):
    archive.write(tmp_path / "a.zip", FILES)
    found = archive.read(tmp_path / "a.zip")
    for position in range(0, len(found[name]), max(1, len(found[name]) // 40)):
        changed = bytearray(found[name])
        changed[position] ^= 1
        assert archive.differences(found | {name: bytes(changed)}), position


def test_missing_and_additional_files_are_named(tmp_path):
    archive.write(tmp_path / "a.zip", FILES)
    found = archive.read(tmp_path / "a.zip")
    without = {name: data for name, data in found.items() if name != "c/model.c"}
    assert archive.differences(without) == ["c/model.c: missing"]
    assert archive.differences(found | {"c/evil.c": b""}) == ["c/evil.c: not listed in SHA256SUMS"]
    assert archive.differences(FILES) == ["SHA256SUMS: missing"]


@pytest.mark.parametrize("name", ["../x", "/x", "c/../../x", "C:\\x", "c/./x", "c//x", "a\nb", "", "c:x", "caf\u00e9"])
def test_names_that_could_lead_elsewhere_are_refused(tmp_path, name):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        info = zipfile.ZipInfo("placeholder")
        info.filename = name
        file.writestr(info, b"x")
    with pytest.raises(FormatError, match="may lead out"):
        archive.read(tmp_path / "a.zip")


def test_links_twins_and_bombs_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "link.zip", "w") as file:
        info = zipfile.ZipInfo("c/link")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        file.writestr(info, b"/etc/passwd")
    with pytest.raises(FormatError, match="no plain file"):
        archive.read(tmp_path / "link.zip")
    with zipfile.ZipFile(tmp_path / "twins.zip", "w") as file:
        file.writestr("c/Model.c", b"a")
        file.writestr("c/model.c", b"b")
    with pytest.raises(FormatError, match="twice"):
        archive.read(tmp_path / "twins.zip")
    with zipfile.ZipFile(tmp_path / "many.zip", "w") as file:
        for number in range(1001):
            file.writestr(str(number), b"")
    with pytest.raises(FormatError, match="at most 1000"):
        archive.read(tmp_path / "many.zip")


def test_damaged_zips_are_one_clear_error(tmp_path):
    archive.write(tmp_path / "a.zip", FILES)
    whole = (tmp_path / "a.zip").read_bytes()
    (tmp_path / "cut.zip").write_bytes(whole[: len(whole) // 2])
    start = whole.index(b"c/model.c") + len("c/model.c")
    flipped = bytearray(whole)
    flipped[start + 3] ^= 0xFF
    (tmp_path / "flipped.zip").write_bytes(flipped)
    central = bytearray(whole)
    position = whole.index(struct.pack("<I", 0x02014B50))
    central[position + 10] = 99  # a compression that nobody knows
    (tmp_path / "method.zip").write_bytes(central)
    for name in ("cut.zip", "flipped.zip", "method.zip", "none.zip"):
        with pytest.raises(FormatError, match=name):
            archive.read(tmp_path / name)
