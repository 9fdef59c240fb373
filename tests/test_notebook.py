"""The notebook of docs/ runs from its first cell to its last, and is stored with what it printed."""

from pathlib import Path

import pytest

NOTEBOOK = Path(__file__).resolve().parent.parent / "docs" / "digits.ipynb"


@pytest.mark.lava
def test_the_notebook_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    for package in ("ipykernel", "matplotlib"):
        pytest.importorskip(package)
    monkeypatch.chdir(tmp_path)
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert all(told(notebook)), "run it: jupyter execute --inplace docs/digits.ipynb"
    nbclient.NotebookClient(notebook, timeout=250, kernel_name="python3").execute()
    assert all(told(notebook))
    progress = told(notebook)[0][0].data
    assert progress["text/plain"].startswith("teacher: ") and progress["text/html"].count("<progress") == 3
    assert told(notebook)[1][0].text.startswith("0 differences in ")


def told(notebook) -> list[list]:
    """What each cell of code printed or drew, warnings left out."""
    cells = [cell.outputs for cell in notebook.cells if cell.cell_type == "code"]
    return [[output for output in outputs if output.get("name") != "stderr"] for outputs in cells]
