"""Promises: what the customer was told, by which medium and by when."""
