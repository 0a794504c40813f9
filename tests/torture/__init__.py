"""`make torture`: kills, full disks, folders that may not be written, two writers, and mutated files of every kind."""
