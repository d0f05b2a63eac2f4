"""The site of the documentation: it builds without a warning, names all that there is, and fetches nothing."""

import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from mkdocs.commands.build import build
from mkdocs.config import load_config
from mkdocs.exceptions import Abort

from app.serving.access import ACCESS, PUBLIC
from app.settings import Settings
from jobs.job import JOBS
from tests.unit.test_structure import REPOSITORY


def built(docs: Path, site: Path, **options: Any) -> Path:
    """In strict mode: a broken link, a lost page or a missing heading ends it with an error."""
    paths = {"docs_dir": str(docs), "site_dir": str(site)}
    config = load_config(str(REPOSITORY / "mkdocs.yml"), strict=True, **paths, **options)
    config.plugins.on_startup(command="build", dirty=False)
    build(config)
    return site


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(REPOSITORY / "docs", tmp_path_factory.mktemp("site"))


class Read(HTMLParser):
    """Text of headings, and what a browser would load by itself."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.headings: set[str] = set()
        self.loaded: list[str] = []
        self._heading: list[str] | None = None
        self.feed(page.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if re.fullmatch("h[1-6]", tag):
            self._heading = []
        if tag in ("script", "img", "iframe") and given.get("src"):
            self.loaded.append(str(given["src"]))
        if tag == "link" and given.get("rel") != "canonical":
            self.loaded.append(str(given.get("href")))

    def handle_endtag(self, tag: str) -> None:
        if re.fullmatch("h[1-6]", tag) and self._heading is not None:
            self.headings.add("".join(self._heading).strip().rstrip("¶"))
            self._heading = None

    def handle_data(self, data: str) -> None:
        if self._heading is not None:
            self._heading.append(data)


def test_every_route_has_its_heading(site: Path) -> None:
    assert {f"{method} {path}" for method, path in {*ACCESS, *PUBLIC}} <= Read(site / "api.html").headings


def test_every_route_says_who_may_and_how_it_fails(site: Path) -> None:
    parts = re.split(r"<h2 id", (site / "api.html").read_text())[1:]
    routes = [part for part in parts if re.search(r"<code>(GET|POST|PUT|DELETE) /", part.partition("</h2>")[0])]
    assert len(routes) == len({*ACCESS, *PUBLIC})
    assert all("<p>For: " in part for part in routes)
    guarded = [part for part in routes if "without a token" not in part]
    assert len(guarded) == len(ACCESS)
    assert all("<code>401</code>" in part and "<code>403</code>" in part for part in guarded)


def test_every_job_has_its_heading(site: Path) -> None:
    assert set(JOBS) <= Read(site / "job-specs.html").headings


def test_every_setting_is_on_its_page(site: Path) -> None:
    told = (site / "settings.html").read_text()
    assert not [name for name in Settings.model_fields if f"<code>LEARNREC_{name.upper()}</code>" not in told]


def test_nothing_of_the_machine_that_builds_it_is_in_it(site: Path) -> None:
    pages = "".join(path.read_text() for path in site.glob("*.html"))
    assert str(REPOSITORY) not in pages
    assert str(Path.home()) + "/" not in pages


def test_a_browser_loads_nothing_from_elsewhere(site: Path) -> None:
    loaded = {address for page in site.rglob("*.html") for address in Read(page).loaded}
    assert loaded
    assert not [address for address in loaded if re.match(r"(https?:)?//", address)]
    styles = "".join(path.read_text() for path in site.rglob("*.css"))
    assert not re.search(r"url\(['\"]?(https?:)?//", styles)


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    """A copy of the pages, with empty ones in place of those that are made from the code."""
    docs = shutil.copytree(REPOSITORY / "docs", tmp_path / "docs")
    for name in ("api.md", "job-specs.md", "settings.md"):
        (docs / name).write_text(f"# {name}\n")
    return docs


def test_runbooks_find_their_place_by_themselves(docs: Path, tmp_path: Path) -> None:
    (docs / "runbooks").mkdir(exist_ok=True)
    (docs / "runbooks" / "the-sky-falls.md").write_text("# When the sky falls\n\nSee [privacy](../privacy.md).\n")

    index = (built(docs, tmp_path / "site", hooks=[]) / "index.html").read_text()

    sidebar = index.partition("md-nav--primary")[2].partition("md-content")[0]
    places = [sidebar.index(f'href="{page}') for page in ("deployment", "runbooks/the-sky-falls", "evaluation")]
    assert places == sorted(places)


def test_a_broken_link_ends_the_build(tmp_path: Path) -> None:
    (docs := tmp_path / "docs").mkdir()
    for name in ("index.md", "other.md"):
        (docs / name).write_text("# One\n\n[two](other.md)\n")
    built(docs, tmp_path / "site", hooks=[], extra_css=[])

    (docs / "index.md").write_text("# One\n\n[two](nowhere.md)\n")
    with pytest.raises(Abort, match="strict"):
        built(docs, tmp_path / "site", hooks=[], extra_css=[])
