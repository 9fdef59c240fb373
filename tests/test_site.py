"""The site of docs/: it builds without a warning, loads nothing from elsewhere, and has the whole Python interface."""

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

import snnkd

ROOT = Path(__file__).resolve().parent.parent
LOADED = {"script": "src", "img": "src", "source": "src", "iframe": "src", "object": "data", "link": "href"}
NAMED = {"canonical", "next", "prev"}  # links that name a page and load nothing

for package in ("mkdocs", "material", "mkdocstrings_handlers.python"):
    pytest.importorskip(package, reason=f"{package}: uv run --group docs")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--config-file", str(ROOT / ".mkdocs.yml")]
    built = subprocess.run([*command, "--site-dir", str(folder)], capture_output=True, text=True, timeout=120)
    assert built.returncode == 0, built.stderr
    return folder


class Loads(HTMLParser):
    """Collects the addresses of all that a page loads."""

    def __init__(self, page: str):
        super().__init__()
        self.addresses: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag in LOADED and values.get("rel") not in NAMED:
            self.addresses.append(values.get(LOADED[tag]) or "")


def elsewhere(address: str) -> bool:
    return re.match(r"([a-z]+:)?//", address) is not None


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert {page.stem for page in (ROOT / "docs").glob("*.md")} <= {page.stem for page in pages}
    for page in pages:
        html = page.read_text()
        assert 'class="mermaid"' not in html, f"{page.name}: a diagram in mermaid would load it: draw an SVG"
        addresses = Loads(html).addresses
        assert any(address.endswith(".css") for address in addresses), "the parser sees what a page loads"
        assert not list(filter(elsewhere, addresses)), page.name
    for sheet in site.rglob("*.css"):
        addresses = re.findall(r"""(?:url\(|@import)\s*["']?([^"')\s]+)""", sheet.read_text())
        assert not list(filter(elsewhere, addresses)), sheet.name


def test_the_whole_interface_is_there(site: Path) -> None:
    page = (site / "python.html").read_text()
    missing = [name for name in snnkd.__all__ if f'id="snnkd.{name}"' not in page and f'id="snnkd{name}"' not in page]
    assert not missing


def test_tables_have_no_escaped_pipes(site: Path) -> None:
    page = (site / "cli.html").read_text()
    assert "count|membrane" in page
    assert not re.search(r"<td[^>]*>[^<]*<code>[^<]*\\\|", page)
