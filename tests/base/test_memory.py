"""Memory that is not there is refused with numbers, before it is asked for."""

from pathlib import Path

import pytest

from snnkd.base import memory
from snnkd.base.errors import LimitError


def test_what_does_not_fit_is_refused_with_both_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "available", lambda: 3 << 30)
    memory.check("the trace", 3 << 30, "ask for fewer samples")
    with pytest.raises(LimitError) as error:
        memory.check("the trace", 10**12, "ask for fewer samples")
    expected = "the trace: needs 931 GiB of memory, and 3 GiB are free here; ask for fewer samples"
    assert str(error.value) == expected


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 bytes"), (1023, "1023 bytes"), (1536, "1.5 KiB"), (1 << 40, "1 TiB"), (1 << 80, "1,048,576 EiB")],
)
def test_sizes_are_written_for_people(size: int, text: str) -> None:
    assert memory.said(size) == text


def test_the_limit_of_a_container_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    meminfo, group = tmp_path / "meminfo", tmp_path / "cgroup"
    meminfo.write_text("MemTotal: 9 kB\nMemAvailable:    4096 kB\n")
    group.mkdir()
    monkeypatch.setattr(memory, "_MEMINFO", meminfo)
    monkeypatch.setattr(memory, "_GROUP", group)
    assert memory.available() == 4096 << 10
    (group / "memory.current").write_text("3000000\n")
    (group / "memory.max").write_text("max\n")
    assert memory.available() == 4096 << 10
    (group / "memory.max").write_text("4000000\n")
    assert memory.available() == 1000000
    (group / "memory.stat").write_text("anon 5\ninactive_file 500000\n")
    assert memory.available() == 1500000


def test_this_machine_says_something() -> None:
    assert 1 << 20 < memory.available() <= 1 << 62
