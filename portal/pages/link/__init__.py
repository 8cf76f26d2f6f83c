"""Asking for the link again: the same answer, whoever asks."""

from portal.pages.link.views import bp

__all__ = ["bp"]
