"""The web server: gunicorn, chosen over granian because a killed worker is replaced while the others go on.

Its access log stays off: a request line would carry the secret of a status link. So does its control socket, which it
would put into the home folder of whoever runs it.
"""

import errno
import logging
import socket
from typing import Any

from flask import Flask
from gunicorn.app.base import BaseApplication

from portal import logs
from portal.app import create_app
from portal.listening import ListeningWorker

THREADS = 4


class NoPort(Exception):
    """The address to serve at cannot be had; the text is one sentence."""


class Server(BaseApplication):
    """gunicorn, configured in code."""

    def __init__(self, options: dict[str, Any]) -> None:
        self._options = options
        super().__init__()

    def load_config(self) -> None:
        """Hand our options over."""
        for name, value in self._options.items():
            self.cfg.set(name, value)

    def load(self) -> Flask:
        """The application, made in each worker after the fork: no database connection crosses it."""
        return create_app()


def serve(*, host: str, port: int, workers: int) -> None:
    """Serve until SIGTERM or SIGINT; requests under way are completed. Raises NoPort before anything is started."""
    _must_be_free(host, port)
    # On the logger itself and before the workers are forked: a worker that fails to start says so too.
    logging.getLogger("gunicorn.error").addFilter(_without_what_was_said)
    Server(
        {
            "bind": f"[{host}]:{port}" if ":" in host else f"{host}:{port}",
            "workers": workers,
            "threads": THREADS,
            "worker_class": ListeningWorker,
            "sendfile": False,  # it would wait for the reader, and overtake what is kept (``answers``)
            "keepalive": 5,
            "timeout": 60,
            "graceful_timeout": 20,
            "limit_request_line": 4094,
            "forwarded_allow_ips": "",  # whose word counts, PORTAL_TRUSTED_PROXIES says
            "control_socket_disable": True,
            "accesslog": None,
            "errorlog": "-",
            "loglevel": "warning",
        }
    ).run()


def _must_be_free(host: str, port: int) -> None:
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise NoPort(f"Port {port} is in use: choose another with --port.") from error
        raise NoPort(
            f"Port {port} at {host} cannot be had ({type(error).__name__}): choose others with --host and --port."
        ) from error


def _without_what_was_said(record: logging.LogRecord) -> bool:
    """Keep request lines and faults' texts out of gunicorn's messages: a text may quote a row or an address."""
    if "Invalid request" in str(record.msg) or "Error handling request" in str(record.msg):
        record.msg, record.args = "A request was refused or failed.", ()
    fault = record.exc_info[1] if record.exc_info else None
    if fault is not None:
        told = " at ".join(logs.place_of(fault).values())
        record.msg, record.args = f"{record.getMessage()} ({told})", ()
    record.exc_info = record.exc_text = record.stack_info = None
    return True
