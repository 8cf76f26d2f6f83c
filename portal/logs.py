"""Logs: one line per event, as text or as JSON. No token, no address, no name and no message text is ever written."""

import logging
import sys

import structlog


def set_up(form: str) -> None:
    """Send every log line of the process to standard error, in the form ``text`` or ``json``."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    last: structlog.typing.Processor = (
        structlog.processors.JSONRenderer() if form == "json" else structlog.dev.ConsoleRenderer(colors=False)
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    sink = logging.StreamHandler(sys.stderr)
    sink.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                _without_message_of_faults,
                last,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [sink]
    root.setLevel(logging.INFO)
    for talkative in ("mail.log", "mail.debug", "alembic", "asyncio"):
        # The local mailbox's SMTP dialogue holds addresses; Alembic announces every look at the schema.
        logging.getLogger(talkative).setLevel(logging.WARNING)


def _without_message_of_faults(_: object, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Keep where a fault happened, drop what it says: a driver's message quotes rows, an SMTP reply an address."""
    fault = event.pop("exc_info", None)
    if fault is True:  # structlog's own log.exception() leaves looking to us
        fault = sys.exc_info()
    if isinstance(fault, BaseException):
        fault = (type(fault), fault, fault.__traceback__)
    if isinstance(fault, tuple) and fault[0] is not None:
        event.update(place_of(fault[1]))
    return event


def place_of(fault: BaseException) -> dict[str, str]:
    """What may be told of a fault: its kind, and file and line where it happened."""
    place = fault.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    told = {"fault": type(fault).__name__}
    if place is not None:
        told["at"] = f"{place.tb_frame.f_code.co_filename.rpartition('/')[2]}:{place.tb_lineno}"
    return told
