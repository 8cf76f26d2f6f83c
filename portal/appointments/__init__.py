"""Appointments: when a person can be talked to, and what was agreed."""
