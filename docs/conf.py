# The site's configuration. The build itself is started by `nox -s docs`.

import os
import sys
from pathlib import Path

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS / "_ext"))

import downloads  # noqa: E402  found through the line above
import figures  # noqa: E402
import sections  # noqa: E402

import initguide  # noqa: E402

# -- The project ----------------------------------------------------------------------------------

project = "initguide"
author = "The initguide authors"
copyright = "The initguide authors"
version = release = initguide.__version__

# The address that the site is published under, if it is known: "https://example.org/initguide/".
site_url = os.environ.get("INITGUIDE_SITE_URL", "")
# The repository on GitHub, if it is known: "owner/name". For links to notebooks in Colab.
initguide_repository = os.environ.get("INITGUIDE_REPOSITORY", "")

# -- Sphinx ---------------------------------------------------------------------------------------

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinxcontrib.bibtex",
    "myst_parser",  # reads CHANGELOG.md
    "freshness",  # before sphinx_gallery: it decides which pages are out of date
    "sphinx_gallery.gen_gallery",
    # Our own, from docs/_ext. Each says in its docstring why it exists.
    "asking",
    "benchtables",
    "bound",
    "cards",
    "cheatsheet",
    "citations",
    "crossrefs",
    "descriptions",
    "downloads",
    "exercises",
    "faults",
    "figures",
    "house",
    "mathml",
    "outdated",
    "pages",
    "paths",
    "questions",
    "reference",
    "sections",
    "terminal",
    "titles",
    "which",
]
html_baseurl = site_url

exclude_patterns = ["_build", "auto_examples/**/*.md5"]
templates_path = ["_templates"]
default_role = "py:obj"  # `name` links to what it names, or is shown as code (crossrefs.py)
nitpicky = True
nitpick_ignore_regex = [
    # Types in signatures. Linking them would need the inventories of other sites, which a build
    # without a network cannot fetch.
    (r"py:.*", r"(torch|torchvision|numpy|np|nn|matplotlib|plt|tqdm|scipy)(\..*)?"),
    (r"py:.*", r"(collections|concurrent|functools|os|pathlib|sqlite3|threading|types|typing)\..*"),
    # Builtins and the standard library's plain names, for the same reason.
    (r"py:.*", r"(Any|bool|bytes|dict|float|int|list|None|object|set|str|tuple|type|optional)"),
    (r"py:.*", r"(Callable|Iterable|Iterator|Mapping|Path|Sequence|Self|array_like|callable)"),
    (r"py:exc", r"\w+(Error|Warning|Exception|Exit)"),
    # Short names that docstrings use for them.
    (r"py:.*", r"(Axes|Figure|Generator|Module|P|Tensor|ndarray|device|Optimizer|DataLoader)"),
]

# -- Citations ------------------------------------------------------------------------------------

bibtex_bibfiles = ["references.bib"]
bibtex_reference_style = "author_year"
bibtex_default_style = "plain"

# -- The API reference ----------------------------------------------------------------------------

autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_typehints_format = "short"
autodoc_default_options = {"members": True, "imported-members": True}  # the faces hand on
napoleon_google_docstring = False
napoleon_custom_sections = [("Attributes", "params_style")]  # joint names, "a, b", work there
napoleon_use_rtype = False
python_use_unqualified_type_names = True
add_module_names = False
toc_object_entries_show_parents = "hide"

# -- The gallery ----------------------------------------------------------------------------------

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "nested_sections": True,
    "subsection_order": sections.order(DOCS.parent / "examples"),
    "within_subsection_order": "sections.PageOrder",  # plot_1_..., plot_2_..., … plot_10_...
    "filename_pattern": figures.EVERY_PAGE,
    "image_scrapers": ("figures.scrape", "bound.scrape", "asking.scrape"),
    "reset_modules": ("matplotlib", "resets.reset_torch"),
    "capture_repr": ("_repr_html_",),  # tables; not the repr of every last expression
    "abort_on_example_error": True,
    "parallel": False,  # a page trains on all cores by itself
    "show_memory": False,
    "show_signature": False,
    "write_computation_times": False,
    "download_all_examples": False,
    "remove_config_comments": True,
    "doc_module": ("initguide",),
    "backreferences_dir": "gen_modules/backreferences",
    "inspect_global_variables": True,
    "thumbnail_size": (360, 240),  # the reference shows two dozen on a page
    "first_notebook_cell": downloads.first_cell(initguide_repository),
    "plot_gallery": True,
}

# -- HTML -----------------------------------------------------------------------------------------

html_theme = "furo"
html_title = "initguide"
html_favicon = "_static/favicon.svg"
html_static_path = ["_static"]
html_css_files = ["initguide.css"]
html_js_files = [("scrollable.js", {"defer": "defer"})]
html_copy_source = False
html_show_sourcelink = False
html_scaled_image_link = False  # a link around a hidden dark figure would have no name
html_math_renderer = "mathml"
html_theme_options = {
    "top_of_page_buttons": [],
    "light_css_variables": {
        "color-brand-primary": "#0b5c8a",
        "color-brand-content": "#0b5c8a",
        "color-brand-visited": "#5b4a9c",
    },
    "dark_css_variables": {
        "color-brand-primary": "#7cc4ee",
        "color-brand-content": "#7cc4ee",
        "color-brand-visited": "#b7a9ef",
    },
}

copybutton_exclude = ".linenos, .gp, .go"
copybutton_selector = "div.highlight pre:not(.sphx-glr-script-out pre)"
