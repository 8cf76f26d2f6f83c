"""Which files are taken, and what their names become (reference/security.md section 7, 18 to 23)."""

import io
import struct
import zipfile
from collections.abc import Callable

import pytest

from portal.journal import file_names, file_types
from portal.journal.file_types import TYPES, Fault, WrongFile, type_of
from tests.support.files import EXECUTABLE, SAMPLES, document, open_document

HTML = b"<html><script>alert(1)</script></html>"
SVG = b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>'
FLASH = b"CWS\x0a\x00\x00\x00\x00"
NAMES = {
    "../../../../etc/passwd": "passwd",
    "..\\..\\x": "x",
    "C:\\Users\\Maria\\Rechnung.pdf": "Rechnung.pdf",
    "CON": "_CON",
    "con.pdf": "_con.pdf",
    "Lpt1.txt": "_Lpt1.txt",
    "Console.txt": "Console.txt",
    ".htaccess": "htaccess",
    "a\x00.pdf": "a.pdf",
    "a\r\nSet-Cookie: x.pdf": "aSet-Cookie_ x.pdf",
    "Rechnung\u202efdp.exe": "Rechnungfdp.exe",
    "a\u2028b\u200b.pdf": "ab.pdf",
    "Kru\u0308ger.pdf": "Krüger.pdf",
    'a<b>"c"|d?*.pdf': "a_b__c__d__.pdf",
    "  two   words . pdf. ": "two words . pdf",
    "": "file",
    "..": "file",
    "/": "file",
    "\ud800.pdf": "pdf",
    "Foto 😀.jpg": "Foto 😀.jpg",
}


@pytest.mark.parametrize(("name", "cleaned"), NAMES.items())
def test_a_name_is_one_harmless_line(name: str, cleaned: str) -> None:
    assert file_names.cleaned(name) == cleaned
    assert file_names.cleaned(cleaned) == cleaned


@pytest.mark.parametrize("name", ["x" * 300 + ".pdf", "ä" * 99 + "x.jpeg", "y" * 300, "z." + "w" * 300])
def test_a_long_name_loses_its_middle_and_keeps_its_ending(name: str) -> None:
    cleaned = file_names.cleaned(name)

    assert len(cleaned) <= file_names.LENGTH and "…" in cleaned
    assert cleaned.endswith(name[name.rindex(".") :] if name.endswith((".pdf", ".jpeg")) else "…")


def test_a_name_without_measure_is_cleaned_at_once() -> None:
    assert len(file_names.cleaned("a/" * 200_000 + "." * 200_000 + "b" * 200_000)) <= file_names.LENGTH


@pytest.mark.parametrize(
    ("name", "in_letter"),
    {
        "Rechnung 12.pdf": "Rechnung 12.pdf",
        "www.evil.example.pdf": "www_evil_example.pdf",
        "win@evil.example.pdf": "win_evil_example.pdf",
        "evil.example": "evil.example",
        "Die ausführliche Begründung der Bestellung vom Montag.pdf": "Die ausführliche Begründung der Bes….pdf",
    }.items(),
)
def test_no_name_is_a_link_in_a_letter(name: str, in_letter: str) -> None:
    assert file_names.in_letter(name) == in_letter


@pytest.mark.parametrize(("ending", "content"), SAMPLES.items())
def test_each_kind_that_is_taken(ending: str, content: bytes) -> None:
    assert type_of(ending, io.BytesIO(content)) == TYPES[ending].mime


def test_there_is_a_sample_of_each_kind() -> None:
    assert set(SAMPLES) == set(TYPES)


@pytest.mark.parametrize("ending", TYPES)
@pytest.mark.parametrize("foreign", ["exe", "svg", "html", "swf", "zip", *TYPES])
def test_content_of_another_kind_is_refused(ending: str, foreign: str) -> None:
    others = {"exe": EXECUTABLE, "svg": SVG, "html": HTML, "swf": FLASH, "zip": document("readme")}
    content = others.get(foreign) or SAMPLES[foreign]
    same = {frozenset({"jpg", "jpeg"}), frozenset({"heic", "heif"})}
    is_text = ending in ("txt", "csv")
    readable = foreign in ("svg", "html", "txt", "csv", "pdf")  # a text is what can be read as one
    if ending == foreign or {ending, foreign} in same or (is_text and readable):
        return

    with pytest.raises(WrongFile) as refused:
        type_of(ending, io.BytesIO(content))

    assert refused.value.fault == Fault.CONTENT


@pytest.mark.parametrize(
    "ending",
    ["svg", "html", "xhtml", "mht", "js", "swf", "exe", "zip", "docm", "xlsm", "doc", "lnk", "eml", "", "pdf "],
)
def test_no_other_ending_is_taken(ending: str) -> None:
    with pytest.raises(WrongFile) as refused:
        type_of(ending, io.BytesIO(SAMPLES["pdf"]))

    assert refused.value.fault == Fault.ENDING


@pytest.mark.parametrize("ending", TYPES)
def test_an_empty_file_is_called_empty(ending: str) -> None:
    with pytest.raises(WrongFile) as refused:
        type_of(ending, io.BytesIO(b""))

    assert refused.value.fault == Fault.EMPTY


@pytest.mark.parametrize(
    "content",
    [b"Name;Ort\r\nM\xfcller;K\xf6ln\r\n", "Müller\t€".encode(), "\ufeffa".encode(), "Müller".encode("utf-16")],
    ids=["western", "unicode", "unicode with a mark", "wide"],
)
def test_text_in_every_usual_encoding(content: bytes) -> None:
    assert type_of("csv", io.BytesIO(content)) == "text/csv"


@pytest.mark.parametrize("content", [b"a\x00b", b"a\x07b", b"x" * 70_000 + b"\x00", b"\xff\xfea", b"\x7fELF"])
def test_what_no_text_holds(content: bytes) -> None:
    with pytest.raises(WrongFile):
        type_of("txt", io.BytesIO(content))


def _with_macros() -> bytes:
    return document("word/document.xml", "[Content_Types].xml", "word/vbaProject.bin")


def _gzip_bomb() -> bytes:
    return b"\x1f\x8b\x08" + bytes(1000)


@pytest.mark.parametrize("make", [_with_macros, _gzip_bomb, lambda: SAMPLES["docx"][:-30], lambda: b"PK\x03\x04" * 9])
def test_what_only_looks_like_a_document(make: Callable[[], bytes]) -> None:
    with pytest.raises(WrongFile) as refused:
        type_of("docx", io.BytesIO(make()))

    assert refused.value.fault == Fault.CONTENT


def test_an_open_document_says_first_what_it_is() -> None:
    packed = open_document(TYPES["odt"].mime, pack=zipfile.ZIP_DEFLATED)

    with pytest.raises(WrongFile):
        type_of("odt", io.BytesIO(packed))


def test_a_document_with_a_password_is_called_so() -> None:
    locked = bytearray(SAMPLES["docx"])
    at = locked.index(b"PK\x01\x02")
    locked[at + 8] |= file_types.ENCRYPTED

    for content in (bytes(locked), file_types.OLD_OFFICE + bytes(600)):
        with pytest.raises(WrongFile) as refused:
            type_of("docx", io.BytesIO(content))
        assert refused.value.fault == Fault.LOCKED


def _claims(unpacked: int) -> bytes:
    """A document that says of one part that it unfolds to so many bytes."""
    content = bytearray(SAMPLES["docx"])
    struct.pack_into("<L", content, content.index(b"PK\x01\x02") + 24, unpacked)
    return bytes(content)


def _many_parts() -> bytes:
    return document(*(f"{number}" for number in range(file_types.MOST_ENTRIES + 1)))


def _large_table() -> bytes:
    content = bytearray(SAMPLES["docx"])
    struct.pack_into("<L", content, content.rindex(b"PK\x05\x06") + 12, file_types.MOST_TABLE + 1)
    return bytes(content)


def _zip64() -> bytes:
    content = SAMPLES["docx"]
    at = content.rindex(b"PK\x05\x06")
    return content[:at] + file_types.END_OF_LARGE_ZIP + bytes(16) + content[at:]


@pytest.mark.parametrize("make", [lambda: _claims(4_000_000_000), _many_parts, _large_table, _zip64])
def test_a_document_that_unfolds_without_measure_is_refused_unread(make: Callable[[], bytes]) -> None:
    with pytest.raises(WrongFile) as refused:
        type_of("docx", io.BytesIO(make()))

    assert refused.value.fault == Fault.BOMB


def test_an_end_mark_inside_the_end_mark_hides_no_table() -> None:
    content = bytearray(SAMPLES["docx"])
    at = content.rindex(b"PK\x05\x06")
    content[at + 16 : at + 20] = b"PK\x05\x06"  # where the table begins: nonsense, and what a careless search finds

    with pytest.raises(WrongFile):
        type_of("docx", io.BytesIO(bytes(content)))


def test_a_large_document_of_the_usual_kind_is_taken() -> None:
    assert type_of("docx", io.BytesIO(_claims(file_types.UNPACKED - 10_000)))
