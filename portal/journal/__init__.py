"""The journal: every contact on every channel and every change, append-only."""
