"""Run folders: made once, refused where they are damaged, taken up again by what their recipe says, held by one."""

import json
import os
import shutil
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import pytest

from snnkd import recipe, runs
from snnkd.base import lock
from snnkd.base.errors import FormatError, LimitError, Note, SnnkdError, SnnkdWarning
from snnkd.base.files import read_json, read_toml
from snnkd.formats import netx
from snnkd.runs import pipeline


@pytest.fixture
def digits():
    return recipe.load("digits")


def test_trainings_that_start_at_the_same_moment_share_no_folder(digits, tmp_path):
    made: list[Path] = []
    barrier = threading.Barrier(8)

    def start():
        barrier.wait()
        made.append(runs.create(digits, {"seed": 1}, tmp_path).folder)

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(path.name for path in made) == [f"digits-{number:03d}" for number in range(1, 9)]
    assert all(recipe.load(path / "recipe.toml") == digits for path in made)


def test_numbers_go_on_behind_the_highest(digits, tmp_path):
    (tmp_path / "digits-041").mkdir()
    (tmp_path / "digits-deep-099").mkdir()
    assert runs.create(digits, {}, tmp_path).folder.name == "digits-042"


@pytest.mark.parametrize("name", ["recipe.toml", "provenance.json", "reused.json"])
def test_a_file_in_which_one_bit_has_changed_is_refused(digits, tmp_path, name):
    run = runs.create(digits, {"seed": 1}, tmp_path)
    runs.note_reused(run, {"teacher": tmp_path / "other"})
    read = read_toml if name.endswith("toml") else read_json
    read(run.folder / name)
    data = bytearray((run.folder / name).read_bytes())
    data[len(data) // 2] ^= 1
    (run.folder / name).write_bytes(data)
    with pytest.raises(FormatError, match=f"{name}: damaged, or changed since it was written.*put the original back"):
        read(run.folder / name)


def test_a_folder_that_was_deleted_is_said_and_not_made_anew(digits, tmp_path):
    run = runs.create(digits, {}, tmp_path)
    shutil.rmtree(run.folder)
    for write in (lambda: run.write("student.net", b""), lambda: runs.write_metrics(run, [{"epoch": 1}])):
        with pytest.raises(SnnkdError, match=f"{run.folder.name}: was deleted or moved while a command worked in it"):
            write()
    assert not run.folder.exists()


def test_a_run_of_before_has_no_digests_and_is_read(digits, tmp_path):
    run = runs.create(digits, {"seed": 1}, tmp_path)
    (run.folder / "SHA256SUMS").unlink()
    run.write("summary.json", "{}")
    assert runs.find("digits-001", tmp_path).recipe == digits


# --resume


def resumed(wanted, folder):
    """(run or None, categories and texts of what was told)."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        run = runs.resumable(wanted, folder)
    return run, [(one.category, str(one.message)) for one in caught]


def test_what_a_recipe_says_counts_and_not_its_text(digits, tmp_path):
    run = runs.create(digits, {}, tmp_path)
    text = (run.folder / "recipe.toml").read_text()
    (run.folder / "SHA256SUMS").unlink()
    (run.folder / "recipe.toml").write_text("# mine\n" + text.replace(digits.description, "another description"))
    assert resumed(digits, tmp_path) == (runs.Run(run.folder, digits), [])


def test_nothing_that_matches_is_said_with_what_is_different(digits, tmp_path):
    runs.create(digits, {}, tmp_path)
    other = recipe.load("digits", ["seed=7"])
    found, ((category, text),) = resumed(other, tmp_path)
    assert found is None and category is Note
    assert "digits-001 has seed = 1 in place of 7" in text and "A new run starts" in text
    found, ((_, text),) = resumed(digits, tmp_path / "empty")
    assert found is None and "none has the name digits" in text


def test_a_damaged_recipe_is_passed_over_with_a_word(digits, tmp_path):
    older, newer = runs.create(digits, {}, tmp_path), runs.create(digits, {}, tmp_path)
    path = newer.folder / "recipe.toml"
    path.write_text(path.read_text().replace("seed = 1", "seed = 3"))
    found, told = resumed(digits, tmp_path)
    assert found is not None and found.folder == older.folder
    assert [category for category, _ in told] == [SnnkdWarning] and "digits-002/recipe.toml: damaged" in told[0][1]


# The lock


HOLDER = """
import os, sys
from pathlib import Path
from snnkd.base import lock
held = lock.held(Path(sys.argv[1]), "train")
held.__enter__()
print("held", flush=True)
sys.stdin.read()
os._exit(9)
"""


@pytest.fixture
def holder(tmp_path):
    """A process that holds the lock of `tmp_path` until it is killed or its standard input ends; then it just dies."""
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_another_process_is_refused_with_who_holds_it(holder, tmp_path):
    text = rf"in use by process {holder.pid} .*\(snnkd train, since 20"
    with pytest.raises(LimitError, match=text), lock.held(tmp_path, "export"):
        pass
    assert (tmp_path / lock.NAME).is_file(), "whoever is refused takes nothing away"


def test_one_that_has_died_is_told_and_taken_over(holder, tmp_path):
    holder.communicate()
    assert (tmp_path / lock.NAME).is_file()
    text = rf"taken over from process {holder.pid} .*which ended without a word"
    with pytest.warns(SnnkdWarning, match=text), lock.held(tmp_path, "train"):
        assert json.loads((tmp_path / lock.NAME).read_text())["pid"] == os.getpid()
    assert not (tmp_path / lock.NAME).exists()


def test_one_of_another_host_is_left_alone(tmp_path):
    (tmp_path / lock.NAME).write_text(json.dumps({"pid": 7, "host": "elsewhere", "what": "train", "since": "2026"}))
    with pytest.raises(LimitError, match=r"process 7 on elsewhere .*delete .*\.lock"), lock.held(tmp_path, "train"):
        pass
    assert (tmp_path / lock.NAME).exists()


@pytest.mark.parametrize("text", ["", "{", "[]", "\xff"])
def test_a_damaged_lock_is_no_dead_end(tmp_path, text):
    (tmp_path / lock.NAME).write_text(text, encoding="latin-1")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with lock.held(tmp_path, "train"):
            pass
    assert not (tmp_path / lock.NAME).exists()


def test_an_error_within_frees_it(tmp_path):
    with pytest.raises(ValueError), lock.held(tmp_path, "train"):
        raise ValueError
    assert not (tmp_path / lock.NAME).exists()


def test_the_student_of_a_run_is_checked(digits, tmp_path, build):
    run = runs.create(digits, {}, tmp_path)
    run.write("student.net", netx.to_bytes(build.net(3)))
    netx.load(run.student)
    run.student.write_bytes(netx.to_bytes(build.net(4)))
    with pytest.raises(SnnkdError, match=r"student\.net: damaged"):
        netx.load(run.student)


@pytest.mark.training
def test_a_student_that_does_not_fit_its_target_is_told_before_it_is_trained(tmp_path):
    chip = tmp_path / "small.toml"
    entry = '[limits.{}]\nvalue = {}\nunit = "{}"\nkind = "vendor"\nsource = "test"\n'
    limits = entry.format("cores", 2, "cores") + entry.format("neurons_per_core", 10, "neurons")
    chip.write_text(f'name = "small"\ndescription = "a small chip"\n{limits}')
    wanted = recipe.load("digits", [f'target.name="{chip}"'])
    with pytest.warns(SnnkdWarning, match="the student does not fit small: network, cores: at least"):
        pipeline.start(wanted, pipeline.TrainingOptions(folder=tmp_path / "runs"))
