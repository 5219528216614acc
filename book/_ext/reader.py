"""Sphinx extension: what a reader uses beside the text: search, bibliography, cards for links, buttons,
annotated source.

- Ids of claims and figures such as b-5-slope are one word of the search, beside their parts.
- The bibliography is sorted by author and labelled as the text cites: "Petrini et al., 2021".
- Every page carries a description for search engines and shared links (Open Graph), made of its first paragraph.
- `public = False` in _config.yml leaves out every link to a public address (repository, issues, Binder); with True they
  appear.
- Docstrings, which Sphinx reads as Google's style, may hold formulas as $...$ and $$...$$.
- The directive `annotated` shows a module's source beside its docstrings: "how it was measured".
"""

import ast
import html
import inspect
import re
from importlib import import_module

from docutils import nodes
from docutils.statemachine import StringList
from pybtex.plugin import register_plugin
from pybtex.style.formatting.unsrt import Style
from pybtex.style.labels import BaseLabelStyle
from sphinx.ext.napoleon import GoogleDocstring
from sphinx.search.en import SearchEnglish
from sphinx.util.docutils import SphinxDirective

_ID = r"\b(?:[a-d]|fig-[a-d]|fig)(?:-[a-z0-9]+){2,}\b"
_LONGEST = 200  # characters of a description


def joined(word: str) -> str:
    """An id as one word.

    >>> joined("b-5-exponent")
    'b5exponent'
    """
    return word.replace("-", "")


class WithIds(SearchEnglish):
    """English, where ids count as words."""

    lang = "en"
    js_splitter_code = """
var splitQuery = (query) => query
  .replace(/ID/gi, (id) => id.replaceAll("-", ""))
  .split(/[^\\p{Letter}\\p{Number}_\\p{Emoji_Presentation}]+/gu)
  .filter((term) => term);
""".replace("ID", _ID.replace("\\b", "\\b"))

    def split(self, input):
        return super().split(input) + [joined(found) for found in re.findall(_ID, input.lower())]


class _Label(BaseLabelStyle):
    def format_labels(self, sorted_entries):
        for entry in sorted_entries:
            names = ["".join(person.last_names[-1:]) for person in entry.persons.get("author", [])]
            who = names[0] if len(names) == 1 else " and ".join(names) if len(names) == 2 else f"{names[0]} et al."
            yield f"{who}, {entry.fields.get('year', '')}"


class AuthorYear(Style):
    """Entries by author and year, labelled so."""

    default_sorting_style = "author_year_title"
    default_label_style = _Label


_FORMULA = re.compile(
    r"\$\$(.+?)\$\$([.,;]?)[ \t]*|(``.+?``|`[^`]+`)|\$([^$]+)\$|(\|[^|\n]*\||\*{1,2}(?=\w+[\],)]))", re.DOTALL
)


def formulas(text: str) -> str:
    """A docstring with :math: for its $...$ and $$...$$; bars are bars; code and examples stay as they are.

    >>> formulas("of $x^2$")
    'of :math:`x^2`'
    """

    def one(match):
        shown, after, code, formula, sign = match.groups()
        if shown:
            return f"\n\n{indent}.. math:: {' '.join(shown.split())}{after}\n\n{indent}"
        if sign:
            return re.sub(r"([|*])", r"\\\1", sign)
        joined = "\\ " if match.string[match.end() : match.end() + 1].isalnum() else ""
        return code or f":math:`{' '.join(formula.split())}`{joined}"

    blocks = re.split(r"(\n(?:[ \t]*\n)+)", text)
    for number, block in enumerate(blocks):
        indent = re.match(r"[ \t]*", block)[0]
        literal = number > 1 and blocks[number - 2].endswith("::") and indent
        if not literal and not block.lstrip().startswith((">>>", "..")):
            blocks[number] = _FORMULA.sub(one, block)
    return "".join(blocks)


class Annotated(SphinxDirective):
    """The source of a module, each function under its docstring: prose and formulas first,
    then the code that does it.
    """

    required_arguments = 1

    def run(self):
        module = import_module(self.arguments[0])
        source = inspect.getsource(module)
        lines, found = source.splitlines(), []
        plain = []

        def flush():
            text = "\n".join(plain).strip("\n")
            plain.clear()
            if text:
                found.append(_code(text))

        found += self.prose(inspect.getdoc(module))
        tree = ast.parse(source)
        body = tree.body[1:] if ast.get_docstring(tree) else tree.body
        last = tree.body[0].end_lineno if body is not tree.body else 0
        for item in body:
            text = ast.get_docstring(item) if isinstance(item, ast.FunctionDef | ast.ClassDef) else None
            begin = min([item.lineno, *(d.lineno for d in getattr(item, "decorator_list", []))])
            plain += lines[last : begin - 1]
            last = item.end_lineno
            if text is None:
                plain += lines[begin - 1 : last]
                continue
            flush()
            found.append(nodes.rubric("", item.name))
            found += self.prose(text)
            doc = item.body[0]
            found.append(_code("\n".join(lines[begin - 1 : doc.lineno - 1] + lines[doc.end_lineno : last])))
        flush()
        return [nodes.container("", *found, classes=["annotated"])]

    def prose(self, text):
        box = nodes.container(classes=["notes"])
        lines = GoogleDocstring(formulas(inspect.cleandoc(text)), self.config).lines()
        out = [re.sub(r"^:(param|raises) ", ":", line) for line in lines]
        self.state.nested_parse(StringList(out, self.arguments[0]), self.content_offset, box)
        return [box]


def _code(text):
    return nodes.literal_block(text, text, language="python")


def _buttons(app, config):
    options = config.html_theme_options
    if config.public:
        options |= {"use_repository_button": True, "use_issues_button": True, "use_source_button": True}
    else:
        for name in ("launch_buttons", "repository_url", "use_repository_button", "use_issues_button"):
            options.pop(name, None)


def _describe(app, pagename, templatename, context, doctree):
    if doctree is None:
        return
    paragraphs = (node.astext() for node in doctree.findall(nodes.paragraph))
    text = next((" ".join(text.split()) for text in paragraphs if len(text) > 60), context.get("title", ""))
    if len(text) > _LONGEST:
        text = f"{text[:_LONGEST].rsplit(' ', 1)[0]} …"
    tags = {
        "og:title": re.sub("<[^>]+>", "", context.get("title", "")),
        "og:site_name": app.config.project,
        "og:type": "article",
        "og:description": text,
    }
    if app.config.public:
        tags["og:url"] = f"{app.config.html_theme_options.get('repository_url', '')}"
    lines = [f'<meta name="description" content="{html.escape(text, quote=True)}">']
    lines += [f'<meta property="{name}" content="{html.escape(value, quote=True)}">' for name, value in tags.items()]
    context["metatags"] = context.get("metatags", "") + "\n".join(lines)


def _docstring(app, what, name, item, options, lines):
    lines[:] = formulas("\n".join(lines)).split("\n")


def setup(app):
    register_plugin("pybtex.style.formatting", "author_year", AuthorYear)
    app.add_config_value("public", False, "html")
    app.add_search_language(WithIds)
    app.add_directive("annotated", Annotated)
    app.connect("autodoc-process-docstring", _docstring, priority=400)  # before napoleon reads its sections
    app.connect("config-inited", _buttons)
    app.connect("html-page-context", _describe)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
