"""Durchwahl: contact forms that answer with a named person, a direct line and a date."""
