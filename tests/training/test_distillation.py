"""The benchmark `distillation`: its cells, its statistics, its rows, and a short run that is broken off."""

import math
import sys
from dataclasses import replace
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "toolchain/benchmarks"))

import distillation
import distillation_cells as catalogue
import distillation_page
import distillation_results as results
import snnkd
from distillation_cells import Cell
from distillation_results import Row
from snnkd.base.errors import FormatError
from snnkd.runs import Run, cells

ROW = Row(
    "mnist-s",
    "mnist",
    1,
    2,
    100,
    0.5,
    0.5,
    12.5,
    99.0,
    50.0,
    [0.25, 0.5],
    0.5,
    6.25,
    3,
    "cpu",
    1.5,
    "abc",
    "2020-01-01",
    "0" * 16,
)


def test_statistics_against_known_numbers() -> None:
    interval = results.interval([1.0, 2.0, 3.0, 4.0, 5.0])
    assert interval.mean == 3 and interval.n == 5
    assert interval.half == pytest.approx(2.776445 * math.sqrt(2.5 / 5), rel=1e-6)  # t(0.975, 4)
    two = results.interval([0.0, 1.0]).half
    assert two is not None and two == pytest.approx(12.706205 * 0.5, rel=1e-6)  # t(0.975, 1)
    assert results.interval([4.0]) == (4.0, None, 1)


def test_differences_are_paired_by_seed() -> None:
    ours = [replace(ROW, seed=seed, accuracy=0.9 + 0.01 * seed) for seed in (1, 2, 3, 4)]
    alone = [replace(ROW, seed=seed, accuracy=0.8 + 0.01 * seed) for seed in (3, 1, 2)]
    gain = results.paired(ours, alone)
    assert gain is not None and gain.n == 3
    assert gain.mean == pytest.approx(0.1) and gain.half == pytest.approx(0, abs=1e-12)
    assert results.paired(ours, [replace(one, set="other") for one in alone]) is None


def test_rows_are_replaced_and_come_back(tmp_path: Path) -> None:
    path = tmp_path / "results.csv"
    assert results.read(path) == []
    other, better = replace(ROW, seed=2, exit_spikes=None), replace(ROW, accuracy=0.75, recipe="1" * 16)
    for row in (ROW, other, better):
        results.add(path, row)
    assert results.read(path) == [other, better]
    path.write_text(path.read_text().replace("0.75", "much"))
    with pytest.raises(FormatError, match=r"results\.csv, line 3"):
        results.read(path)


def test_every_figure_of_the_paper_has_its_cell() -> None:
    cells = catalogue.every()
    main = [name for name, cell in cells.items() if cell.recipe == f"distilling-spikes/{name}"]
    assert len(main) == 3 * len(catalogue.PAPER) == 33
    assert cells["fashion-mnist-t-s-sl1"].paper == 87.28 and cells["cifar10-t-ta-s"].paper == 42.38
    tables = {key for keys in catalogue.TABLES.values() for key in keys}
    assert tables == set(catalogue.PAPER) == set(catalogue.SHOWN)


def test_a_cell_and_the_one_alone_differ_by_the_teacher_only() -> None:
    cells = catalogue.every()
    compared = [cell for cell in cells.values() if cell.beside and cell.group != "further"]
    assert len(compared) > 50 and {cell.recipe.split("/")[0] for cell in compared} > {"best", "lee2022", "kdsnn"}
    for cell in compared:
        alone = catalogue.plan(replace(cell, undistilled=True), 3)
        assert cell.beside and catalogue.digest(alone) == catalogue.digest(catalogue.plan(cells[cell.beside], 3)), cell
        assert not alone.chain[alone.student].teachers and catalogue.plan(cell, 3).student == alone.student


def test_a_change_of_a_student_is_compared_with_it() -> None:
    cells = catalogue.every()
    further = [cell for cell in cells.values() if cell.group == "further"]
    variants = {
        f"{name}-{variant}" for name, some in catalogue.FURTHER.items() for variant in some if name.startswith("best/")
    }
    alone = {f"{name}-alone-own" for name in catalogue.OWN_SETTINGS}
    assert {cell.name for cell in further} == variants | alone
    assert {cell.name for cell in further if cell.undistilled} == alone
    for cell in further:
        assert cell.beside == cell.recipe and cells[cell.beside].group == "best"
        assert catalogue.digest(catalogue.plan(cell, 1)) != catalogue.digest(catalogue.plan(cells[cell.beside], 1))


def test_further_readings_change_what_they_say() -> None:
    cells = catalogue.every()
    for stage in ("ta", "student"):
        assert catalogue.plan(cells["mnist-t-ta-s-faithful"], 1).chain[stage].label.weight == 0
        distil = catalogue.plan(cells["mnist-t-ta-s-literal"], 1).chain[stage].distil
        assert distil is not None and distil.reading == "literal"


def test_a_row_counts_while_its_recipe_is_the_same() -> None:
    cell = catalogue.every()["mnist-t-s-l1"]
    same = catalogue.digest(catalogue.plan(cell, 1))
    assert same == catalogue.digest(catalogue.plan(replace(cell, name="else"), 1, "folder/mnist.npz"))
    assert same != catalogue.digest(catalogue.plan(cell, 2))
    changed = replace(cell, overrides=("chain.teacher.epochs=1",))
    assert same != catalogue.digest(catalogue.plan(changed, 1))


def test_cells_are_chosen_by_name_and_by_beginning() -> None:
    cells = catalogue.every()
    assert [cell.name for cell in catalogue.chosen(cells, ["mnist-t-s-kl"])] == ["mnist-t-s-kl"]
    assert len(catalogue.chosen(cells, ["mnist-t-s-", "mnist-s"])) == 1 + (5 * 3 - 1) + 2  # kl has no literal reading
    assert catalogue.chosen(cells, []) == list(cells.values())
    with pytest.raises(SystemExit, match="no cell is called 'minst'"):
        catalogue.chosen(cells, ["minst"])


def test_the_page_has_means_differences_and_what_is_missing() -> None:
    rows = [
        replace(ROW, cell=cell, seed=seed, accuracy=accuracy + 0.001 * seed)
        for cell, accuracy in (("mnist-s", 0.97), ("mnist-t-s", 0.98))
        for seed in (1, 2, 3)
    ]
    page = distillation_page.page(catalogue.every(), rows)
    (line,) = {line for line in page.splitlines() if "`mnist-t-s`" in line}
    assert line.startswith("| T -> S, proposed | 97.46 | 98.20 ± 0.25 | 50.00 ± 0.00 | +1.00 ± 0.00 | 3 | 100 | 2 |")
    assert "| T -> S less the student alone | -0.54 | +1.00 ± 0.00 | 3 |" in page
    assert "| Proposed less the best single loss | +0.10 | - | 0 |" in page
    assert "| Full L1 | 96.20 | - |" in page and "## Fashion-MNIST" not in page and "faithful*" not in page
    with pytest.raises(FormatError, match="mnist-s: has rows of several data sets"):
        distillation_page.page(catalogue.every(), [*rows, replace(ROW, set="mine")])


def test_the_page_names_the_device_that_took_the_time() -> None:
    rows = [
        replace(ROW, cell="mnist-s", seconds=90.0),
        replace(ROW, cell="mnist-s", seed=2, device="A100", seconds=240),
    ]
    page = distillation_page.page(catalogue.every(), rows)
    (line,) = {line for line in page.splitlines() if "`mnist-s`" in line}
    assert "| 4 (A100) |" in line
    assert "| one core | mnist | 0.03 |" in page and "| A100 | mnist | 0.07 |" in page


def test_effective_synops_are_shown_where_every_row_has_them() -> None:
    rows = [replace(ROW, cell="mnist-s", synops=70_000.0), replace(ROW, cell="mnist-s", seed=2, synops=70_000.0)]
    assert "| 70,000 ± 0 (50 ± 0) |" in distillation_page.page(catalogue.every(), rows)
    rows[1] = replace(rows[1], synops_effective=None)
    assert "| 70,000 ± 0 |" in distillation_page.page(catalogue.every(), rows)


def test_each_plot_shows_its_claim(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="of the dependency group plots")
    import distillation_plots as plots

    cells = catalogue.every()
    alone = [replace(ROW, seed=seed, accuracy=0.8 + 0.01 * seed) for seed in (1, 2, 3)]
    distilled = [replace(row, cell="mnist-t-s", accuracy=row.accuracy + 0.05, spikes=50.0) for row in alone]
    worse = replace(ROW, cell="mnist-t", spikes=99.0, accuracy=0.1)
    drawn = plots.draw(cells, [*alone, *distilled, worse], tmp_path)
    assert list(drawn) == ["results_gain.svg", "results_spikes.svg", "results_weights.svg"]
    assert "T -&gt; S, proposed (n = 3)" in (tmp_path / "results_gain.svg").read_text()
    spikes, weights = ((tmp_path / f"results_{name}.svg").read_text() for name in ("spikes", "weights"))
    assert all(name in spikes for name in ("student alone", "T -&gt; S, proposed"))
    assert "teacher alone" not in spikes  # more spikes, and less accurate
    assert "T -&gt; S, proposed" in weights and "student alone" not in weights  # as many weights


@pytest.mark.training
def test_a_run_becomes_a_row(tmp_path: Path) -> None:
    """The accuracies are those of the integer network."""
    short = tuple(f"chain.{stage}.epochs=1" for stage in ("teacher", "ta", "student"))
    cell = Cell("digits-s", "digits", "quick", "", (*short, "data.train_limit=200"), undistilled=True)
    trained = cells.Cell(cell.name, distillation.plan(cell, 1, {}))
    training = snnkd.train(trained.recipe, snnkd.TrainingOptions(folder=tmp_path, device="cpu"))
    row = distillation.measured(trained, Run(Path(training.run), trained.recipe), None)
    assert row.by_step[-1] == pytest.approx(row.accuracy, abs=1e-6) and row.accuracy == training.accuracy.integer
    assert len(row.by_step) == row.steps == trained.recipe.encoding.steps
    assert (row.cell, row.set, row.seed, row.epochs, row.parameters) == ("digits-s", "digits", 1, 1, 3784)
    assert row.spikes > 0 and row.synops > row.spikes and row.seconds >= 0
    assert row.synops_effective is not None and 0 < row.synops_effective < row.synops
    assert row.exit_spikes is not None and row.exit_accuracy is not None
    assert row.exit_spikes <= row.spikes and abs(row.exit_accuracy - row.accuracy) < 0.1
    assert distillation.known_by(trained) == (row.cell, row.set, row.seed, row.recipe)


def test_a_short_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A row from a process of its own, and no further one where it is there; the page is written each time."""
    pytest.importorskip("matplotlib", reason="of the dependency group plots")
    words = ["--quick", "--cells", "digits-s", "--seeds", "2", "--out", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["distillation.py", *words])

    def run() -> str:
        distillation.main()
        return capsys.readouterr().out

    assert "1 trainings, 0 of them are in" in run()
    rows = results.read(tmp_path / "results.csv")
    assert [(row.cell, row.seed) for row in rows] == [("digits-s", 2)]
    files = {
        name: (tmp_path / name).read_bytes() for name in ("results.md", "results_spikes.svg", "results_weights.svg")
    }
    assert "1 trainings, 1 of them are in" in run()
    assert results.read(tmp_path / "results.csv") == rows
    assert files == {name: (tmp_path / name).read_bytes() for name in files}
