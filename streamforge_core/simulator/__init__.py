"""The exchanges on loopback, written from their documents alone: the oracle of the tests."""
