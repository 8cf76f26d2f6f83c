"""House rules no linter knows: docstrings, reasons beside exceptions, nothing left over, nothing of one machine."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROGRAM = sorted(path for folder in ("portal", "worker", "migrations") for path in (ROOT / folder).rglob("*.py"))
OURS = ("portal", "worker", "migrations", "tests", ".ci")
TEXT = {".py", ".html", ".txt", ".css", ".js", ".md", ".toml", ".cfg", ".lock", ".po", ".mako", ".json", ".yml", ""}
FILES = sorted(
    path
    for path in [*ROOT.iterdir(), *(file for folder in OURS for file in (ROOT / folder).rglob("*"))]
    if path.is_file()
    and path.suffix in TEXT
    and not {"__pycache__", "vendor"} & set(path.parts)
    and path != Path(__file__)
)
"""All text of ours but this file, which plants the faults; what stands under ``vendor`` is others'."""
LEFT_OVER = re.compile(r"\b(?:TODO|FIXME|XXX|HACK)\b")
WITHOUT_REASON = re.compile(
    r"#\s*(?:noqa|type:\s*ignore)(?::?\s*[A-Z]+\d+(?:,\s*[A-Z]+\d+)*|\[[\w, -]+\])?\s*$", re.MULTILINE
)
MACHINE = re.compile(r"(?<![\w.])/(?:work|root|home/\w+)/")
REGISTRY = re.compile(r"\b(?:pypi|pythonhosted|npmjs)[.]org|(?<!emit-)index-url")


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def undocumented(source: str) -> Iterator[str]:
    """The public functions, classes and methods without a docstring, and the module if it has none.

    The methods of a class that inherits are let off: the class above may have given and documented them.
    """
    tree = ast.parse(source)
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef) and not node.name.startswith("_")]
    inside = [node for parent in classes if not parent.bases for node in parent.body]
    if ast.get_docstring(tree) is None:
        yield "the module"
    for node in [*tree.body, *inside]:
        named = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        if named and not node.name.startswith("_") and ast.get_docstring(node) is None:
            yield node.name


@pytest.mark.parametrize("path", PROGRAM, ids=named)
def test_everything_public_says_what_it_means(path: Path) -> None:
    assert list(undocumented(path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    ("rule", "paths"),
    [(LEFT_OVER, FILES), (WITHOUT_REASON, PROGRAM), (MACHINE, FILES), (REGISTRY, FILES)],
    ids=["nothing left over", "every exception has a reason", "no path of one machine", "no registry"],
)
def test_no_file_breaks_the_rule(rule: re.Pattern[str], paths: list[Path]) -> None:
    found = [(named(path), match[0]) for path in paths for match in rule.finditer(path.read_text(encoding="utf-8"))]

    assert found == []


@pytest.mark.parametrize(
    ("rule", "fault"),
    [
        (LEFT_OVER, "# TODO: later"),
        (WITHOUT_REASON, "x = 1  # type: ignore"),
        (WITHOUT_REASON, "x = 1  # type: ignore[misc]"),
        (WITHOUT_REASON, "x = 1  # noqa"),
        (WITHOUT_REASON, "x = 1  # noqa: S101"),
        (MACHINE, "cd /" + "work/main"),
        (REGISTRY, "--index-url=x"),
        (REGISTRY, "from https://pypi" + ".org/simple"),
    ],
)
def test_a_planted_fault_is_seen(rule: re.Pattern[str], fault: str) -> None:
    assert rule.search(fault)


def test_an_exception_with_its_reason_is_let_through() -> None:
    assert not WITHOUT_REASON.search("x = 1  # type: ignore[misc]  # gunicorn has no types")


def test_what_is_undocumented_is_seen() -> None:
    source = 'class A:\n    """A."""\n    def b(self): ...\n    def _c(self): ...\ndef d(): ...\n'

    assert list(undocumented(source)) == ["the module", "d", "b"]
