"""The child process that reads HDF5: started once, ended with this one, replaced where it fails, and not believed."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import h5py
import numpy as np
import pytest

from snnkd.base.errors import FormatError, SnnkdError
from snnkd.formats import netx
from snnkd.formats.hdf5 import process as hdf5_process
from snnkd.formats.hdf5.process import READER, Reader
from snnkd.formats.netx.read import WANTED

needs_proc = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux")


def child():
    return READER._process.pid if READER._process else None


def ended(pid):
    """Whether a process is gone, or only waits to be asked how it ended."""
    try:
        return "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True


def soon(condition):
    until = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)


def crashing(path):
    """The HDF5 library walks this file's heap for ever."""
    with h5py.File(path, "r+") as file:
        del file["layer/3/neuron/type"]
        file["layer/3/neuron/type"] = "CUBA"
    raw = bytearray(path.read_bytes())
    first_object = raw.index(b"GCOL") + 16
    raw[first_object : first_object + 16] = bytes(16)
    path.write_bytes(raw)


def test_one_child_reads_file_after_file(path):
    netx.load(path)
    first = child()
    assert first is not None
    netx.load(path)
    assert child() == first


def test_it_also_reads_on_after_a_file_that_is_refused(path, tmp_path):
    netx.load(path)
    first = child()
    (tmp_path / "y.net").write_bytes(path.read_bytes()[:-100])
    with pytest.raises(FormatError):
        netx.load(tmp_path / "y.net")
    netx.load(path)
    assert child() == first


def test_a_file_on_which_it_fails_does_not_matter_to_the_next_one(path, tmp_path, same_net):
    net = netx.load(path)
    other = tmp_path / "other.net"
    other.write_bytes(path.read_bytes())
    crashing(other)
    with ThreadPoolExecutor(4) as threads:
        bad = threads.submit(netx.load, other)
        for found in threads.map(netx.load, [path] * 8):
            same_net(found, net)
        with pytest.raises(FormatError, match=r"other.net: layer/3/neuron: type: damaged: .* takes more than"):
            bad.result()
    same_net(netx.load(path), net)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSEGV])
def test_another_one_is_started_where_it_was_killed(path, same_net, how):
    net = netx.load(path)
    os.kill(child(), how)
    soon(lambda: ended(child()))
    same_net(netx.load(path), net)


def test_threads_share_it(path, same_net):
    net = netx.load(path)
    first = child()
    with ThreadPoolExecutor(8) as threads:
        for found in threads.map(netx.load, [path] * 40):
            same_net(found, net)
    assert child() == first


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_process_has_one_of_its_own(path):
    netx.load(path)
    first = child()
    with READER._lock:  # as another thread may hold it when a process forks
        forked = os.fork()
        if not forked:
            signal.alarm(60)
            same = netx.load(path).layers[1].weight.shape == (3, 18)
            os._exit(0 if same and child() != first else 1)
    assert os.waitpid(forked, 0)[1] == 0
    netx.load(path)
    assert child() == first and not ended(first)


@needs_proc
@pytest.mark.parametrize("end", ["", "os.kill(os.getpid(), signal.SIGKILL)", "os._exit(3)", "1 / 0"])
def test_it_ends_with_its_parent(path, end):
    code = (
        "import os, signal; from snnkd.formats import netx; from snnkd.formats.hdf5 import process; netx.load({!r}); "
        "print(process.READER._process.pid, flush=True); {}"
    )
    done = subprocess.run([sys.executable, "-c", code.format(str(path), end)], capture_output=True, text=True)
    assert done.stdout.strip().isdigit(), done.stderr
    soon(lambda: ended(int(done.stdout)))


def test_only_the_child_loads_hdf5_and_warming_not_even_numpy(path):
    code = f"""if True:
        import sys, snnkd.formats
        snnkd.formats.warm()
        assert not {{"numpy", "h5py"}} & sys.modules.keys()
        snnkd.formats.load({str(path)!r})
        assert "h5py" not in sys.modules and "numpy" in sys.modules
    """
    assert subprocess.run([sys.executable, "-W", "error", "-c", code]).returncode == 0


@needs_proc
def test_limits_of_the_process_that_reads(path, tmp_path):
    """A text that claims gigabytes ends in an error of memory, and no more of it was ever taken."""
    with h5py.File(path, "r+") as file:
        del file["layer/3/type"]
        file["layer/3/type"] = "dense"
    raw = bytearray(path.read_bytes())
    reference = raw.index(raw.index(b"GCOL").to_bytes(8, "little") + b"\1\0\0\0")
    raw[reference - 4 : reference] = (3 << 30).to_bytes(4, "little")
    path.write_bytes(raw)
    with pytest.raises(FormatError, match="layer/3: type: damaged"):
        netx.load(path)
    assert 0 < READER.used["megabytes"] < 400
    assert 0 < READER.used["seconds"] < 3


def test_a_path_of_any_name(path, tmp_path, monkeypatch, same_net):
    net = netx.load(path)
    monkeypatch.chdir(tmp_path)
    for name in ("a b\n'\".net", "\u00e9\u4e2d.net", os.fsdecode(b"\xff.net")):
        Path(name).write_bytes(path.read_bytes())
        same_net(netx.load(name), net)


# A child that is not what it should be


@pytest.fixture
def impostor(monkeypatch, tmp_path):
    """A reader whose child runs `code`, with `say` for stdout and `control` for stderr."""
    readers = []

    def reader(code):
        script = "import json, os, sys, time\n"
        script += "say, control = (lambda data, file=file: os.write(file, data) for file in (1, 2))\n"
        monkeypatch.setattr(hdf5_process, "_BOOT", script + code)
        readers.append(Reader())
        return readers[-1]

    yield reader
    for one in readers:
        one.stop()


READY = 'control(b"{}\\n"); request = json.loads(sys.stdin.readline())\n'
GOOD = '{"ended": 0, "place": "", "seconds": 0.0, "megabytes": 1.0}'
NUMBERS = {"place": "layer", "kind": "numbers", "dtype": "<i4", "shape": [2]}


def test_what_a_good_child_says(impostor):
    said = json.dumps(NUMBERS).encode() + b"\n\1\0\0\0\2\0\0\0{}\n"
    item = impostor(f"{READY}say({said!r}); control(b'{GOOD}\\n')").items("x.net", WANTED)["layer"]
    assert (item.kind, item.dtype, item.shape, bytes(item.raw)) == ("numbers", "<i4", (2,), b"\1\0\0\0\2\0\0\0")


@pytest.mark.parametrize(
    "line",
    [
        {**NUMBERS, "shape": [1 << 40]},
        {**NUMBERS, "shape": [-1, -2]},
        {**NUMBERS, "shape": [2.0]},
        {**NUMBERS, "shape": [True]},
        {**NUMBERS, "shape": "2"},
        {**NUMBERS, "shape": [1] * 40},
        {**NUMBERS, "shape": [0, 1 << 40]},
        {**NUMBERS, "dtype": "O"},
        {**NUMBERS, "dtype": "<i3"},
        {**NUMBERS, "dtype": ["<i4"]},
        {**NUMBERS, "kind": "object"},
        {**NUMBERS, "kind": None},
        {**NUMBERS, "place": 3},
        {"kind": "group"},
        {"place": "", "kind": "refused"},
        {"place": "", "kind": "text", "size": 1 << 30, "shape": []},
        {"place": "", "kind": "text", "size": -1, "shape": []},
        {"place": "", "kind": "text", "size": 1, "shape": [2]},
        {"place": "", "kind": "other", "shape": [2]},
        [],
        3,
        "x" * 200_000,
    ],
)
def test_what_a_child_may_not_say(impostor, tmp_path, line):
    said = tmp_path / "said"
    said.write_bytes(json.dumps(line).encode() + b"\n" + bytes(8) + b"{}\n")
    with pytest.raises(FormatError, match=r"^x\.net: damaged: the HDF5 library says"):
        impostor(f"{READY}say(open({str(said)!r}, 'rb').read()); control(b'{GOOD}\\n'); time.sleep(50)").items(
            "x.net", WANTED
        )


@pytest.mark.parametrize("said", [b"\xff\xfe\n", b"[" * 9000 + b"\n", b"{" + b" " * 60_000, b'{"a": \n'])
def test_lines_of_no_form(impostor, said):
    with pytest.raises(FormatError, match=r"^x\.net: damaged: the HDF5 library says"):
        impostor(f"{READY}\nwhile True: say({said!r})").items("x.net", WANTED)


def test_one_place_twice(impostor):
    said = b'{"place": "layer", "kind": "group"}\n' * 2
    with pytest.raises(FormatError, match=r"^x\.net: layer: damaged: is there twice"):
        impostor(f"{READY}say({said!r}); time.sleep(50)").items("x.net", WANTED)


def test_an_item_without_its_group(monkeypatch, path):
    groups = {place: hdf5_process.Item("group") for place in ("", "/", "layer/0")}
    monkeypatch.setattr(READER, "items", lambda *_: groups)
    with pytest.raises(FormatError, match="says what it should not"):
        netx.load(path)


@pytest.mark.parametrize("status", ["os._exit(1)", "os.kill(os.getpid(), 11)", "os.kill(os.getpid(), 9)"])
@pytest.mark.parametrize("said", [b"", b'{"place": ""', json.dumps(NUMBERS).encode() + b"\n\1\0"])
def test_it_ends_within_its_answer(impostor, said, status):
    with pytest.raises(FormatError, match=r"^x\.net: the process that reads HDF5 files was ended from outside"):
        impostor(f"{READY}say({said!r}); {status}").items("x.net", WANTED)


def test_it_fails_at_a_place(impostor):
    report = '{"ended": -11, "place": "layer/0/we\\\\u001bight", "seconds": 0.5, "megabytes": 2.5}'
    reader = impostor(f"{READY}control(b'{report}\\n')")
    with pytest.raises(FormatError) as error:
        reader.items("x.net", WANTED)
    message = "x.net: layer/0: we\ufffdight: damaged: the HDF5 library fails on it (status -11)"
    assert str(error.value) == message
    assert reader.used == {"seconds": 0.5, "megabytes": 2.5}


@pytest.mark.parametrize("code", [f"{READY}time.sleep(50)", f"{READY}say(b'{{'); time.sleep(50)"])
def test_it_takes_too_long(impostor, monkeypatch, code):
    monkeypatch.setattr(hdf5_process, "SECONDS", 0.5)
    started = time.monotonic()
    with pytest.raises(FormatError, match=r"^x\.net: takes more than 0 s to read"):
        impostor(code).items("x.net", WANTED)
    assert time.monotonic() - started < 20


def test_it_does_not_start(impostor, monkeypatch):
    with pytest.raises(SnnkdError, match=r"does not start: ModuleNotFoundError: No module named 'h5pyx'"):
        impostor("import h5pyx").items("x.net", WANTED)
    monkeypatch.setattr(hdf5_process, "SECONDS", 0.5)
    with pytest.raises(SnnkdError, match="does not start: it ended"):
        impostor("time.sleep(50)").items("x.net", WANTED)
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(SnnkdError, match="cannot be started: No such file"):
        Reader().items("x.net", WANTED)


def test_an_interrupt_ends_it(impostor):
    """What the interrupted file had still to say must not become the answer for the next one."""
    reader = impostor(f"{READY}time.sleep(50)")
    reader.warm()
    main = threading.main_thread().ident
    timer = threading.Timer(0.5, lambda: signal.pthread_kill(main, signal.SIGINT))
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
    try:
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            reader.items("x.net", WANTED)
        timer.join()
    finally:
        signal.signal(signal.SIGINT, before)
    assert reader._process is None


def test_values_are_those_of_h5py(path):
    """Every array of a file, bit for bit."""
    items = READER.items(str(path), WANTED)
    seen = []
    with h5py.File(path) as file:
        file.visititems(lambda name, item: seen.append((name, item[()])) if isinstance(item, h5py.Dataset) else None)
    assert len(seen) > 20
    for name, value in seen:
        if items[name].kind == "numbers":
            found = np.frombuffer(items[name].raw, items[name].dtype).reshape(items[name].shape)
            np.testing.assert_array_equal(found, value)
            assert found.dtype == np.asarray(value).dtype
