"""Which files are taken: by their ending and by what they hold, both of which must agree. Pure rules.

Whatever a browser says of a type counts for nothing. Nothing is ever unpacked or drawn: of a container only its table
of contents is read, and how large that may be is asked first.
"""

import codecs
import struct
import zipfile
from collections.abc import Callable
from enum import StrEnum
from typing import BinaryIO, NamedTuple

HEAD = 64
CHUNK = 64 * 1024
MOST_ENTRIES = 10_000
MOST_TABLE = 2 * 1024 * 1024
UNPACKED = 50 * 1024 * 1024
MOST_UNPACKED = 10 * UNPACKED
MOST_RATIO = 200
"""How many times as large as they are documents above 50 MB may become; real ones stay far below."""
END_OF_ZIP = struct.Struct("<4s4H2LH")
END_OF_LARGE_ZIP = b"PK\x06\x07"
"""Twenty bytes before the end mark where the table of contents is larger than any document needs."""
LONGEST_NOTE = 0xFFFF
ENCRYPTED = 0x1
OLD_OFFICE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
"""How an old Office file begins, and a new one that asks for a password."""
HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


class Fault(StrEnum):
    """Why a file is not taken."""

    EMPTY = "empty"
    ENDING = "ending"
    CONTENT = "content"
    LOCKED = "locked"
    BOMB = "bomb"


class WrongFile(Exception):
    """The file is not taken."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.value)
        self.fault = fault


class Type(NamedTuple):
    """A kind of file that is taken: what it is called on the wire, and whether content is of this kind."""

    mime: str
    fits: Callable[[bytes, BinaryIO], bool]


def type_of(ending: str, content: BinaryIO) -> str:
    """The media type of a file with this ending and content. Raises WrongFile."""
    kind = TYPES.get(ending)
    if kind is None:
        raise WrongFile(Fault.ENDING)
    content.seek(0)
    head = content.read(HEAD)
    if not head:
        raise WrongFile(Fault.EMPTY)
    if not kind.fits(head, content):
        raise WrongFile(Fault.CONTENT)
    return kind.mime


def _begins(*starts: bytes) -> Callable[[bytes, BinaryIO], bool]:
    return lambda head, _content: head.startswith(starts)


def _is_webp(head: bytes, _content: BinaryIO) -> bool:
    return head[:4] == b"RIFF" and head[8:12] == b"WEBP"


def _is_heic(head: bytes, _content: BinaryIO) -> bool:
    return head[4:8] == b"ftyp" and head[8:12] in HEIC_BRANDS


def _is_text(head: bytes, content: BinaryIO) -> bool:
    """Text in one of the usual encodings: no byte in it that no text has."""
    content.seek(0)
    wide = head.startswith(MARKS)
    decoder = codecs.getincrementaldecoder("utf-16" if wide else "latin-1")()
    try:
        while chunk := content.read(CHUNK):
            if any(_is_control(character) for character in set(decoder.decode(chunk))):
                return False
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _is_control(character: str) -> bool:
    return (character < " " and character not in "\t\n\r\f\x1a\x1b") or character == "\x7f"


def _office(part: str) -> Callable[[bytes, BinaryIO], bool]:
    """Word and Excel since 2007: a container with this part, and without macros."""

    def fits(head: bytes, content: BinaryIO) -> bool:
        names = _names_in(head, content)
        macros = any(name.lower().endswith("vbaproject.bin") for name in names)
        return {"[Content_Types].xml", part} <= names and not macros

    return fits


def _open_document(mime: str) -> Callable[[bytes, BinaryIO], bool]:
    """OpenDocument: a container whose first part, not packed, says what it is."""

    def fits(head: bytes, content: BinaryIO) -> bool:
        names = _names_in(head, content)
        content.seek(0)
        first = content.read(30 + len("mimetype") + len(mime) + 1)
        return {"mimetype", "content.xml"} <= names and first[30:].startswith(f"mimetype{mime}".encode())

    return fits


def _names_in(head: bytes, content: BinaryIO) -> set[str]:
    """The names of a container's parts. Raises WrongFile for one with a password, or that unfolds without measure."""
    if head.startswith(OLD_OFFICE):
        raise WrongFile(Fault.LOCKED)
    if not head.startswith(b"PK\x03\x04"):
        return set()
    size = _size_with_small_table(content)
    if size is None:
        return set()
    try:
        with zipfile.ZipFile(content) as container:
            parts = container.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, struct.error):
        return set()
    unpacked = sum(part.file_size for part in parts)
    if unpacked > max(UNPACKED, min(MOST_UNPACKED, MOST_RATIO * size)):
        raise WrongFile(Fault.BOMB)
    if any(part.flag_bits & ENCRYPTED for part in parts):
        raise WrongFile(Fault.LOCKED)
    return {part.filename for part in parts}


def _size_with_small_table(content: BinaryIO) -> int | None:
    """The size of a container whose table of contents is small enough to be read; None for what is no container.

    Raises WrongFile. What is read here is what ``zipfile`` reads: the last end mark, which must end with the file.
    """
    size = content.seek(0, 2)
    content.seek(max(0, size - END_OF_ZIP.size - LONGEST_NOTE))
    tail = content.read()
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) - at < END_OF_ZIP.size:
        return None
    _, _, _, _, entries, table, _, note = END_OF_ZIP.unpack_from(tail, at)
    if at + END_OF_ZIP.size + note != len(tail):
        return None
    if entries > MOST_ENTRIES or table > MOST_TABLE or tail[max(at - 20, 0) : at].startswith(END_OF_LARGE_ZIP):
        raise WrongFile(Fault.BOMB)
    return size


TYPES = {
    "pdf": Type("application/pdf", _begins(b"%PDF-")),
    "jpg": Type("image/jpeg", _begins(b"\xff\xd8\xff")),
    "jpeg": Type("image/jpeg", _begins(b"\xff\xd8\xff")),
    "png": Type("image/png", _begins(b"\x89PNG\r\n\x1a\n")),
    "gif": Type("image/gif", _begins(b"GIF87a", b"GIF89a")),
    "webp": Type("image/webp", _is_webp),
    "heic": Type("image/heic", _is_heic),
    "heif": Type("image/heif", _is_heic),
    "txt": Type("text/plain", _is_text),
    "csv": Type("text/csv", _is_text),
    "docx": Type(
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document", _office("word/document.xml")
    ),
    "xlsx": Type("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", _office("xl/workbook.xml")),
    "odt": Type("application/vnd.oasis.opendocument.text", _open_document("application/vnd.oasis.opendocument.text")),
    "ods": Type(
        "application/vnd.oasis.opendocument.spreadsheet",
        _open_document("application/vnd.oasis.opendocument.spreadsheet"),
    ),
}
"""By ending: what is taken and nothing else. Nothing here runs by itself when it is opened."""
