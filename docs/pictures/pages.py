"""Make the pictures of pages by the code that stands beside them: follow the page, and take what it saves.

    python docs/pictures/pages.py          # start.md, on the data as they are: a minute

A page shows pictures/NAME.png, and one of its blocks saves NAME.png.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

DOCS = Path(__file__).parents[1]
PAGES = ("start.md",)

sys.path.insert(0, str(DOCS / "site"))


def main() -> None:
    """Follow each page in an empty folder, and copy its pictures."""
    from follow import follow

    for name in PAGES:
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            follow(DOCS / name)
            for picture in Path(folder).glob("*.png"):
                shutil.copy(picture, DOCS / "pictures" / picture.name)
                print(f"{name}: {picture.name}")
            os.chdir(DOCS)


if __name__ == "__main__":
    main()
