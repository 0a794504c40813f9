"""One file a command: settings in, files in the run directory and an answer out."""
