"""A driven company life: the real code, a driven clock, and what comes of the promises (DESIGN.md section 8)."""
