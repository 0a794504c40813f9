"""The data sets: one file per set, each with its `Source`."""
