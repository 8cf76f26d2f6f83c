"""The letters we write: built, kept in the outbox, handed to the relay."""
