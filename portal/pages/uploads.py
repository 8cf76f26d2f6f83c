"""Files that come with a form: looked at before anything is written, held when it comes back, served as a download.

No limit of a body stands anywhere else: ``BODY_BYTES`` for a form with files, the application's own for all others.
"""

import hashlib
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import IO, Any, BinaryIO, TypeVar

from babel.numbers import format_decimal
from flask import Flask, Response, current_app, request, send_file
from flask_babel import get_locale, lazy_gettext
from flask_babel.speaklater import LazyString
from sqlalchemy.orm import Session
from werkzeug import Response as BaseResponse
from werkzeug.datastructures import FileStorage
from werkzeug.exceptions import HTTPException, NotFound, RequestedRangeNotSatisfiable
from wtforms import Field

from portal import config, db, limits
from portal.blobs import PIECE
from portal.journal import file_names, files
from portal.journal.file_types import TYPES, Fault, WrongFile, type_of
from portal.journal.files import File
from portal.journal.models import SERVED, Attachment, Scan
from portal.languages import marked
from portal.links import new_secret

MEGABYTE = 1024 * 1024
MOST_FILES = 5
MOST_BYTES = 10 * MEGABYTE
MOST_TOGETHER = 25 * MEGABYTE
BODY_BYTES = MOST_TOGETHER + MEGABYTE
"""Largest body of a form with files: the files, and room for what is typed."""
FIELD_BYTES = 192 * 1024
"""Largest typed field of such a form. Werkzeug holds what it has just read, 64 kB, and a rest to the same limit."""
ACCEPTED = ",".join(f".{ending}" for ending in TYPES)
SANDBOX = "sandbox; default-src 'none'"

View = TypeVar("View", bound=Callable[..., Any])

SENTENCES = {
    Fault.EMPTY: marked("“%(name)s” is empty. Please choose the file once more."),
    Fault.ENDING: marked(
        "“%(name)s” is of a kind we cannot take. We take PDF, pictures (JPG, PNG, GIF, WebP, HEIC), "
        "text (TXT, CSV) and documents (DOCX, XLSX, ODT, ODS)."
    ),
    Fault.CONTENT: marked("“%(name)s” does not hold what its name says. Please save it again, for example as a PDF."),
    Fault.LOCKED: marked(
        "“%(name)s” asks for a password or is in an old format. Please save it without a password, or as a PDF."
    ),
    Fault.BOMB: marked("“%(name)s” unfolds to more than we can check. Please send it as a PDF."),
}
TOO_MANY = marked("“%(name)s” is one too many: we take up to %(most)d files at once.")
TOO_LARGE = marked("“%(name)s” has %(size)s. One file can have up to %(most)s.")
TOO_MUCH = marked("“%(name)s” no longer fits: all files together can have up to %(most)s.")
NOT_CHOSEN = marked("No file came along. Please choose it once more.")
GONE = marked("The files you chose before are no longer here. Please choose them once more.")
OVER_QUOTA = marked(
    "Not kept: %(names)s. More files have come from your network within the hour than we can take. "
    "Please send your text without them and the files later, or call us."
)


class StillScanned(HTTPException):
    """The virus scanner has not said anything of the file yet."""

    code = 423
    description = "still being scanned"


class OverQuota(Exception):
    """More bytes came from this network than it may send."""

    def __init__(self, seconds: int) -> None:
        super().__init__()
        self.seconds = seconds

    def told(self, response: BaseResponse) -> BaseResponse:
        """The answer, with the time after which there is room again."""
        response.headers["Retry-After"] = str(self.seconds)
        return response


class FilesField(Field):
    """The files of a form; ``choose`` finds out what is in it.

    ``data`` tells two choices apart, for the body's hash.
    """

    def __init__(self, label: Any = None, validators: Any = None, **given: Any) -> None:
        super().__init__(label, validators, **given)
        self.data: list[str] = []
        self.held: tuple[File, ...] = ()

    def process(self, formdata: Any, data: Any = None, extra_filters: Any = None) -> None:
        """Take nothing from what was typed: files come another way."""


def files_field() -> FilesField:
    """Up to five files, here and on the other pages."""
    return FilesField(lazy_gettext("Files"))


@dataclass(frozen=True)
class Chosen:
    """What somebody chose in a form: now, and in the same form before."""

    form_key: str
    fresh: tuple[File, ...] = ()
    held: tuple[File, ...] = ()
    removed: tuple[str, ...] = ()
    field: FilesField = field(default_factory=files_field, compare=False)

    @property
    def files(self) -> tuple[File, ...]:
        """All that goes with the form, those from before first."""
        return self.held + self.fresh


def takes_files(view: View) -> View:
    """Mark a view whose form may bring files: only there a body may be large."""
    view.__dict__["takes_files"] = True
    return view


def init_app(app: Flask) -> None:
    """Let large bodies in where files are taken; before anything reads the form."""
    app.before_request(_make_room)
    app.add_template_filter(shown_size, "file_size")
    app.jinja_env.globals["accepted_files"] = ACCEPTED


def choose(field: FilesField, *form: str | None) -> Chosen:
    """Look at the files of the form that these words name; what is wrong with one becomes an error of the field.

    Opens no transaction while it reads them.
    """
    chosen = _with_held(Chosen(form_key=form_key(*form), field=field))
    fresh, together = list[File](), sum(file.size for file in chosen.held)
    faults = [lazy_gettext(NOT_CHOSEN)] if request.form.get(field.name, "").strip() else []
    faults += [lazy_gettext(GONE)] if _misses_some(chosen) else []
    for storage in request.files.getlist(field.name):
        name, size = file_names.cleaned(storage.filename), _size(storage)
        if not storage.filename and not size:
            continue
        fault = _out_of_bounds(name, size, len(chosen.held) + len(fresh), together)
        try:
            if fault is None:
                fresh.append(_looked_at(storage.stream, name, size))
                together += size
        except WrongFile as wrong:
            fault = lazy_gettext(SENTENCES[wrong.fault], name=name)
        faults += [] if fault is None else [fault]
    field.data = sorted(f"{file.sha256} {file.name}" for file in (*chosen.held, *fresh))
    field.held = chosen.held
    if faults:
        field.errors = [LazyString(lambda: " ".join(str(fault) for fault in faults))]
    return replace(chosen, fresh=tuple(fresh))


def form_key(*form: str | None) -> str:
    """The name under which files of a form are held: a hash, because the form's key is a secret."""
    return hashlib.sha256("\0".join(str(part) for part in form).encode()).hexdigest()


def hold(chosen: Chosen, *form: str | None, now: datetime, counted: bool = True) -> None:
    """Keep what was chosen until its form comes again, under the key it has then, and forget what was removed.

    The form then shows what is kept. Where the network has sent too much (``counted``), nothing is, and it says so.
    """
    key = form_key(*form)
    if chosen.fresh or chosen.removed:
        try:
            with db.writing() as session:
                if counted:
                    count(session, chosen, now=now)
                files.remove(session, chosen.form_key, chosen.removed)
                files.hold(session, chosen.fresh, form_key=key, now=now)
        except OverQuota:
            say_over_quota(chosen)
            return
    chosen.field.held = chosen.files if key == chosen.form_key else chosen.fresh


def say_no_longer_held(chosen: Chosen) -> None:
    """Say at the field that files from before are gone."""
    chosen.field.errors = [*chosen.field.errors, lazy_gettext(GONE)]


def say_over_quota(chosen: Chosen) -> None:
    """Say at the field that the fresh files are not kept."""
    names = ", ".join(f"“{file.name}”" for file in chosen.fresh)
    chosen.field.errors = [*chosen.field.errors, lazy_gettext(OVER_QUOTA, names=names)]


def count(session: Session, chosen: Chosen, *, now: datetime) -> None:
    """Count the fresh bytes against what the visitor's network may send. Raises OverQuota."""
    size = sum(file.size for file in chosen.fresh)
    if not size:
        return
    settings, network = config.current(), limits.network_of(request.remote_addr)
    name = limits.name_for("upload", network, key=settings.counter_key)
    seconds = limits.take(session, name, settings.upload_limit, now=now, amount=size)
    if seconds is not None:
        raise OverQuota(seconds)


def download(session: Session, case_id: int, file_id: str, *, visible_only: bool) -> Response:
    """A file of this case, only ever as a download. Raises NotFound, StillScanned."""
    file = files.find(session, case_id, file_id, visible_only=visible_only)
    if file is None or file.scan == Scan.INFECTED:
        raise NotFound
    if file.scan not in SERVED:
        raise StillScanned
    return _sent(file, files.data_of(session, file.id))


def shown_size(size: int) -> str:
    """ "340 kB", "1,2 MB": rounded up, so that nothing seems to fit that does not."""
    unit, name = (MEGABYTE, "MB") if size >= MEGABYTE else (1024, "kB")
    tenths = -(-size * 10 // unit)
    return f"{format_decimal(tenths / 10 if unit == MEGABYTE else -(-size // unit), locale=get_locale())} {name}"


def _lazy_size(size: int) -> LazyString:
    """The size in the page's language, which is known later."""
    return LazyString(shown_size, size)


def _make_room() -> None:
    view = current_app.view_functions.get(request.endpoint or "")
    if request.mimetype == "multipart/form-data" and getattr(view, "takes_files", False):
        request.max_content_length = BODY_BYTES
        request.max_form_memory_size = FIELD_BYTES


def _with_held(chosen: Chosen) -> Chosen:
    """Add the files that the form listed from before, without those ticked for removal."""
    name = chosen.field.name
    listed, removed = (request.form.getlist(f"{name}-{which}")[:MOST_FILES] for which in ("held", "remove"))
    if not listed:
        return chosen
    with db.reading() as session:
        held = files.held(session, chosen.form_key, listed)
    removed = [one for one in removed if files.ID.fullmatch(one)]
    return replace(chosen, removed=tuple(removed), held=tuple(file for file in held if file.id not in removed))


def _misses_some(chosen: Chosen) -> bool:
    """Whether the form lists files from before that are there no more: nothing is left out in silence."""
    listed = request.form.getlist(f"{chosen.field.name}-held")[:MOST_FILES]
    return not {file.id for file in chosen.held}.issuperset(one for one in listed if one not in chosen.removed)


def _size(storage: FileStorage) -> int:
    size = storage.stream.seek(0, io.SEEK_END)
    storage.stream.seek(0)
    return size


def _out_of_bounds(name: str, size: int, before: int, together: int) -> Any:
    """Why a file is not even looked at; None where it may be."""
    if before >= MOST_FILES:
        return lazy_gettext(TOO_MANY, name=name, most=MOST_FILES)
    if size > MOST_BYTES:
        return lazy_gettext(TOO_LARGE, name=name, size=_lazy_size(size), most=_lazy_size(MOST_BYTES))
    if together + size > MOST_TOGETHER:
        return lazy_gettext(TOO_MUCH, name=name, most=_lazy_size(MOST_TOGETHER))
    return None


def _looked_at(stream: Any, name: str, size: int) -> File:
    """The file, measured and found to be what its name says. Raises WrongFile."""
    kind = type_of(file_names.ending(name), stream)
    return File(new_secret(), name, kind, size, _sha256(stream), read=lambda: _pieces(stream))


def _sha256(stream: BinaryIO) -> str:
    digest = hashlib.sha256()
    for piece in _pieces(stream):
        digest.update(piece)
    return digest.hexdigest()


def _pieces(stream: BinaryIO) -> Iterator[bytes]:
    stream.seek(0)
    while piece := stream.read(PIECE):
        yield piece


def _sent(file: Attachment, data: IO[bytes]) -> Response:
    response = send_file(data, mimetype=file.type, as_attachment=True, download_name=file.name, conditional=False)
    response.content_length = file.bytes  # Flask does not know it, and a file that is cut off must not pass for whole
    try:
        response.make_conditional(request, accept_ranges=True, complete_length=file.bytes)
    except RequestedRangeNotSatisfiable:
        response.close()
        raise
    response.headers["Content-Security-Policy"] = SANDBOX
    response.headers["Cache-Control"] = "no-store"
    return response
