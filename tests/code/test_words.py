"""Words we never say: in a template, a translation, a script or a string of the program (DESIGN.md, laws 2 and 6)."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from babel.messages.pofile import read_po

ROOT = Path(__file__).parents[2]
PORTAL = ROOT / "portal"
BANNED = re.compile(
    r"zeitnah|schnellstmöglich|schnellst[- ]möglich|baldmöglichst|umgehend|in Kürze|leider|Unannehmlichkeit|"
    r"hohe[sn]? (?:Anfrage)?aufkommen|uns(?:er|ere|eren|erem|eres) Team|(?<!über )\bhinaus\b|no-?reply|noreply|"
    r"as soon as possible|\basap\b|\bshortly\b|inconvenience|unfortunately|high demand|our team\b",
    re.IGNORECASE,
)
TEMPLATES = sorted(path for path in (PORTAL / "templates").rglob("*") if path.is_file())
SCRIPTS = sorted((PORTAL / "static").glob("*.js"))
SOURCES = sorted([*PORTAL.rglob("*.py"), *(ROOT / "worker").rglob("*.py")])
CATALOGUE = PORTAL / "translations" / "de" / "LC_MESSAGES" / "messages.po"


def strings(source: str) -> Iterator[str]:
    """Every string of a program but its docstrings, which are read by colleagues only."""
    tree = ast.parse(source)
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    said_to_colleagues = {
        id(node.value)
        for parent in ast.walk(tree)
        if isinstance(parent, documented)
        for node in parent.body
        if isinstance(node, ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in said_to_colleagues:
            yield node.value


def without_comments(template: str) -> str:
    """A template as a reader gets it."""
    return re.sub(r"\{#.*?#\}|<!--.*?-->", "", template, flags=re.DOTALL)


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("paths", [TEMPLATES, SCRIPTS], ids=["templates", "scripts"])
def test_no_page_and_no_letter_says_a_word_we_never_say(paths: list[Path]) -> None:
    said = [
        (named(path), word)
        for path in paths
        for word in BANNED.findall(without_comments(path.read_text(encoding="utf-8")))
    ]

    assert paths and said == []


def test_no_string_of_the_program_says_a_word_we_never_say() -> None:
    said = [
        (named(path), word)
        for path in SOURCES
        for string in strings(path.read_text(encoding="utf-8"))
        for word in BANNED.findall(string)
    ]

    assert said == []


def test_no_translation_says_a_word_we_never_say() -> None:
    with CATALOGUE.open("rb") as file:
        said = [message.string for message in read_po(file) if BANNED.search(f"{message.id} {message.string}")]

    assert said == []


@pytest.mark.parametrize(
    "sentence",
    [
        "Wir melden uns zeitnah.",
        "Wir melden uns SCHNELLSTMÖGLICH.",
        "Sie hören in Kürze von uns.",
        "Das ist leider nicht möglich.",
        "Wir bitten um Entschuldigung für die Unannehmlichkeiten.",
        "Wegen des hohen Aufkommens dauert es länger.",
        "Wegen des hohen Anfrageaufkommens dauert es länger.",
        "Unser Team kümmert sich.",
        "Eine Kollegin aus unserem Team kümmert sich.",
        "We will reply as soon as possible.",
        "We will reply shortly.",
        "Sorry for the inconvenience.",
        "Our team will take care of it.",
        "no-reply@firma.example",
    ],
)
def test_a_planted_word_is_seen(sentence: str) -> None:
    assert BANNED.search(sentence)


@pytest.mark.parametrize(
    "sentence",
    [
        "Miriam Albrecht antwortet bis Freitag.",
        "Das Team Vertrieb Süd",
        "The team’s working hours",
        "Schneider & Leidinger",
    ],
)
def test_other_words_are_free(sentence: str) -> None:
    assert not BANNED.search(sentence)


def test_strings_are_found_and_docstrings_are_not() -> None:
    source = '"""zeitnah"""\nx = "umgehend"\ndef f():\n    """leider"""\n    return f"in {x} Kürze"\n'

    assert set(strings(source)) == {"umgehend", "in ", " Kürze"}
