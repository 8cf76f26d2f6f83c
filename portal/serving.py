"""The web server: gunicorn, chosen over granian because a killed worker is replaced while the others go on.

Its access log stays off: a request line would carry the secret of a status link. So does its control socket, which it
would put into the home folder of whoever runs it.
"""

import logging
from typing import Any

from flask import Flask
from gunicorn.app.base import BaseApplication

from portal.app import create_app

THREADS = 4


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
    """Serve until SIGTERM or SIGINT; requests under way are completed."""
    Server(
        {
            "bind": f"{host}:{port}",
            "workers": workers,
            "threads": THREADS,
            "worker_class": "gthread",
            "keepalive": 5,
            "timeout": 60,
            "graceful_timeout": 20,
            "limit_request_line": 4094,
            "forwarded_allow_ips": "127.0.0.1,::1",
            "control_socket_disable": True,
            "accesslog": None,
            "errorlog": "-",
            "loglevel": "warning",
            "post_worker_init": _quieten,
        }
    ).run()


def _quieten(_: object) -> None:
    """Keep request lines out of gunicorn's own messages: "Invalid request" quotes the address."""
    logging.getLogger("gunicorn.error").addFilter(_without_request_lines)


def _without_request_lines(record: logging.LogRecord) -> bool:
    if "Invalid request" in str(record.msg) or "Error handling request" in str(record.msg):
        record.msg, record.args = "A request was refused or failed.", ()
    return True
