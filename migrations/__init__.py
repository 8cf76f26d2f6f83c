"""Migrations: numbered sentences, one set for both databases."""
