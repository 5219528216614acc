"""Sphinx extension: the package's docstrings, which are written to be read as text, as reStructuredText.

Docstrings write formulas as $...$ and $$...$$, code as `code`, arguments as "name: what it is" at the beginning
of a line, tables as indented blocks. `restructured` turns each into the markup that Sphinx knows; reStructuredText
that is already there (roles, directives, sections of arguments) and examples pass as they are.

>>> restructured(["The `cut` $c$ of `deform`.", "cut: an integer"], ["cut"])
['The ``cut`` :math:`c` of :py:obj:`deform`.', '', ':param cut: an integer']
"""

import inspect
import re

_DISPLAY = re.compile(r"\$\$(.+?)\$\$[ \t]*([.,;]?)[ \t]*", re.DOTALL)
_INLINE = re.compile(
    r"(?P<keep>``.+?``|:[a-z:]+:`[^`]+`|`[^`]+`__?)"
    r"|\$(?P<formula>[^$]+)\$|`(?P<code>[^`]+)`|(?P<bars>\|[^|\n]*\|)|(?P<star>\*{1,2}(?=\w+[\],)]))",
    re.DOTALL,
)
_NAME = re.compile(r"[A-Za-z_][\w.]*")
_SENTENCE = re.compile(r"[A-Z`$]|\w+: ")
_LIST = re.compile(r"([-*]|\d+\.) ")


def restructured(lines, parameters=()):
    """The docstring's lines as reStructuredText; `parameters` are the names whose "name: ..." is an argument."""
    text = _DISPLAY.sub(_display, "\n".join(lines))
    out, before = [], ""
    for block in re.split(r"\n(?:[ \t]*\n)+", text.strip("\n")):
        out += [*_block(block.split("\n"), parameters, before), ""]
        before = block
    return out[:-1]


def _display(match):
    formula = " ".join((match[1].strip() + match[2]).split())
    return f"\n\n.. math:: {formula}\n\n"


def _block(lines, parameters, before):
    first = lines[0]
    if first.lstrip().startswith((">>>", "..", ":param")):
        return lines
    if all(line.startswith("    ") for line in lines) and not before.lstrip().startswith(".."):
        return ["::", "", *lines]  # a table or a formula in text
    if _LIST.match(first.lstrip()) or _is_section(lines):
        return _inline(lines, parameters)
    return _inline(_fields(lines, parameters), parameters)


def _fields(lines, parameters):
    """The lines of a paragraph, "name: text" of an argument as a field, what follows its last sentence apart."""
    known = "|".join(map(re.escape, parameters)) or "$^"
    item = re.compile(rf"(?P<names>(?:{known})(?:, (?:{known}))*)(?P<note> \([^)]*\))?:\s+(?P<text>.*)")
    if not any(item.match(line) for line in lines):
        return lines
    parts = [
        part
        for line in lines
        for part in re.split(rf"(?:;|(?<=\.)) (?={item.pattern})", line)[:: item.groups + 1]
    ]
    out, field = [], False
    for number, part in enumerate(parts):
        if found := item.match(part):
            note = f"{found['note'].strip()} " if found["note"] else ""
            out += ([""] if out and not field else []) + [f":param {found['names']}: {note}{found['text']}"]
            field = True
        elif field and not (parts[number - 1].rstrip().endswith(".") and _SENTENCE.match(part)):
            out.append(f"    {part.strip()}")
        else:
            out += ([""] if field else []) + [part]
            field = False
    return out


def _is_section(lines):
    """A section of arguments as napoleon reads it: "Args:", or a title underlined with dashes."""
    return re.fullmatch(r"\s*(Args|Returns|Raises):", lines[0]) or (
        len(lines) > 1 and set(lines[1].strip()) == {"-"}
    )


def _inline(lines, parameters):
    return _INLINE.sub(lambda match: _markup(match, parameters), "\n".join(lines)).split("\n")


def _markup(match, parameters):
    if match["keep"]:
        return match["keep"]
    if match["formula"]:
        role = f":math:`{' '.join(match['formula'].split())}`"
    elif match["code"]:
        code = " ".join(match["code"].split())
        role = f":py:obj:`{code}`" if _NAME.fullmatch(code) and code not in parameters else f"``{code}``"
    else:
        return "".join(f"\\{letter}" if letter in "*|" else letter for letter in match[0])
    after = match.string[match.end() : match.end() + 1]
    before = match.string[match.start() - 1 : match.start()] if match.start() else ""
    return ("\\ " if before.isalnum() else "") + role + ("\\ " if after.isalnum() or after == "_" else "")


def _parameters(item):
    try:
        named = list(inspect.signature(item).parameters)
    except (TypeError, ValueError):  # a class of C, an exception
        named = []
    return [*named, *getattr(item, "__annotations__", {})] if inspect.isclass(item) else named


def setup(app):
    def convert(app, what, name, item, options, lines):
        lines[:] = [*restructured(lines, _parameters(item) if callable(item) else ()), ""]

    app.connect("autodoc-process-docstring", convert, priority=400)  # before napoleon reads its sections
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
