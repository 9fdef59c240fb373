"""README and docs: every example runs, every link leads somewhere, and tables that repeat the code agree with it."""

import re
import shlex
import shutil
from pathlib import Path

import pytest
import typer

from snnkd import engines, recipe
from snnkd.cli.app import app
from snnkd.runs import cells, pipeline
from snnkd.study import candidate, space

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BESIDE = [ROOT / name for name in ("CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "examples/README.md")]
SHORT = [f"chain.{stage}.epochs=1" for stage in ("teacher", "ta", "student")]
TRAINING = {"run", "train", "sweep", "search"}  # take minutes, and data that may not be here: only read
COMMANDS = typer.main.get_command(app).commands  # pyright: ignore[reportAttributeAccessIssue]

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
every_text = pytest.mark.parametrize("page", [*PAGES, *BESIDE], ids=lambda page: str(page.relative_to(ROOT)))


def blocks(page: Path) -> list[tuple[str, str]]:
    """(language, content) of each fenced block."""
    return re.findall(r"^```(\w+)\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)


def prose(page: Path) -> str:
    return re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)


def commands(block: str, language: str) -> list[list[str]]:
    """The arguments of each call of snnkd in a block of shell lines; in a console only lines after a '$'."""
    lines = block.replace("\\\n", " ").splitlines()
    if language == "console":
        lines = [line.removeprefix("$") for line in lines if line.startswith("$")]
    found = []
    for call in (part for line in lines for part in line.split("&&")):
        words = shlex.split(call, comments=True)
        runs = "snnkd" in words and (words[0] == "snnkd" or words[words.index("snnkd") - 2 :][:2] == ["uv", "run"])
        if runs:
            found.append(words[words.index("snnkd") + 1 :])
    return found


def read(arguments: list[str]) -> None:
    """Checks a training's options, its recipe and its overrides, or a search's space, without running it."""
    name, *rest = arguments
    context = COMMANDS[name].make_context(name, rest)
    if name == "sweep":
        cells.grid(context.params["recipes"], cells.seeds(context.params["seeds"]), context.params["overrides"] or [])
    elif name == "search":
        if context.params["take"] is None:
            candidate.check(space.load(context.params["space"]))
    else:
        recipe.load(context.params["recipe"], context.params["overrides"])


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with runs/digits-001, trained for one epoch per stage, and digits-002, its copy."""
    folder = tmp_path_factory.mktemp("docs")
    import snnkd

    snnkd.train(recipe.load("digits", SHORT), snnkd.TrainingOptions(folder=folder / "runs"))
    shutil.copytree(folder / "runs/digits-001", folder / "runs/digits-002")
    return folder


@pytest.mark.lava
@every_page
def test_examples_run(page: Path, finished: Path, tmp_path: Path, call, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    for language, block in blocks(page):
        if language == "toml" and (name := re.match(r"# ([\w-]+\.toml)\n", block)):
            Path(name[1]).write_text(block)
        if language == "python":
            exec(compile(block, str(page), "exec"), {"__name__": "example"})
        if language in ("console", "bash", "sh"):
            for arguments in commands(block, language):
                if arguments[0] in TRAINING:
                    read(arguments)
                else:
                    status, output, errors = call(*arguments)
                    assert status == 0, f"snnkd {shlex.join(arguments)}: {errors}{output}"


def test_examples_are_found() -> None:
    """The rules above do see the commands of README, in every form that it has."""
    found = [arguments for language, block in blocks(ROOT / "README.md") for arguments in commands(block, language)]
    assert "train export profile" in " ".join(arguments[0] for arguments in found)
    assert ["run"] in found
    assert commands("$ snnkd models \\\n  --json  # all\nname role\n", "console") == [["models", "--json"]]
    assert commands("python3 -m uv run pytest && pipx install snnkd\n", "sh") == []


def test_readmes_results_are_those_of_the_page() -> None:
    """Each row of README's table says what docs/results.md says of its recipe, and of the student alone."""
    text = (ROOT / "README.md").read_text()
    rows = re.findall(r"^\| (`best/[\w-]+)` \| ([\d,]+) \| (.*) \|$", text, re.MULTILINE)
    assert len(rows) == 5
    page = (ROOT / "docs" / "results.md").read_text().splitlines()
    for cell, weights, figures in rows:
        alone, distilled, gain, spikes = figures.split(" | ")
        (own,) = [line for line in page if line.endswith(f"| {cell}` |")]
        (without,) = [line for line in page if line.endswith(f"| {cell}-alone` |")]
        assert f"| {distilled} | {distilled} | {gain} |" in own and f"| {weights} |" in own and f"| {spikes} ±" in own
        assert f"| {alone} | {alone} | - |" in without


def slug(heading: str) -> str:
    """A heading's anchor, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


@every_text
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"""(?:\]\(|href="|src="|srcset=")([^)\s"]+)""", prose(page)):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        linked = page.parent / name if name else page
        assert linked.exists(), f"{page.name}: {target}"
        if anchor:
            headings = re.findall(r"^#+ (.*)$", prose(linked), re.MULTILINE)
            assert anchor in map(slug, headings), f"{page.name}: {target}"


@every_text
def test_names_exist(page: Path) -> None:
    """Files of the checkout, tests and commands that a page names."""
    tests = set(re.findall(r"def (test_\w+)", "".join(path.read_text() for path in (ROOT / "tests").rglob("*.py"))))
    for span in re.findall(r"`([^`\n]+)`", prose(page)):
        if re.match(r"(toolchain|hw_targets|models|tests|docs)/[\w./-]+$", span) and "NAME" not in span:
            assert (ROOT / span).exists(), f"{page.name}: {span}"
        if re.fullmatch(r"test_\w+", span) and span != "test_images":  # a key of summary.json
            assert span in tests, f"{page.name}: {span}"
        if match := re.match(r"snnkd ([a-z]+)\b", span):
            assert match[1] in COMMANDS, f"{page.name}: {span}"


def table(page: str, marker: str) -> list[list[str]]:
    """Cells of the rows of the table behind the comment <!-- marker: ... -->."""
    text = (ROOT / "docs" / page).read_text().split(f"<!-- {marker}:")[1]
    lines = text.split("\n| ", 1)[1].split("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in lines]


def test_the_stages_are_those_of_the_pipeline() -> None:
    documented = [(cells[0].strip("`"), cells[1].strip("`")) for cells in table("architecture.md", "stages")]
    assert documented == [(stage.name, stage.product) for stage in pipeline.STAGES]


def test_every_engine_is_documented() -> None:
    for page in ("architecture.md", "cli.md"):
        assert {f"`{name}`" for name in engines.ENGINES} <= set(
            re.findall(r"`\w+`", (ROOT / "docs" / page).read_text())
        )


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_documented(name: str) -> None:
    common, *sections = re.split(r"^## ", (ROOT / "docs" / "cli.md").read_text(), flags=re.MULTILINE)
    (section,) = [section for section in sections if re.match(rf"`snnkd {name}[ `]", section)]
    if name == "run":
        section += next(section for section in sections if section.startswith("`snnkd train"))
    options = {option for parameter in COMMANDS[name].params for option in parameter.opts if option.startswith("--")}
    own = set(re.findall(r"--[a-z][a-z-]*", section))
    shared = set(re.findall(r"^\| `(--[a-z-]+)", common, re.MULTILINE))
    assert options <= own | shared
    assert own <= options | shared
