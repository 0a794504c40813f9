"""Decoded images of more than memory takes: rows in files of at most 1 GiB, an index of what they were made from."""
