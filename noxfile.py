"""What a maintainer runs: `nox` for everything, `nox -s NAME` for one session, `nox -l` to list.

Words after `--` are passed on: `nox -s tests -- -k zeros -x`.
"""

import re
import shutil
from datetime import UTC, datetime
from pathlib import Path

import nox

nox.needs_version = ">=2025.5.1"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.reuse_existing_virtualenvs = True
nox.options.sessions = ["lint", "typecheck", "tests", "docs"]


# Each of pytest's workers has a core. Interpreters that a test starts would take as many threads as
# there are cores, each, and wait for one another: four pages then take minutes in place of seconds.
ONE_THREAD = {"OMP_NUM_THREADS": "1"}
LOCK = "docs/requirements.lock"  # exact versions of all that the published site is built with


def install(session: nox.Session, *groups: str, package: bool = True, locked: bool = False) -> None:
    """Install dependency groups of pyproject.toml and, editable, the package itself."""
    if session.venv_backend == "virtualenv":
        session.install("pip>=25.1")  # the first one that knows --group
    arguments = [argument for group in groups for argument in ("--group", group)]
    arguments += ["--constraint", LOCK] if locked else []
    session.install(*(["-e", "."] if package else []), *arguments)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, formatting, pyproject.toml and the workflows."""
    install(session, "lint", package=False)
    session.run("ruff", "check", *session.posargs)
    session.run("ruff", "format", "--check")
    session.run("lint-imports")
    session.run("validate-pyproject", "pyproject.toml")
    workflows = sorted(map(str, Path(".github/workflows").glob("*.yml")))
    forms = sorted(map(str, Path(".github/ISSUE_TEMPLATE").glob("*.yml")))
    for schema, files in {
        "github-workflows": workflows,
        "github-issue-config": [form for form in forms if form.endswith("config.yml")],
        "github-issue-forms": [form for form in forms if not form.endswith("config.yml")],
        "citation-file-format": ["CITATION.cff"],
    }.items():
        session.run("check-jsonschema", "--builtin-schema", f"vendor.{schema}", *files)
    session.run("zizmor", "--offline", "--quiet", "--pedantic", *workflows)


@nox.session
def typecheck(session: nox.Session) -> None:
    """Check the package's types."""
    install(session, "typecheck")
    session.run("mypy", *session.posargs)


@nox.session
def tests(session: nox.Session) -> None:
    """Run the tests and the docstrings' examples on all cores."""
    install(session, "test", "docs")  # the site's extensions are tested too
    session.run("pytest", "-n", "auto", "--dist", "worksteal", *session.posargs, env=ONE_THREAD)


@nox.session
def integrations(session: nox.Session) -> None:
    """Run the tests against Lightning and transformers, which CI does without."""
    install(session, "test", "docs", "integrations")  # the page is tested beside the others
    found = ["tests/integrations", "tests/docs/test_integrations_page.py"]
    session.run("pytest", *found, *session.posargs, env=ONE_THREAD)


@nox.session(python="3.11")
def lowest(session: nox.Session) -> None:
    """Run the tests with the oldest versions of everything that pyproject.toml allows."""
    if session.venv_backend != "uv":
        session.error("only uv can choose the lowest versions: pip install 'nox[uv]'")
    session.install("--resolution=lowest-direct", "-e", ".", "--group", "test", "--group", "docs")
    # Old versions warn of what newer ones of their own dependencies will no longer do.
    options = ["-n", "auto", "--dist", "worksteal", "-W", "default"]
    session.run("pytest", *options, *session.posargs, env=ONE_THREAD)


@nox.session
def elsewhere(session: nox.Session) -> None:
    """Run the tests and all pages as other machines round, and with other seeds; say what changes.

    `-- --list` lists the roundings; `-- avx2 seeds` takes only these; `--tests` and `--pages` only
    one of the two. Takes as long as the tests and a build of the site, for each of them; with
    `--keep FOLDER` it can be stopped and gone on with.
    """
    install(session, "test", "docs", locked=True)
    session.run("python", "tests/elsewhere.py", *session.posargs)


@nox.session
def mutants(session: nox.Session) -> None:
    """Plant faults in the package, and count those noticed: `-- --count 60 --seed 0`."""
    install(session, "test", "docs", "mutants")
    session.run("python", "tests/mutants.py", *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """Build the site into docs/_build/html; every page runs, and any warning fails.

    While writing: `-- --fast lesson` or `-- --fast lesson/plot_3` runs only the pages whose path
    starts like that, and builds into docs/_build/fast. The other pages appear without output.
    `-- --clean` first deletes whatever earlier builds left. `-- --compare OLD` ends with what the
    pages of another build, in the folder OLD, measured differently.
    """
    install(session, "docs", locked=True)
    options = list(session.posargs)
    target = Path("docs/_build/html")
    if "--clean" in options:
        options.remove("--clean")
        for folder in ("_build", "auto_examples", "gen_modules"):
            shutil.rmtree(Path("docs", folder), ignore_errors=True)
    old = None
    if "--compare" in options:
        at = options.index("--compare")
        if at + 1 == len(options):
            session.error("--compare needs the folder of another build")
        _, old = options[at : at + 2]
        del options[at : at + 2]
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
    if old is not None:
        session.run("python", "docs/compare_builds.py", old, str(target), success_codes=[0, 1])


@nox.session
def site(session: nox.Session) -> None:
    """Look at every page of the built site in a browser, as tests_site says. After `nox -s docs`.

    Needs Debian's package chromium, or a browser named in INITGUIDE_CHROMIUM. Pictures of the key
    pages go to docs/_build/screenshots.
    """
    install(session, "site", package=False)
    session.run("pytest", "-n", "auto", "tests_site", *session.posargs)


@nox.session
def linkcheck(session: nox.Session) -> None:
    """Check the links to other sites. Fails if one is dead; says so if there is no network.

    Pages that are up to date do not run again.
    """
    install(session, "docs", locked=True)
    target = Path("docs/_build/linkcheck")
    results = target / "output.json"
    results.unlink(missing_ok=True)
    patience = ["-D", "linkcheck_timeout=15", "-D", "linkcheck_rate_limit_timeout=60"]
    options = ["-q", "-d", "docs/_build/html-doctrees", *patience, *session.posargs]
    session.run(
        "sphinx-build", "-b", "linkcheck", *options, "docs", str(target), success_codes=[0, 1, 2]
    )
    session.run("python", "tests_site/linkcheck.py", str(results))


@nox.session
def lock(session: nox.Session) -> None:
    """Write docs/requirements.lock anew, with today's versions of what builds the site."""
    session.install("uv")
    options = ["--universal", "--python-version", "3.11", "--no-annotate", "--no-header"]
    session.run(
        "uv", "pip", "compile", *options, "--upgrade", "--group", "docs", "pyproject.toml",
        "--output-file", LOCK, silent=True,
    )  # fmt: skip
    notice = (
        "# Written by `nox -s lock`: what the site is built with, as constraints for installing.\n"
    )
    Path(LOCK).write_text(notice + Path(LOCK).read_text(encoding="utf-8"), encoding="utf-8")


@nox.session
def release(session: nox.Session) -> None:
    """Cut a release: `-- 0.2.0` sets the version and dates the changelog, then builds and checks.

    Nothing is committed, tagged or uploaded: read the diff, commit it as "Release 0.2.0", tag that
    `v0.2.0` and push the tag; a workflow publishes what the tag builds. `-- --check 0.2.0` only
    builds, and fails if the files do not say that version.
    """
    words = list(session.posargs)
    check = "--check" in words
    if check:
        words.remove("--check")
    if len(words) != 1 or not re.fullmatch(r"\d+\.\d+\.\d+((a|b|rc)\d+)?", words[0]):
        session.error("say which version: nox -s release -- 0.2.0")
    (version,) = words
    for name, pattern, new in (
        ("pyproject.toml", r'(?m)^version = "[^"]+"$', f'version = "{version}"'),
        ("initguide/__init__.py", r'(?m)^__version__ = "[^"]+"$', f'__version__ = "{version}"'),
        ("CITATION.cff", r"(?m)^version: .+$", f"version: {version}"),
        (
            "CHANGELOG.md",
            r"(?m)^## \[Unreleased\]$",
            f"## [Unreleased]\n\n## [{version}] - {datetime.now(tz=UTC):%Y-%m-%d}",
        ),
    ):
        text = Path(name).read_text(encoding="utf-8")
        if check:
            said = f"## [{version}]" if name == "CHANGELOG.md" else new
            if said not in text:
                session.error(
                    f"{name} does not say {said!r}; run nox -s release -- {version} first"
                )
        elif not re.search(pattern, text):
            session.error(f"{name} has no line that matches {pattern}; mend it by hand")
        else:
            Path(name).write_text(re.sub(pattern, new, text, count=1), encoding="utf-8")
    session.install("build>=1.3", "twine>=6.2")
    shutil.rmtree("dist", ignore_errors=True)
    session.run("python", "-m", "build")
    session.run("twine", "check", "--strict", *map(str, sorted(Path("dist").iterdir())))


# The benchmarks that docs/speed.rst shows; the others of benchmarks/ have to be named.
SPEED = ("lesson_speed", "growth", "ways", "dask_overhead")


@nox.session
def bench(session: nox.Session) -> None:
    """Measure speed and memory, and write what docs/speed.rst shows: benchmarks/results.json.

    `-- growth ways` runs only these; any other script of benchmarks/ can be named, too. The first
    word that starts with a dash and all that follow go to each script: `-- growth --repeats 1`.
    `-- --quick` only tries whether all of them work, and writes nothing.
    """
    install(session, "bench")
    words = list(session.posargs)
    options = next((i for i, word in enumerate(words) if word.startswith("-")), len(words))
    for name in words[:options] or SPEED:
        keep = name in SPEED and "--quick" not in words
        results = ["--json", "benchmarks/results.json"] if keep else []
        session.run("python", f"benchmarks/{name}.py", *results, *words[options:])
