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
    stored = [cell.outputs for cell in notebook.cells if cell.cell_type == "code"]
    nbclient.NotebookClient(notebook, timeout=250, kernel_name="python3").execute()
    found = [cell.outputs for cell in notebook.cells if cell.cell_type == "code"]
    assert all(found)
    assert [[output.output_type for output in outputs] for outputs in found] == [
        [output.output_type for output in outputs] for outputs in stored
    ]
    assert found[1][0].text.startswith("0 differences in ")
