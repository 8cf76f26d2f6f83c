"""`python -m portal` is `durchwahl`."""

from portal.commands import main

main()
