"""Configuration of the documentation: `sphinx-build -b html doc doc/_build/html`."""

import os
import re
import sys
import warnings
from pathlib import Path

from docutils import nodes

os.environ["MPLBACKEND"] = "agg"
sys.path.insert(0, str(Path(__file__).parents[1]))

import skalgos
from skalgos.precompile import precompile

# The function is what users call; the module of the same name would hide it.
skalgos.precompile = precompile

# Examples end in plt.show(), for those who run them; here nothing can be shown.
warnings.filterwarnings("ignore", message="FigureCanvasAgg is non-interactive")

project = "skalgos"
author = "The skalgos developers"
copyright = f"2026, {author}"
version = release = skalgos.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "numpydoc",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "performance_tables.rst", "generated/backreferences"]
templates_path = ["_templates"]
default_role = "literal"

# ---- API pages -----------------------------------------------------------------------
autosummary_generate = True
numpydoc_class_members_toctree = False
numpydoc_show_inherited_class_members = {
    "skalgos.cluster.KMedoidsResult": False,
    "skalgos.cluster.SwapCertificate": False,
}
autodoc_typehints = "none"

# ---- gallery -------------------------------------------------------------------------
sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "backreferences_dir": "generated/backreferences",
    "doc_module": ("skalgos",),
    "remove_config_comments": True,
    "download_all_examples": False,
    "show_memory": False,
    "plot_gallery": "True",
}
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

# ---- page ----------------------------------------------------------------------------
html_theme = "pydata_sphinx_theme"
html_title = "skalgos"
html_static_path = ["_static"]
html_css_files = ["skalgos.css"]
html_show_sourcelink = False
html_sidebars = {
    "getting_started": [],
    "whats_new": [],
    "performance": [],
    "contributing": [],
    "scaling": [],
    "callbacks": [],
}
html_theme_options = {
    "github_url": "https://github.com/skalgos/skalgos",
    "header_links_before_dropdown": 6,
    "navbar_align": "left",
    "show_prev_next": False,
    "footer_start": ["copyright"],
    "footer_end": [],
}

# ---- names that other projects document ----------------------------------------------
# Their pages follow from the names, so that no inventory has to be fetched.
_SKLEARN = "https://scikit-learn.org/stable/"
_PAGES = {
    "sklearn.": _SKLEARN + "modules/generated/{}.html",
    "joblib.": "https://joblib.readthedocs.io/en/stable/generated/{}.html",
}
_LABELS = {
    "accuracy_score": ("modules/model_evaluation.html#accuracy-score", "accuracy"),
    "r2_score": ("modules/model_evaluation.html#r2-score", "R2 score"),
    "metadata_routing": ("metadata_routing.html", "metadata routing"),
    "df_output_transform": ("modules/df_output_transform.html", "output containers"),
    "sphx_glr_auto_examples_miscellaneous_plot_set_output.py": (
        "auto_examples/miscellaneous/plot_set_output.html",
        "Introducing the set_output API",
    ),
}


def link_to_other_projects(app, env, node, contnode):
    """Resolve references to scikit-learn and joblib, and to scikit-learn's glossary."""
    target = node["reftarget"]
    url = None
    if node["reftype"] == "term":
        url = f"{_SKLEARN}glossary.html#term-{target.replace('_', '-')}"
    elif node["reftype"] == "ref" and target in _LABELS:
        page, title = _LABELS[target]
        url = _SKLEARN + page
        if not node["refexplicit"]:
            contnode = nodes.inline("", title)
    elif node["refdomain"] == "py":
        for prefix, page in _PAGES.items():
            if target.startswith(prefix):
                url = page.format(target)
    if url is None:
        return None
    return nodes.reference("", "", contnode, internal=False, refuri=url)


def protect_names(app, what, name, obj, options, lines):
    """Quote names such as n_iter_ in types, which would read as links otherwise."""
    for i, line in enumerate(lines):
        head, colon, kind = line.partition(" : ")
        if colon and head.strip().isidentifier():
            lines[i] = head + colon + re.sub(r"(?<![\w`])([a-z]\w*_)\b", r"`\1`", kind)


# ---- pages that are Markdown files of the repository ---------------------------------
_INLINE = [
    (r"(?<!`)`([^`\n]+)`(?!`)", r"``\1``"),
    (r"\[([^\]]+)\]\(([^)]+)\)", r"`\1 <\2>`__"),
    (r"<(https?://[^>\s]+)>(?!`)", r"\1"),
]


def _inline(text):
    for pattern, replacement in _INLINE:
        text = re.sub(pattern, replacement, text)
    return text


def markdown_to_rst(app, relative_path, docname, content):
    """Turn the plain Markdown of an included file into reStructuredText, in place.

    Headings, fenced code, lists, links, code and emphasis are all that those files use.
    """
    if relative_path.suffix != ".md":
        return
    lines, in_code = [], False
    for line in content[0].split("\n"):
        if fence := re.match(r"```(\w*)", line):
            in_code = not in_code
            if in_code:
                lines += [f".. code-block:: {fence[1] or 'text'}", ""]
        elif in_code:
            lines.append("    " + line)
        elif heading := re.match(r"(#+) (.*)", line):
            title = _inline(heading[2])
            lines += [title, "=-~^"[len(heading[1]) - 1] * len(title)]
        else:
            lines.append(_inline(line))
    content[0] = "\n".join(lines)


def setup(app):
    """Connect the functions above."""
    app.connect("missing-reference", link_to_other_projects)
    app.connect("autodoc-process-docstring", protect_names, priority=400)
    app.connect("include-read", markdown_to_rst)
