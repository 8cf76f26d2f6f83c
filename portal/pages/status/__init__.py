"""The customer's page behind the signed link, and everything the customer can do there."""

from portal.pages.status.views import bp

__all__ = ["bp"]
