"""People: who answers, where they work, and who stands in while they are away."""
