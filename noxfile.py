"""What a maintainer runs: `nox` for everything, `nox -s NAME` for one session, `nox -l` to list.

Words after `--` are passed on: `nox -s tests -- -k zeros -x`.
"""

import shutil
from pathlib import Path

import nox

nox.needs_version = ">=2025.5.1"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.reuse_existing_virtualenvs = True
nox.options.sessions = ["lint", "typecheck", "tests", "docs"]


def install(session: nox.Session, *groups: str, package: bool = True) -> None:
    """Install dependency groups of pyproject.toml and, editable, the package itself."""
    if session.venv_backend == "virtualenv":
        session.install("pip>=25.1")  # the first one that knows --group
    arguments = [argument for group in groups for argument in ("--group", group)]
    session.install(*(["-e", "."] if package else []), *arguments)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, formatting and pyproject.toml."""
    install(session, "lint", package=False)
    session.run("ruff", "check", *session.posargs)
    session.run("ruff", "format", "--check")
    session.run("validate-pyproject", "pyproject.toml")


@nox.session
def typecheck(session: nox.Session) -> None:
    """Check the package's types."""
    install(session, "typecheck")
    session.run("mypy", *session.posargs)


@nox.session
def tests(session: nox.Session) -> None:
    """Run the tests and the docstrings' examples on all cores."""
    install(session, "test", "docs")  # the site's extensions are tested too
    session.run("pytest", "-n", "auto", *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """Build the site into docs/_build/html; every page runs, and any warning fails.

    While writing: `-- --fast lesson` or `-- --fast lesson/plot_3` runs only the pages whose path
    starts like that, and builds into docs/_build/fast. The other pages appear without output.
    `-- --clean` first deletes whatever earlier builds left.
    """
    install(session, "docs")
    options = list(session.posargs)
    target = Path("docs/_build/html")
    if "--clean" in options:
        options.remove("--clean")
        for folder in ("_build", "auto_examples", "gen_modules"):
            shutil.rmtree(Path("docs", folder), ignore_errors=True)
    if "--fast" in options:
        at = options.index("--fast")
        if at + 1 == len(options):
            session.error("--fast needs a section or a page: --fast lesson, --fast lesson/plot_3")
        pattern = f"sphinx_gallery_conf.filename_pattern=/examples/{options[at + 1]}"
        options[at : at + 2] = ["-D", pattern]
        target = Path("docs/_build/fast")
    strict = ["-W", "--keep-going", "-n"]
    trees = target.with_name(f"{target.name}-doctrees")
    session.run(
        "sphinx-build", *strict, "-b", "html", "-d", str(trees), *options, "docs", str(target)
    )
    session.log(f"open {target / 'index.html'}")


@nox.session
def bench(session: nox.Session) -> None:
    """Run the benchmarks: all scripts in benchmarks/, or those named."""
    install(session)
    scripts = session.posargs or sorted(map(str, Path("benchmarks").glob("*.py")))
    for script in scripts:
        session.run("python", script)
