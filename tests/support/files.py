"""Small files of every kind that is taken, and of some that are not; and a form that brings them."""

import io
import zipfile
from collections.abc import Mapping
from typing import Any

from flask.testing import FlaskClient
from werkzeug.test import TestResponse, encode_multipart

EXECUTABLE = b"MZ\x90\x00\x03\x00\x00\x00\x04\x00\x00\x00\xff\xff\x00\x00" + bytes(60) + b"PE\x00\x00"
EICAR = rb"X5O!P%@AP[4\PZX54(P^)7CC)7}$" + b"EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"
"""What every virus scanner takes for a virus; it is none."""


def document(*parts: str) -> bytes:
    """A container with these parts."""
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as container:
        for part in parts:
            container.writestr(part, "<x/>")
    return written.getvalue()


def open_document(mime: str, *, pack: int = zipfile.ZIP_STORED) -> bytes:
    """An OpenDocument file of this kind."""
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as container:
        container.writestr("mimetype", mime, pack)
        container.writestr("content.xml", "<x/>")
    return written.getvalue()


def pdf(size: int = 400, salt: bytes = b"") -> bytes:
    """A PDF as far as its first and last bytes go, of this size."""
    return (b"%PDF-1.7\n" + salt).ljust(size - 6, b"\n") + b"%%EOF\n"


def post(client: FlaskClient, path: str, sent: Mapping[str, Any]) -> TestResponse:
    """Send a form in parts; written here, because the test client leaves the file open that a large one is put in."""
    boundary, body = encode_multipart(sent)
    return client.post(path, data=body, content_type=f"multipart/form-data; boundary={boundary}")


SAMPLES = {
    "pdf": pdf(),
    "jpg": b"\xff\xd8\xff\xe0\x00\x10JFIF\x00" + bytes(40) + b"\xff\xd9",
    "jpeg": b"\xff\xd8\xff\xe1\x00\x10Exif\x00\x00" + bytes(40) + b"\xff\xd9",
    "png": b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + bytes(60),
    "gif": b"GIF89a\x01\x00\x01\x00" + bytes(30),
    "webp": b"RIFF\x24\x00\x00\x00WEBPVP8 " + bytes(30),
    "heic": b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic" + bytes(30),
    "heif": b"\x00\x00\x00\x18ftypmif1\x00\x00\x00\x00mif1heic" + bytes(30),
    "txt": "Seriennummer: 4711-Ü\n".encode(),
    "csv": b"Artikel;Menge\r\nPalette;2\r\n",
    "docx": document("[Content_Types].xml", "word/document.xml"),
    "xlsx": document("[Content_Types].xml", "xl/workbook.xml"),
    "odt": open_document("application/vnd.oasis.opendocument.text"),
    "ods": open_document("application/vnd.oasis.opendocument.spreadsheet"),
}
"""By ending."""
