"""What whoever runs the program asks: alive, ready, figures. No personal data, no version."""

from datetime import datetime

from flask import Blueprint, Response, jsonify, request
from prometheus_client import CollectorRegistry, Gauge, generate_latest
from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from portal import clock, db, heartbeat, schema
from portal.cases import reconciling
from portal.cases.models import Case
from portal.mail.models import Letter, LetterState

bp = Blueprint("operation", __name__)


@bp.get("/healthz")
def healthz() -> Response:
    """200 while the process lives."""
    return jsonify(alive=True)


@bp.get("/readyz")
def readyz() -> tuple[Response, int]:
    """200 or 503: database, schema, guards; with ``?worker=1`` also the worker and the oldest waiting letter.

    A dead worker must not take the form offline, so only those who ask for it hear of it.
    """
    now = clock.utc_now()
    try:
        found: dict[str, object] = {
            "database": True,
            "schema": schema.present(db.db.engine) == schema.newest(),
            "guards": not schema.guards_missing(db.db.engine),
        }
        if request.args.get("worker") == "1":
            with db.transaction() as session:
                found["worker"] = not heartbeat.is_dead(session, now=now)
                found["oldest_letter_seconds"] = _oldest_letter(session, now)
    except SQLAlchemyError:
        found = {"database": False}
    ready = all(bool(value) for name, value in found.items() if name != "oldest_letter_seconds")
    return jsonify(ready=ready, **found), 200 if ready else 503


@bp.get("/metrics")
def metrics() -> Response:
    """Figures computed at the moment of asking, in Prometheus text."""
    registry = CollectorRegistry()
    cases = Gauge("durchwahl_cases", "Cases by state", ["state"], registry=registry)
    letters = Gauge("durchwahl_letters", "Letters by state", ["state"], registry=registry)
    oldest = Gauge("durchwahl_oldest_letter_seconds", "Age of the oldest due letter", registry=registry)
    disorders = Gauge(
        "durchwahl_disorders", "Disorders mended within a day; should be 0", ["disorder"], registry=registry
    )
    beat = Gauge("durchwahl_worker_beat_timestamp_seconds", "Last sign of life of a worker", registry=registry)
    with db.transaction() as session:
        for state, count in session.execute(select(Case.state, func.count()).group_by(Case.state)):
            cases.labels(state).set(count)
        for letter_state, count in session.execute(select(Letter.state, func.count()).group_by(Letter.state)):
            letters.labels(letter_state).set(count)
        oldest.set(_oldest_letter(session, clock.utc_now()))
        for disorder, count in reconciling.counted(session, now=clock.utc_now()).items():
            disorders.labels(disorder).set(count)
        beat_at = heartbeat.last_beat(session)
    beat.set(0 if beat_at is None else beat_at.timestamp())
    return Response(generate_latest(registry), mimetype="text/plain; version=0.0.4")


def _oldest_letter(session: Session, now: datetime) -> float:
    due_at = session.scalars(
        select(Letter.due_at)
        .where(Letter.state == LetterState.QUEUED, Letter.due_at <= now)
        .order_by(Letter.due_at)
        .limit(1)
    ).first()
    return 0.0 if due_at is None else (now - due_at).total_seconds()
