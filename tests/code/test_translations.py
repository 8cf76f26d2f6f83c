"""The German catalogue: complete, compiled, with the same places as the English, and polite."""

import re
from gettext import GNUTranslations
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog, Message
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po

ROOT = Path(__file__).parents[2]
CATALOGUE = ROOT / "portal" / "translations" / "de" / "LC_MESSAGES" / "messages.po"
METHODS = [("**.py", "python"), ("**.html", "jinja2")]
KEYWORDS = {"_": None, "gettext": None, "lazy_gettext": None, "say": None, "marked": None}
PLACE = re.compile(r"%\(\w+\)[a-z]|%(?![( ])\S")
INTIMATE = re.compile(
    r"\b(?:du|dich|dir|dein(?:e[mnrs]?)?|euch|euer|eure[mnrs]?|ihr (?:könnt|habt|seid))\b", re.IGNORECASE
)
ENGLISH = re.compile(r"\b(?:the|your|you|please|with|from|case)\b", re.IGNORECASE)


@pytest.fixture(scope="module")
def catalogue() -> Catalog:
    """The German sentences as colleagues edit them."""
    with CATALOGUE.open("rb") as file:
        return read_po(file)


@pytest.fixture(scope="module")
def sentences(catalogue: Catalog) -> list[Message]:
    """Every sentence without the head of the file."""
    return [message for message in catalogue if message.id]


@pytest.fixture(scope="module")
def in_the_source() -> set[str]:
    """Every sentence that pages, letters and the program say."""
    found = {
        message
        for folder in ("portal", "worker")
        for _, _, message, _, _ in extract_from_dir(ROOT / folder, METHODS, keywords=KEYWORDS)
    }
    assert len(found) > 100
    return {str(message) for message in found}


def test_every_sentence_of_the_source_is_in_the_catalogue(in_the_source: set[str], sentences: list[Message]) -> None:
    assert in_the_source - {str(message.id) for message in sentences} == set()


def test_the_catalogue_holds_no_sentence_that_nobody_says(in_the_source: set[str], sentences: list[Message]) -> None:
    assert {str(message.id) for message in sentences} - in_the_source == set()


def test_every_sentence_is_translated(sentences: list[Message]) -> None:
    assert [message.id for message in sentences if not message.string] == []


def test_no_translation_is_a_guess_or_a_leftover(catalogue: Catalog, sentences: list[Message]) -> None:
    assert [message.id for message in sentences if message.fuzzy] == []
    assert list(catalogue.obsolete) == []


def test_what_is_compiled_is_what_was_written(sentences: list[Message]) -> None:
    with CATALOGUE.with_suffix(".mo").open("rb") as file:
        compiled = GNUTranslations(file)._catalog  # type: ignore[attr-defined]  # all of it, and it has no other way

    assert {key: text for key, text in compiled.items() if key} == {
        message.id: message.string for message in sentences if message.string
    }


def test_a_translation_has_the_places_of_its_sentence(sentences: list[Message]) -> None:
    assert [message.id for message in sentences if message.string and not same_places(message.id, message.string)] == []


def same_places(sentence: object, translation: object) -> bool:
    return sorted(set(PLACE.findall(str(sentence)))) == sorted(set(PLACE.findall(str(translation))))


def test_a_translation_keeps_the_spaces_at_its_ends(sentences: list[Message]) -> None:
    assert [message.id for message in sentences if _ends(message.id) != _ends(message.string or message.id)] == []


def _ends(text: object) -> tuple[bool, bool]:
    return str(text)[:1].isspace(), str(text)[-1:].isspace()


def test_customers_are_addressed_as_sie(sentences: list[Message]) -> None:
    assert [message.string for message in sentences if INTIMATE.search(str(message.string))] == []


def test_no_translation_is_english(sentences: list[Message]) -> None:
    assert [message.string for message in sentences if ENGLISH.search(str(message.string))] == []


@pytest.mark.parametrize(
    "path", sorted((ROOT / "portal/templates/mail").rglob("de/*.*")), ids=lambda path: f"{path.parts[-3]}/{path.name}"
)
def test_letters_say_sie(path: Path) -> None:
    assert INTIMATE.findall(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("sentence", "translation", "same"),
    [
        ("%(name)s calls", "%(name)s ruft an", True),
        ("%(name)s calls by %(due)s", "Bis %(due)s ruft %(name)s an", True),
        ("%(name)s calls", "%(nmae)s ruft an", False),
        ("%(name)s calls", "Ruft an", False),
        ("calls", "%s ruft an", False),
        ("100 % wool", "100 % Wolle", True),
    ],
)
def test_places_are_compared(sentence: str, translation: str, same: bool) -> None:
    assert same_places(sentence, translation) == same


@pytest.mark.parametrize("sentence", ["Wie geht es dir?", "Dein Anliegen", "Wir haben euch geschrieben."])
def test_a_planted_du_is_seen(sentence: str) -> None:
    assert INTIMATE.search(sentence)


@pytest.mark.parametrize("sentence", ["Wir rufen Sie an.", "Ihr Anliegen", "Individuell", "Durchwahl", "Ihr Vorgang"])
def test_a_polite_sentence_is_let_through(sentence: str) -> None:
    assert not INTIMATE.search(sentence)
