"""Cases: one tracked request each, and the whole steps of the flow."""
