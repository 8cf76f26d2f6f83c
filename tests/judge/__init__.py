"""The independent judge of a simulated company life.

It reads what a customer and an onlooker could have seen — the letters in the sink, the status pages as they were
fetched, and the driver's plan (who wrote, who was away, what was answered and called when) — and computes the figures
of the simulation once more. It knows no table of the program and imports nothing of it.
"""

from tests.judge.figures import judge

__all__ = ["judge"]
