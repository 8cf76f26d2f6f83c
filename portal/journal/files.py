"""Files of entries: kept with what they came with, held while their form is mended, opened one at a time.

A file's bytes are read where it is written down, piece by piece: a request that brings several never holds one whole.
"""

import re
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import IO

from sqlalchemy import bindparam, delete, literal_column, or_, select, update
from sqlalchemy.engine import Connection
from sqlalchemy.orm import Session

from portal import config
from portal.blobs import insert_large, read_large
from portal.db import UtcDateTime, insert_row
from portal.journal import file_names
from portal.journal.models import Attachment, AttachmentData, Entry, Kind, Scan

ID = re.compile(r"[\w-]{22}", re.ASCII)
"""What the id of a file looks like; PostgreSQL would not even be asked for some of what people post."""
HELD_FOR = timedelta(days=1)
"""How long a file waits for its form: as long as the form may stay open."""


_WAITS_FOR_SCAN = (
    Attachment.scan == literal_column("'pending'", Attachment.scan.type),
    or_(  # the last: by a clock that has been set back since
        Attachment.scan_at <= bindparam("now", type_=UtcDateTime),
        Attachment.scan_at > bindparam("ahead", type_=UtcDateTime),
    ),
)
_ANY_TO_SCAN = select(Attachment.id).where(*_WAITS_FOR_SCAN).limit(1)


class NoLongerHeld(Exception):
    """A file that was chosen earlier waits no more: its day is over, or it was removed in another window."""


@dataclass(frozen=True)
class File:
    """One file that somebody chose, looked at and measured."""

    id: str
    name: str
    type: str
    size: int
    """Bytes."""
    sha256: str
    read: Callable[[], Iterable[bytes]] | None = None
    """Gives what it holds, in pieces; None for one that is in the database already."""


@dataclass(frozen=True)
class Filed:
    """A file as a list shows it."""

    id: str
    name: str
    size: int
    scan: Scan


def facts_of(files: Sequence[File]) -> dict[str, int]:
    """What an entry notes of its files: how many, so that nobody looks for files where there are none."""
    return {"files": len(files)} if files else {}


def names_in_letter(files: Iterable[File]) -> list[str]:
    """The names of files as a letter says them."""
    return [file_names.in_letter(file.name) for file in files]


def names_of_kind(session: Session, case_id: int, kind: Kind) -> list[str]:
    """The names, as a letter says them, of the files that came with entries of this kind."""
    names = session.scalars(
        select(Attachment.name)
        .join(Entry, Entry.id == Attachment.entry_id)
        .where(Entry.case_id == case_id, Entry.kind == kind)
        .order_by(Attachment.at, Attachment.name)
    )
    return [file_names.in_letter(name) for name in names]


def attach(session: Session, entry_id: int, files: Iterable[File], *, now: datetime) -> None:
    """Keep files with an entry, for good. Raises NoLongerHeld."""
    for file in files:
        if file.read is not None:
            _insert(session, file, entry_id=entry_id, form_key=None, now=now)
        elif not _take(session, file, entry_id):
            raise NoLongerHeld


def hold(session: Session, files: Iterable[File], *, form_key: str, now: datetime) -> None:
    """Keep files for a form that came back with errors."""
    for file in files:
        if file.read is not None:
            _insert(session, file, entry_id=None, form_key=form_key, now=now)


def held(session: Session, form_key: str, ids: Collection[str]) -> list[File]:
    """Those of these files that were chosen earlier in this form, in their order.

    Also what an entry has taken since: so a double click finds the same files.
    """
    rows = session.scalars(
        select(Attachment)
        .where(Attachment.form_key == form_key, Attachment.id.in_([one for one in ids if ID.fullmatch(one)]))
        .order_by(Attachment.at, Attachment.name)
    )
    return [File(row.id, row.name, row.type, row.bytes, row.sha256) for row in rows]


def remove(session: Session, form_key: str, ids: Collection[str]) -> None:
    """Forget files of a form that nobody has taken yet."""
    _delete(session, Attachment.form_key == form_key, Attachment.entry_id.is_(None), Attachment.id.in_(ids))


def forget(session: Session, *, now: datetime) -> None:
    """Delete what waits for a form that nobody can send any more."""
    _delete(session, Attachment.entry_id.is_(None), Attachment.at < now - HELD_FOR)


def erase(session: Session, case_id: int) -> None:
    """Delete the files of those entries of a case that have been blanked; the schema refuses it before."""
    entries = select(Entry.id).where(Entry.case_id == case_id, Entry.erased_at.is_not(None))
    _delete(session, Attachment.entry_id.in_(entries))


def of_entries(session: Session, entry_ids: Collection[int]) -> dict[int, list[Filed]]:
    """The files of entries, by entry."""
    found: dict[int, list[Filed]] = {}
    if entry_ids:
        rows = session.scalars(
            select(Attachment).where(Attachment.entry_id.in_(entry_ids)).order_by(Attachment.at, Attachment.name)
        )
        for row in rows:
            assert row.entry_id is not None
            found.setdefault(row.entry_id, []).append(Filed(row.id, row.name, row.bytes, row.scan))
    return found


def find(session: Session, case_id: int, file_id: str, *, visible_only: bool) -> Attachment | None:
    """A file of this case; ``visible_only``: of an entry that its customer sees."""
    if not ID.fullmatch(file_id):
        return None
    found = select(Attachment).join(Entry, Entry.id == Attachment.entry_id)
    found = found.where(Attachment.id == file_id, Entry.case_id == case_id)
    if visible_only:
        found = found.where(Entry.visible)
    return session.scalars(found).one_or_none()


def data_of(session: Session, file_id: str) -> IO[bytes]:
    """What a file holds, to be read with or without the transaction; whoever asked closes it."""
    return read_large(session, AttachmentData, file_id)


def next_to_scan(session: Session, *, now: datetime, lease: timedelta) -> str | None:
    """Take the next file that the scanner has not seen; nobody else takes it until the lease is over."""
    file_id = session.scalars(
        select(Attachment.id)
        .where(*_WAITS_FOR_SCAN)
        .order_by(Attachment.scan_at)
        .limit(1)
        .with_for_update(skip_locked=True),
        {"now": now, "ahead": now + lease},
    ).one_or_none()
    if file_id is not None:
        session.execute(update(Attachment).where(Attachment.id == file_id).values(scan_at=now + lease))
    return file_id


def has_to_scan(connection: Connection, *, now: datetime, lease: timedelta) -> bool:
    """Whether ``next_to_scan`` would find one; an empty look costs one index entry."""
    return connection.execute(_ANY_TO_SCAN, {"now": now, "ahead": now + lease}).first() is not None


def note_scan(session: Session, file_id: str, outcome: Scan) -> None:
    """Write down what the scanner said; the first word counts."""
    session.execute(
        update(Attachment)
        .where(Attachment.id == file_id, Attachment.scan == Scan.PENDING)
        .values(scan=outcome, scan_at=None)
    )


def _insert(session: Session, file: File, *, entry_id: int | None, form_key: str | None, now: datetime) -> None:
    """Write a file down; where there is a scanner, it looks at each before anybody opens it."""
    assert file.read is not None
    scanned = config.current().clamd is not None
    insert_row(
        session,
        Attachment,
        id=file.id,
        entry_id=entry_id,
        form_key=form_key,
        at=now,
        name=file.name,
        type=file.type,
        bytes=file.size,
        sha256=file.sha256,
        scan=Scan.PENDING if scanned else Scan.UNSCANNED,
        scan_at=now if scanned else None,
    )
    insert_large(session, AttachmentData, file.id, file.read(), size=file.size)


def _take(session: Session, file: File, entry_id: int) -> bool:
    """Let an entry have a file that was held; False where it is gone."""
    taken = session.execute(
        update(Attachment).where(Attachment.id == file.id, Attachment.entry_id.is_(None)).values(entry_id=entry_id)
    )
    return taken.rowcount == 1  # type: ignore[attr-defined,no-any-return]  # the result of an UPDATE has it


def _delete(session: Session, *which: object) -> None:
    """Delete files with what they hold: first the bytes, because the guard looks at whose they are."""
    ids = select(Attachment.id).where(*which)  # type: ignore[arg-type]  # criteria, as select() takes them
    session.execute(delete(AttachmentData).where(AttachmentData.attachment_id.in_(ids)))
    session.execute(delete(Attachment).where(*which))  # type: ignore[arg-type]  # as above
