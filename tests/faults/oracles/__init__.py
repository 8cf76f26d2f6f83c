"""What must be true after everything that befell the house: the oracles O1 to O12 of reference/security.md, section 6.

Each says what is wrong, in words; the figures are printed whatever they say. O8 (mail that comes in) has nothing to
look at yet: the product takes none.
"""
