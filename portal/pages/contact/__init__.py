"""The contact form and the thank-you page: the way in, without a cookie."""

from portal.pages.contact.views import bp

__all__ = ["bp"]
