"""Docstrings to plain prose: what is left when tables, code, markup and give-away names are taken out."""

from __future__ import annotations

import ast
import inspect
import re
import warnings
from collections.abc import Iterator

MASK = "name"
"""What stands for an identifier: an ordinary word, one token in every vocabulary."""

SHORTEST, LONGEST = 100, 300
"""Characters of a snippet."""

SENTENCES = 4
"""Sentences of a snippet at most."""

SKIPPED_SECTIONS = {"examples", "example", "references", "see also"}
PROSE_SECTIONS = {"notes", "description", "extended summary", "overview", "introduction"}
"""In other sections flush-left lines are names and types; only what is indented below them is prose."""

_UNDERLINE = re.compile(r"([-=~^*#\"])\1{2,}\s*")
_NOT_PROSE = re.compile(
    # Doctests, literal blocks, links, formulas; then directives, lists, tables; then fields and headings.
    r">>>|::|https?:|\\[a-z]+|[{}<>|=]|^(\.\. |[-*+#@\d]|:\w+)|^\w[\w, ]*\s:\s|\w:$",
    re.MULTILINE,
)
_LIBRARIES = "numpy|np|scipy|sp|(py)?torch|sklearn|scikit(-| )?learn|scikits?|pandas|pd|transformers|hugging ?face"
_BRANDS = "ndarrays?|dataframes?|dtypes?|keras|jax|tensorflow|cupy"
_REPLACED = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        # Citations, substitutions; roles and literals; links; emphasis.
        (r"\[\d+\]_?|\[\w+\d{2,4}\w?\]_?|\|\w+\|_?", ""),
        (r":[\w:+-]+:`[^`]*`|\[?``[^`]*``\]?(\([^)]*\))?|\[?`[^`]*`\]?(\([^)]*\))?_{0,2}", MASK),
        (r"\[([^\]]+)\]\([^)]*\)", r"\1"),
        (r"\*{1,2}([^*]+)\*{1,2}", r"\1"),
        # Calls; dotted paths and snake_case; CamelCase and names with digits.
        (r"\b[\w.]+\([^)]*\)", MASK),
        (r"\b\w+(\.\w+)+\b|\b\w*_\w+\b|\b_\w*", MASK),
        (r"\b\w*[a-z0-9][A-Z]\w*\b|\b[A-Za-z]+\d\w*\b", MASK),
        (rf"\b(?i:{_LIBRARIES}|{_BRANDS})\b", MASK),
        (rf"\b{MASK}('s)?(([,/ ]|, )+{MASK})+\b", MASK),
        (r"\s+", " "),
        (r" ([,.;:)])", r"\1"),
    )
)
_SENTENCE_END = re.compile(r"(?<=[a-z)'\"]{2}[.!?])\s+(?=[A-Z])")


def docstrings(source: str) -> Iterator[str]:
    """Documentation of a module and of its public classes and functions, without running it.

    Texts that `add_newdoc` and `add_docstr` give to compiled functions count too.

    Raises:
        SyntaxError: The source is not Python of this interpreter's version.
    """
    with warnings.catch_warnings():
        # Others' invalid escapes are no concern of our user, and as errors they would change the texts.
        warnings.simplefilter("ignore")
        nodes: list[ast.AST] = [ast.parse(source)]
    while nodes:
        node = nodes.pop()
        text: str | None = None
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node, clean=False)
        elif isinstance(node, ast.Call):
            text = _attached(node)
        if text:
            yield inspect.cleandoc(text)
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            nodes.extend(child for child in reversed(list(ast.iter_child_nodes(node))) if _is_public(child))


def snippets(docstring: str) -> Iterator[str]:
    """Masked pieces of prose of a few sentences, `SHORTEST` to `LONGEST` characters long."""
    sentences = [mask(sentence) for paragraph in _paragraphs(docstring) for sentence in _SENTENCE_END.split(paragraph)]
    sentences = [sentence for sentence in sentences if sentence[-1:] in {".", "!", "?"}]
    start = 0
    while start < len(sentences):
        end = start + 1
        piece = sentences[start]
        while end < min(len(sentences), start + SENTENCES) and len(piece) + len(sentences[end]) < LONGEST:
            piece += " " + sentences[end]
            end += 1
        if SHORTEST <= len(piece) <= LONGEST and _is_prose(piece):
            yield piece
        start = end


def mask(text: str) -> str:
    """Text without markup, and with `MASK` for every identifier and library name."""
    for pattern, replacement in _REPLACED:
        text = pattern.sub(replacement, text)
    return text.strip()


def _paragraphs(docstring: str) -> Iterator[str]:
    """Runs of lines that are flush left or indented once, without markup, each on one line."""
    section = "summary"
    for block in _blocks(docstring.splitlines()):
        if len(block) == 2 and _UNDERLINE.fullmatch(block[1]):
            section = block[0].strip().lower()
            continue
        indent = len(block[0]) - len(block[0].lstrip())
        prose = indent == 4 or (indent == 0 and section in PROSE_SECTIONS | {"summary"})
        lines = [line.strip() for line in block]
        if prose and section not in SKIPPED_SECTIONS and not _NOT_PROSE.search("\n".join(lines)):
            yield " ".join(lines)


def _blocks(lines: list[str]) -> Iterator[list[str]]:
    """Neighbouring lines of equal indentation; a heading and its underline are a block of their own."""
    block: list[str] = []
    for index, line in enumerate(lines):
        indent = len(line) - len(line.lstrip())
        heading = index + 1 < len(lines) and line.strip() and _UNDERLINE.fullmatch(lines[index + 1])
        ended = not line.strip() or heading or (block and indent != len(block[0]) - len(block[0].lstrip()))
        if ended and block:
            yield block
            block = []
        if line.strip():
            block.append(line)
        if len(block) == 2 and _UNDERLINE.fullmatch(line):
            yield block
            block = []
    if block:
        yield block


def _is_public(node: ast.AST) -> bool:
    if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        return not node.name.startswith("_")
    return isinstance(node, ast.If | ast.Try | ast.Expr | ast.Call)


def _attached(call: ast.Call) -> str | None:
    """The documentation in a call of `add_newdoc` or `add_docstr`."""
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    if name not in {"add_newdoc", "add_docstr"}:
        return None
    texts = [node.value for node in ast.walk(call) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    return max(texts, key=len, default=None)


def _is_prose(piece: str) -> bool:
    words = re.findall(r"[A-Za-z]+", piece)
    return words.count(MASK) <= len(words) / 4 and sum(map(len, words)) >= 0.7 * len(piece)
