"""Benchmarks: ratios in one run, against limits measured in the same run (DESIGN.md section 7). Never a timed test."""
