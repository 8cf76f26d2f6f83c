"""The worker: delivers letters and does what is due, one item at a time."""
