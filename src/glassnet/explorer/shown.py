"""A subject that is shown: it is opened when it is first needed, and watched while it is shown."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from glassnet.errors import GlassnetError
from glassnet.explorer.described import Basics, PartName, describe, of_manifest, views_of
from glassnet.explorer.jobs import Queue
from glassnet.explorer.schemas import SubjectInfo, SubjectSummary
from glassnet.run.directory import RunDirectory
from glassnet.run.store import Store

if TYPE_CHECKING:
    from torch import Tensor

    from glassnet.analysis import Analysis, Context
    from glassnet.data import Split
    from glassnet.explorer.pixels import Scale
    from glassnet.subject import Subject

Stamp = tuple[tuple[int, int, int], ...]
REMEMBERED = 4
"""Things that `OpenSubject.once` keeps."""
T = TypeVar("T")
Kind = Literal["run", "unfinished", "network"]


class Refusal(GlassnetError):  # noqa: N818
    """What a page is refused, with the status of the answer."""

    def __init__(self, status: int, sentence: str) -> None:
        """Take the status, as in 404, and the sentence."""
        super().__init__(sentence)
        self.status = status


class ImagePart:
    """A part of a subject's images: where each number lies, and the pixels as a page shows them."""

    def __init__(self, name: PartName, split: Split) -> None:
        """Take the part."""
        self.name, self.split = name, split
        self.digest: str | None = None

    @cached_property
    def numbers(self) -> Any:
        """Stable number of each image, int32 (n,)."""
        return self.split.numbers.numpy().astype("int32")

    @cached_property
    def _places(self) -> dict[int, int]:
        return {number: place for place, number in enumerate(self.numbers.tolist())}

    @cached_property
    def scale(self) -> Scale:
        """How pixels as they are shown and as the model takes them become each other."""
        from glassnet.explorer.pixels import Scale

        return Scale.of(self.split)

    def place(self, number: int) -> int:
        """Return the place of an image in the part.

        Raises:
            Refusal: There is no image of this number.
        """
        place = self._places.get(number)
        if place is None:
            raise Refusal(404, f"there is no {self.name} image {number}; reload the page if the data have changed.")
        return place

    def images(self, places: Sequence[int]) -> Tensor:
        """Return images as the model takes them, (n, channel, height, width)."""
        import torch

        return self.split.take(torch.tensor(list(places), dtype=torch.int64))[0]


class OpenSubject:
    """A subject that is shown: what is known of it, its queue of work, and how to get at model and images.

    Attributes:
        id: Its name in addresses.
        name: What the page calls it.
        path: Folder of the run; None for a network.
        queue: The work that is asked of it.
        made_of: Digests of model and images by part, as entries have them; {} until they are known.
    """

    def __init__(
        self,
        subject_id: str,
        *,
        path: Path | None = None,
        subject: Subject | None = None,
        data_root: Path | None = None,
        device: str = "auto",
    ) -> None:
        """Take the path of a run, or a subject."""
        self.id, self.path, self.device = subject_id, path, device
        self.name = subject.name if subject is not None else path.resolve().name if path else subject_id
        self.queue = Queue()
        self._subject, self._data_root = subject, data_root
        self._opened = threading.RLock()
        self.made_of: dict[PartName, Mapping[str, Any]] = {}
        self._remembering = threading.Lock()
        self._recent: OrderedDict[Any, Any] = OrderedDict()
        self._manifest: Any = None
        self.problem = ""
        self.stamp: Stamp = ()
        self._parts: dict[PartName, ImagePart] = {}
        self.refresh()

    def refresh(self) -> None:
        """Look anew at what lies at the path; a run that is not finished, or cannot be read, says so."""
        if self.path is None:
            return
        self.stamp, self.problem, self._manifest = stamp_of(self.path), "", None
        try:
            self._manifest = RunDirectory.open(self.path).manifest
        except GlassnetError as error:
            self.problem = "" if self.kind == "unfinished" else str(error)

    @property
    def kind(self) -> Kind:
        """A finished run, one that is not finished, or a network with images."""
        if self.path is None:
            return "network"
        return "unfinished" if self.stamp == () and is_unfinished(self.path) else "run"

    @property
    def is_loaded(self) -> bool:
        """Whether the data have been read."""
        return bool(self._parts)

    @property
    def data_changed(self) -> str:
        """How the data have changed since the training, in a sentence, once they are loaded; empty where not."""
        return "" if self._subject is None else self._subject.data_changed

    def check(self) -> None:
        """Refuse a run that is not as it was when it was opened.

        Raises:
            Refusal: It was removed, damaged, or trained again.
        """
        if self.path is None:
            return
        if not self.path.is_dir():
            raise Refusal(410, f"the run {self.name} was removed while it was shown; put it back, or close this page.")
        if stamp_of(self.path) != self.stamp:
            raise Refusal(410, f"the run {self.name} has changed since it was opened; reload the page to see it anew.")
        if self.problem:
            raise Refusal(410, self.problem)

    @property
    def subject(self) -> Subject:
        """The subject; a run's is opened when it is first needed.

        Raises:
            Refusal: It has changed meanwhile, or is not finished.
            InputError: It cannot be opened.
        """
        self.check()
        if self.kind == "unfinished":
            raise Refusal(400, f"the run {self.name} is still training; only its training can be shown yet.")
        with self._opened:
            if self._subject is None:
                from glassnet.subject import Subject

                assert self.path is not None
                self._subject = Subject.of_run(self.path, data_root=self._data_root)
            return self._subject

    def part(self, name: PartName) -> ImagePart:
        """Return a part of the images.

        Raises:
            Refusal: The subject has no such part.
            InputError: The data are missing or damaged.
        """
        subject = self.subject
        with self._opened:
            if name not in self._parts:
                if name == "train" and subject.run is None:
                    raise Refusal(404, f"{self.name} has only the images it was given, and no training part.")
                self._parts[name] = ImagePart(name, subject.part(name))
            return self._parts[name]

    @cached_property
    def store(self) -> Store:
        """The analyses of a run."""
        assert self.path is not None
        return Store(self.path)

    def warm(self) -> None:
        """Load torch, the data and the model, and digest them.

        Raises:
            GlassnetError: They cannot be loaded.
        """
        import glassnet.analysis  # noqa: F401  # which takes longest

        self.part("test")
        self.model()
        self.made_of["test"] = self.subject.made_of("test")

    def context(self) -> Context:
        """Return what one piece of work is computed with."""
        from glassnet.analysis import Context
        from glassnet.devices import choose_device

        return Context(choose_device(self.device), self._data_root, figures=False)

    def model(self) -> Any:
        """Return the model on the device where it is used."""
        return self.subject.model(self.context().device)

    def analysis(self, kind: str, **settings: Any) -> Analysis:
        """Return an analysis: the one in the store, or a new one, which is kept there without figures."""
        from glassnet.analysis import KINDS, build_request, get

        subject = self.subject
        return get(KINDS[kind], subject, build_request(kind, settings), context=self.context(), figures=False)

    def version(self) -> int:
        """Return what changes when a network's weights do, as in a notebook that trains it further."""
        if self.path is not None or self._subject is None:
            return 0
        model = self._subject.model()
        return hash(tuple((id(one), one._version) for one in (*model.parameters(), *model.buffers())))

    def once(self, key: Any, make: Callable[[], T]) -> T:
        """Return what was made under this key lately, or make it; only the last few are kept."""
        with self._remembering:
            if key in self._recent:
                self._recent.move_to_end(key)
                known: T = self._recent[key]
                return known
        made = make()  # outside, so that nobody waits for it who asks for something else
        with self._remembering:
            self._recent[key] = made
            while len(self._recent) > REMEMBERED:
                self._recent.popitem(last=False)
        return made

    @property
    def basics(self) -> Basics:
        """What all that is said of it follows from."""
        if self.path is None:
            return self.once(("basics", self.version()), lambda: _of_subject(self.subject))
        self.check()
        if self._manifest is None:
            raise Refusal(400, f"the run {self.name} is still training; only its training can be shown yet.")
        return of_manifest(self._manifest)

    @property
    def manifest(self) -> Any:
        """What run.json says; None where there is none."""
        return self._manifest

    def summary(self) -> SubjectSummary:
        """Return its line in the list of all."""
        if self._manifest is None and self.path is not None:
            return SubjectSummary(
                id=self.id,
                name=self.name,
                kind=self.kind,
                task="",
                model="",
                data=None,
                views=["training"] if self.kind == "unfinished" else [],
                problem=self.problem,
            )
        basics = self.basics
        return SubjectSummary(
            id=self.id,
            name=self.name,
            kind=self.kind,
            task=basics.task,
            model=basics.model,
            data=basics.data,
            views=views_of(basics),
        )

    def info(self) -> SubjectInfo:
        """Return what a page needs at the start."""
        return describe(self.id, self.name, self.kind, self.basics, self.data_changed)


def stamp_of(path: Path) -> Stamp:
    """Return what changes when a run is trained again; () where it is not finished."""
    stamps = []
    for name in ("run.json", "model.safetensors"):
        try:
            about = (path / name).stat()
        except OSError:
            if name == "run.json":
                return ()
            return ((0, 0, 0),)
        stamps.append((about.st_ino, about.st_mtime_ns, about.st_size))
    return tuple(stamps)


def is_unfinished(path: Path) -> bool:
    """Tell whether a training has begun at a path and is not finished."""
    begun = (path / "metrics.jsonl").exists() or (path / "checkpoint").is_dir()
    return begun and not (path / "run.json").exists()


def _of_subject(subject: Subject) -> Basics:
    """Gather the basics of a network with images, or of a run that is given as a subject."""
    from glassnet.errors import InputError as NoTable
    from glassnet.models.layer_table import layer_table

    if subject.run is not None:
        return of_manifest(subject.run.manifest)
    try:
        rows = layer_table(subject.model(), (1, *subject.image_shape))
        layers: list[Any] = [(row.name, row.kind, row.output or ()) for row in rows]
    except NoTable:
        layers = [(name, type(one).__name__, ()) for name, one in subject.model().named_modules() if name]
    return Basics(
        task=subject.task.name,
        model=subject.model_name,
        data=subject.data,
        classes=subject.classes,
        image_shape=subject.image_shape,
        labelled=subject.labelled,
        layers=layers,
        parts={"test": len(subject.part("test"))},
        metrics={},
        is_run=False,
    )
