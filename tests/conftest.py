"""What all tests share: one thread a process, no network, jaxtyping's shapes checked by beartype."""

import os

# Set before torch is loaded: test processes share few cores, and spinning threads starve each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["GLASSNET_OFFLINE"] = "1"
os.environ.pop("COLUMNS", None)

from jaxtyping import install_import_hook

# The packages whose signatures carry array shapes.
_SHAPED = ("data", "models", "tasks", "embedding", "attribution", "denoising", "figures")
install_import_hook([f"glassnet.{package}" for package in _SHAPED], "shapes.check")
