"""The local mailbox of ``durchwahl run``: letters come in by real SMTP, are kept as files, and can be read here."""
