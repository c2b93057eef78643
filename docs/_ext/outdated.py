"""Read and write a page again when what it shows may have changed, and only then.

Sphinx reads a page again when its source changed or a file that it is known to depend on, and
writes what it read. That misses three things, of which this extension takes care:

- the site's own machinery: what turns sources into pages. After a change there, all are read again;
- what pages show of one another and of the frame around them: titles in the sidebar, targets of
  links, templates, style sheets. After a change there, all are written again;
- pages that were read but not written, since that build was stopped, or checked links instead.

What single pages depend on is said where it is used, with ``note_dependency``.
"""

import platform
from collections.abc import Iterator
from importlib.metadata import distributions
from pathlib import Path

from freshness import fingerprint
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.environment import BuildEnvironment

SHARED = "shared.sha256"  # beside the doctrees; its time is that of the last change


def machinery(docs: Path) -> str:
    """A hash of what every page is read with: configuration, extensions, sources, libraries."""
    files = [docs / "conf.py", docs / "references.bib", *sorted((docs / "_ext").glob("*.py"))]
    libraries = sorted(f"{library.name} {library.version}" for library in distributions())
    return fingerprint(files, [platform.python_version(), *libraries])


def set_machinery(app: Sphinx, config: Config) -> None:
    """Make it a part of the configuration: where it changes, Sphinx reads all pages again."""
    config.initguide_machinery = machinery(Path(app.srcdir))


def _words(env: BuildEnvironment) -> Iterator[str]:
    yield env.config.html_baseurl
    for page, title in sorted(env.titles.items()):
        yield f"{page} {title}"
    for page, below in sorted(env.toctree_includes.items()):
        yield f"{page} {below}"
    for domain in env.domains.sorted():
        yield from map(str, sorted(domain.get_objects()))


def shared(docs: Path, env: BuildEnvironment) -> str:
    """A hash of what every page may show: the frame, the titles, what links can lead to."""
    files = [path for name in ("_static", "_templates") for path in (docs / name).rglob("*")]
    return fingerprint(
        sorted([docs / "card.typ", *(path for path in files if path.is_file())]), _words(env)
    )


def to_write(app: Sphinx, env: BuildEnvironment) -> list[str]:
    """Pages whose output is older than their reading, or than the last change of what all show."""
    note, now = Path(app.doctreedir, SHARED), shared(Path(app.srcdir), env)
    if not note.exists() or note.read_text() != now:
        note.write_text(now)
    if app.builder.format != "html":
        return []
    changed = _microseconds(note)
    return [
        page
        for page in sorted(env.found_docs)
        if _microseconds(_output(app, page)) < max(changed, env.all_docs[page])
    ]


def delete_removed(
    app: Sphinx, _env: BuildEnvironment, _added: set[str], _changed: set[str], removed: set[str]
) -> list[str]:
    """Delete the output of pages that are gone."""
    if app.builder.format == "html":
        for page in removed:
            _output(app, page).unlink(missing_ok=True)
    return []


def _output(app: Sphinx, page: str) -> Path:
    return Path(app.builder.get_output_path(page))


def _microseconds(path: Path) -> int:
    """When a file was written, in the unit in which Sphinx notes when it read a page; or 0."""
    return path.stat().st_mtime_ns // 1000 if path.exists() else 0


def setup(app: Sphinx) -> dict[str, bool]:
    """Ask once everything is read, and after what other extensions do then, at priority 500."""
    app.add_config_value("initguide_machinery", "", "env", str)
    app.connect("config-inited", set_machinery)
    app.connect("env-get-outdated", delete_removed)
    app.connect("env-updated", to_write, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
