"""What is known of a data set before it is read: an entry of the registry."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from glassnet.data.dataset import Dataset


@dataclass(frozen=True)
class Source:
    """Where a data set comes from and how to get it.

    Attributes:
        summary: What it is, in a few words.
        load: Reads it, given the folder that holds the data sets and the image size in pixels (None: its own); files
            that are damaged or not the expected ones are refused, so that what loads is also verified. That of a user's
            own path also takes `skip_damaged` and `task`, by name.
        find: Tells where its files are, given the same folder; None if one is missing.
        needs: What is missing where `find` says None: the command that gets it.
        tasks: What can be learned on it, first what is learned where neither task nor model is named.
        tasks_at: The same for a user's own path, where it depends on what lies there.
        fetch: Downloads the missing files into the same folder; None where there is nothing to download.
        classes: Number of classes, if it is known without reading.
        channels: Channels of an image, if known.
        image_size: Height and width in pixels, if known.
        train: Number of training images, if known.
        test: Number of test images, if known.
    """

    summary: str
    load: Callable[..., Dataset]
    find: Callable[[Path], Path | None]
    needs: str
    tasks: tuple[str, ...] = ("classification",)
    tasks_at: Callable[[Path], tuple[str, ...]] | None = None
    fetch: Callable[[Path], None] | None = None
    classes: int | None = None
    channels: int | None = None
    image_size: int | None = None
    train: int | None = None
    test: int | None = None

    def learnable(self, where: Path) -> tuple[str, ...]:
        """Return what can be learned on what lies at a path, the usual task first."""
        return self.tasks if self.tasks_at is None else self.tasks_at(where)
