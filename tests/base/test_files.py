"""Files: written whole or not at all, found by name or path, and errors that name the place."""

import json
import os
import resource
import shutil
import signal
import stat
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from snnkd.base import files
from snnkd.base.errors import FormatError, SnnkdError
from snnkd.base.files import atomic, data_root, find, names, read_toml, to_json, write_text

linux = pytest.mark.skipif(sys.platform != "linux", reason="uses what only Linux has")


def alone(path: Path) -> bool:
    """Nothing else is left beside `path`."""
    return list(path.parent.iterdir()) == [path]


def script(code: str, *arguments: object, prefix: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    command = [*prefix, sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_a_new_file_appears_with_its_folders(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "c.txt"
    write_text(path, "grün\n")
    assert path.read_bytes() == "grün\n".encode()
    assert alone(path)


def test_json_is_indented_and_keeps_its_order(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    write_text(path, to_json({"z": [1, 2.5], "a": None}))
    assert json.loads(path.read_text()) == {"z": [1, 2.5], "a": None}
    assert path.read_text().startswith('{\n  "z"') and path.read_text().endswith("}\n")


def test_the_file_appears_at_once_and_only_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    path.write_text("old")
    with atomic(path) as temporary:
        assert temporary.parent == path.parent and temporary.suffix == ".txt"
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new" and alone(path)


@pytest.mark.parametrize("error", [ValueError("bad"), KeyboardInterrupt(), SystemExit(3), MemoryError()], ids=repr)
def test_whatever_happens_inside_keeps_the_earlier_file(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "x.txt"
    path.write_text("old")
    with pytest.raises(type(error)), atomic(path) as temporary:
        temporary.write_text("half")
        raise error
    assert path.read_text() == "old" and alone(path)
    with pytest.raises(type(error)), atomic(tmp_path / "other" / "new.txt"):
        raise error
    assert not list((tmp_path / "other").iterdir())


def test_data_that_is_no_json_leaves_the_earlier_file(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    write_text(path, to_json([1]))
    with pytest.raises(TypeError):
        write_text(path, to_json({"a": object()}))
    assert json.loads(path.read_text()) == [1] and alone(path)


@linux
def test_ctrl_c_leaves_nothing_half_written(tmp_path: Path) -> None:
    path = tmp_path / "x.bin"
    path.write_bytes(b"old")
    code = """
        import signal, sys, time
        from pathlib import Path
        from snnkd.base.files import atomic
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell that runs us in the background ignores it
        with atomic(Path(sys.argv[1])) as temporary, temporary.open("wb") as file:
            file.write(bytes(1000))
            file.flush()
            print("writing", flush=True)
            time.sleep(60)
    """
    command = [sys.executable, "-c", textwrap.dedent(code), str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "writing\n"
        assert len(list(tmp_path.iterdir())) == 2
        process.send_signal(signal.SIGINT)
        assert "KeyboardInterrupt" in process.communicate(timeout=30)[1]
    assert path.read_bytes() == b"old" and alone(path)


@linux
@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002, 0o222])
def test_permissions_are_those_of_an_ordinary_file(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        write_text(tmp_path / "x.txt", "x")
        write_text(tmp_path / "x.txt", "again")
        assert os.umask(umask) == umask
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "x.txt").stat().st_mode) == 0o666 & ~umask


@linux
def test_a_read_only_folder_is_named(tmp_path: Path) -> None:
    prefix = ()
    if os.geteuid() == 0:  # root may write anywhere: without this capability it is like everyone else
        prefix = ("setpriv", "--bounding-set", "-dac_override")
        if not shutil.which("setpriv"):
            pytest.skip("root may write to any folder, and needs setpriv to give that up")
    path = tmp_path / "kept" / "x.txt"
    write_text(path, "old")
    path.parent.chmod(0o555)
    code = """
        import sys
        from pathlib import Path
        from snnkd.base.errors import SnnkdError
        from snnkd.base.files import write_text
        for path in map(Path, sys.argv[1:]):
            try:
                write_text(path, "new")
                print(path, "was written")
            except SnnkdError as error:
                print(error)
    """
    places = [path, path.parent / "sub" / "x.txt"]
    try:
        done = script(code, *places, prefix=prefix)
    finally:
        path.parent.chmod(0o755)
    expected = [f"{place}: cannot be written: Permission denied; choose another folder" for place in places]
    assert (done.stdout.splitlines(), done.stderr) == (expected, "")
    assert path.read_text() == "old" and alone(path)


UNSHARE = ("unshare", "--map-root-user", "--mount", "sh", "-c")


def in_a_mount(folder: Path, options: str, code: str) -> subprocess.CompletedProcess[str]:
    """Runs Python code with `folder` as a small file system of its own; skips where that is not permitted."""
    if not shutil.which("unshare"):
        pytest.skip("needs unshare to mount a small file system")
    probe = subprocess.run([*UNSHARE, f"mount -t tmpfs none '{folder}'"], capture_output=True)
    if probe.returncode:
        pytest.skip("mounting a small file system is not permitted here")
    mount = f"mount -t tmpfs -o {options} none '{folder}' && exec \"$@\""
    return script(code, folder, prefix=(*UNSHARE, mount, "sh"))


@linux
def test_a_full_disk_leaves_the_earlier_file(tmp_path: Path) -> None:
    """A real file system of 256 KiB; text, arrays and HDF5, each of which reports it in its own way."""
    code = """
        import sys
        from pathlib import Path
        import numpy as np
        from snnkd.formats import netx
        from snnkd.ir import trace
        from snnkd.base.errors import SnnkdError
        from snnkd.base.files import write_text
        from snnkd.ir.network import Dense, IntNet, Cuba
        from snnkd.ir.trace import SpikeTrace

        def net(size):
            neuron = Cuba(*(np.array(value, np.int32) for value in (1, 2, 3)))
            return IntNet((size,), (Dense(np.full((size, size), 2, np.int32), neuron),))

        def noise(size):
            return SpikeTrace("test", np.random.default_rng(1).integers(0, 255, size).astype(np.uint8), ())

        folder = Path(sys.argv[1])
        writers = {
            "text": (write_text, lambda write, path, size: write(path, "x" * size)),
            "array": (trace.save, lambda write, path, size: write(noise(size), path)),
            "net": (netx.save, lambda write, path, size: write(net(int(size**0.5 / 2)), path)),
        }
        for name, (write, call) in writers.items():
            path = folder / name
            call(write, path, 5_000)
            kept = path.read_bytes()
            try:
                call(write, path, 4_000_000)
                print(name, "was written")
            except SnnkdError as error:
                print(error)
            assert path.read_bytes() == kept, name
            assert list(folder.iterdir()) == [path], name
            call(write, path, 6_000)  # and there is room again
            assert path.read_bytes() != kept, name
            path.unlink()
    """
    done = in_a_mount(tmp_path, "size=256k", code)
    assert done.returncode == 0, done.stderr
    problem = "cannot be written: No space left on device; an earlier file is intact"
    assert done.stdout.splitlines() == [f"{tmp_path / name}: {problem}" for name in ("text", "array", "net")]


@linux
def test_a_folder_on_a_read_only_disk_is_named(tmp_path: Path) -> None:
    code = """
        import sys
        from pathlib import Path
        from snnkd.base.errors import SnnkdError
        from snnkd.base.files import write_text
        try:
            write_text(Path(sys.argv[1]) / "x.txt", "x")
        except SnnkdError as error:
            print(error)
    """
    done = in_a_mount(tmp_path, "ro", code)
    expected = f"{tmp_path / 'x.txt'}: cannot be written: Read-only file system; choose another folder\n"
    assert (done.stdout, done.stderr) == (expected, "")


@linux
def test_a_write_that_the_system_refuses_leaves_the_earlier_file(tmp_path: Path) -> None:
    """A limit on the size of files, where no file system can be mounted."""
    path = tmp_path / "x.txt"
    write_text(path, "old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(SnnkdError, match=r"x\.txt: cannot be written: File too large; an earlier file is intact"):
            write_text(path, "x" * 100_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_text() == "old" and alone(path)


def test_places_that_cannot_hold_a_file_are_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    with pytest.raises(SnnkdError, match=r"file/x\.txt: cannot be written"):
        write_text(tmp_path / "file" / "x.txt", "x")
    with pytest.raises(SnnkdError, match=r"folder: cannot be written"):
        write_text(tmp_path / "folder", "x")
    with pytest.raises(SnnkdError, match="cannot be written: File name too long"):
        write_text(tmp_path / ("x" * 250), "x")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]


def test_readers_never_see_half_a_file(tmp_path: Path) -> None:
    """Another process reads while this one writes."""
    path = tmp_path / "x.json"
    write_text(path, to_json(list(range(2000))))
    code = """
        import json, sys, time
        print("ready", flush=True)
        end, seen = time.monotonic() + 0.5, 0
        while time.monotonic() < end:
            seen += len(json.load(open(sys.argv[1]))) == 2000
        print(seen)
    """
    command = [sys.executable, "-c", textwrap.dedent(code), str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        while process.poll() is None:
            write_text(path, to_json(list(range(2000))))
            time.sleep(0.001)
        assert process.returncode == 0 and int(process.stdout.read()) > 0


def test_finds_shipped_files_by_name_and_own_ones_by_path(tmp_path: Path) -> None:
    own = tmp_path / "mine.toml"
    own.write_text("")
    known = {"digits": Path("/d.toml"), "mnist": Path("/m.toml"), "fashion-mnist": Path("/f.toml")}
    assert find("mnist", known, "recipe") == Path("/m.toml")
    assert find(str(own), known, "recipe") == find(own, known, "recipe") == own


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mnits", "no recipe is called 'mnits': did you mean mnist"),
        ("digit", "did you mean digits?"),
        ("zzz", "known: digits, mnist, fashion-mnist"),
        ("mnist.toml", "mnist.toml: no such recipe file"),
        ("", "no recipe is called ''"),
    ],
)
def test_what_is_not_found_is_answered_with_the_closest_names(name: str, message: str) -> None:
    known = {name: Path(f"/{name}.toml") for name in ("digits", "mnist", "fashion-mnist")}
    with pytest.raises(SnnkdError) as error:
        find(name, known, "recipe")
    assert message in str(error.value)


def test_names_are_the_path_below_the_fixed_part() -> None:
    assert {"digits", "mnist"} <= names("models", "recipes/*.toml").keys()
    networks = names("models", "networks/*.toml")
    assert all(path.is_file() and path.stem == name for name, path in networks.items())
    folders = names("hw_targets", "*/target.toml")
    assert {"loihi2", "loihi2-sim"} <= folders.keys()
    assert all(path == data_root("hw_targets") / name / "target.toml" for name, path in folders.items())
    assert names("models", "nothing/*.toml") == {}
    assert list(networks) == sorted(networks)


def test_a_missing_data_folder_says_what_to_do() -> None:
    with pytest.raises(SnnkdError, match="'nonsense': reinstall"):
        data_root("nonsense")


def test_toml_is_read(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_text('a = 1\n[b]\nc = "ü"\n', encoding="utf-8")
    assert read_toml(path) == {"a": 1, "b": {"c": "ü"}}
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())  # as editors on Windows write it
    assert read_toml(path) == {"a": 1, "b": {"c": "ü"}}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a = 1\nb = [1,\n", "not valid TOML: .*at end of document"),
        (b"a = 1\na = 2\n", "not valid TOML: .*line 2"),
        (b"a = '\xff'\n", "cannot be read: .*utf-8"),
        (b"a = " + b"[" * 100_000, "not valid TOML: brackets lie too deep"),
        (b"PK\x03\x04\x00", "is a zip: unzip it"),
        (None, "cannot be read: .*No such file"),
    ],
)
def test_toml_that_cannot_be_read_is_named_with_the_line(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "x.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(FormatError, match=rf"x\.toml: {message}"):
        read_toml(path)


def test_a_folder_is_no_toml(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="cannot be read"):
        read_toml(tmp_path)


def test_the_module_needs_nothing_heavy() -> None:
    """`snnkd --help` goes through it."""
    code = f"import sys, {files.__name__}; print(sorted({{'numpy', 'torch', 'h5py'}} & sys.modules.keys()))"
    assert script(code).stdout == "[]\n"
