"""An analysis: a kind and its settings. The store gives it back if it is there; else it is computed, and kept beside.

Command, report, explorer and notebook all ask `get`; none computes by itself.
"""

from __future__ import annotations

import dataclasses
import html
import io
import shlex
import time
from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import torch

from glassnet.console import printable, say, say_once
from glassnet.devices import choose_device, code_digest, versions
from glassnet.errors import InputError, OtherDataError
from glassnet.run.codec import decode, encode
from glassnet.run.store import Entry, FigureWords, Plot, Store, slug
from glassnet.subject import Subject

Precision = Literal["fp32", "bf16"]


@dataclass(frozen=True)
class Context:
    """What an analysis is computed with, and what does not change what it finds.

    Attributes:
        device: Where to compute.
        data_root: Folder of the data sets.
        batch_size: Images per forward pass, at most.
        memory: What was read or predicted already, for further analyses of one call.
        figures: Whether what is made gets figures; the explorer, which draws its own, makes browsed entries without.
    """

    device: torch.device = field(default_factory=lambda: choose_device("auto"))
    data_root: Path | None = None
    batch_size: int = 512
    memory: dict[Any, Any] = field(default_factory=dict)
    figures: bool = True

    def once(self, key: Any, make: Callable[[], Any]) -> Any:
        """Return what was made under this key before, or make it."""
        if key not in self.memory:
            self.memory[key] = make()
        return self.memory[key]


@dataclass(frozen=True)
class Kind:
    """One kind of analysis.

    Attributes:
        name: Folder below analyses/.
        request: Dataclass of its settings, all of which change what is found.
        result: Type of what is found, for a subject.
        compute: Finds it.
        words: What the name of an entry is made of.
        plots: Its figures.
        made_of: Digests of all that it is made of.
        resolve: Fills in settings that are left open.
        elsewhere: Whether what is asked is of other images than the subject's own, such as own photographs.
        tables: Text files beside it by name, such as predictions.csv.
        about: What is recorded with it, and found by nobody: which images, and what open settings came to.
        packages: Whose versions are recorded.
        code: Packages of glassnet whose source is digested.
    """

    name: str
    request: type
    result: Callable[[Subject], type]
    compute: Callable[[Subject, Any, Context], Any]
    words: Callable[[Subject, Any], Iterable[str]]
    plots: Callable[[Subject, Any, Any, Context], Iterable[Plot]]
    made_of: Callable[[Subject, Any, Context], Mapping[str, Any]]
    resolve: Callable[[Subject, Any], Any] = lambda _subject, request: request
    elsewhere: Callable[[Any], bool] = lambda _request: False
    tables: Callable[[Subject, Any, Any, Context], Mapping[str, str]] = lambda _subject, _request, _result, _context: {}
    about: Callable[[Subject, Any, Any, Context], Mapping[str, Any]] = lambda _subject, _request, _result, _context: {}
    packages: tuple[str, ...] = ("torch", "numpy")
    code: tuple[str, ...] = ("analysis", "models", "tasks")


@dataclass(frozen=True)
class Analysis:
    """The result of an analysis, and where it is kept.

    Attributes:
        kind: The name of its kind.
        request: The settings, with all defaults filled in.
        result: The result: a frozen dataclass.
        entry: Where it is kept; None if the subject keeps no analyses.
        plots: Its figures, if it is not kept.
    """

    kind: str
    request: Any
    result: Any
    entry: Entry | None = None
    plots: tuple[Plot, ...] = ()

    @property
    def name(self) -> str:
        """KIND/NAME, as `glassnet analyses` lists it."""
        return f"{self.kind}/{self.entry.name}" if self.entry else self.kind

    @property
    def figures(self) -> tuple[FigureWords, ...]:
        """The titles and captions of the figures."""
        return self.entry.figures if self.entry else tuple(plot.words for plot in self.plots)

    def __repr__(self) -> str:
        """Say in one line what was found."""
        return f"Analysis({self.name}: {self.result!r})"

    def _repr_html_(self) -> str:
        """Show in a notebook what was found, and its first figure."""
        picture, text = self._first_picture(), html.escape(repr(self))
        shown = f'<br><img alt="" src="data:image/png;base64,{b64encode(picture).decode()}">' if picture else ""
        return f"<div>{text}{shown}</div>"

    def _first_picture(self) -> bytes:
        """Return its first figure as PNG; nothing where there is none."""
        if self.entry is not None:
            files = [self.entry.figure_file(words.name, "png") for words in self.figures]
            return files[0].read_bytes() if files and files[0].is_file() else b""
        written = io.BytesIO()
        for plot in self.plots[:1]:
            plot.figure.savefig(written, format="png")
        return written.getvalue()

    def to_json(self) -> dict[str, Any]:
        """Return settings and result as JSON values; arrays are named, and lie in the entry."""
        document, _ = encode(self.result)
        place = {"analysis": self.name, "path": str(self.entry.path)} if self.entry else {"analysis": self.kind}
        return {**place, "settings": encode(self.request)[0], **document}


def get(
    kind: Kind,
    subject: Subject,
    request: Any,
    *,
    context: Context | None = None,
    name: str | None = None,
    figures: bool = True,
) -> Analysis:
    """Return an analysis: the one that is kept, if there is one of these settings, else a new one.

    Args:
        kind: What is asked.
        subject: Of what.
        request: The kind's settings.
        context: Where and with what to compute.
        name: Name of a new entry; short words of its settings if not given.
        figures: Whether it gets figures. Without, a new entry is "browsed", as are those that it needs: reports leave
            it out, until it is asked for with figures, which are then drawn.

    Raises:
        InputError: As the kind's `compute` says, or the name is taken by another analysis.
    """
    context, request = context or Context(), kind.resolve(subject, request)
    if context.figures and not figures:
        context = dataclasses.replace(context, figures=False)
    context.memory[("subject", id(subject))] = subject  # alive as long as what is remembered by its id
    store = subject.store
    if store is None:
        return _computed(kind, subject, request, context)
    settings, made_of = encode(request)[0], dict(kind.made_of(subject, request, context))
    entry = store.find(kind.name, settings, made_of, earlier=not subject.data_changed)
    if entry is not None:
        _say_other_code(kind, entry, store)
        if entry.browsed and context.figures and store.writable:
            entry = _completed(kind, subject, request, context, store, entry, name)
        if name not in (None, entry.name):
            names = f"{kind.name}/{entry.name} {shlex.quote(name)}"
            say(
                f"{kind.name}/{entry.name} already has these settings; to rename it: `{_listing(store)} --rename "
                f"{names}`."
            )
        return load(kind, subject, entry)
    if not store.writable:
        context.once(
            ("read-only", store.folder), lambda: say(f"{store.folder} is read-only, so the analyses are not saved.")
        )
        return _computed(kind, subject, request, context)
    if name is not None:
        store.check_free(kind.name, name)
    result = _make(kind, subject, request, context, store, name, settings, made_of)
    made = store.find(kind.name, settings, made_of, earlier=not subject.data_changed)
    assert made is not None
    return Analysis(kind.name, request, result, made)


def _completed(
    kind: Kind, subject: Subject, request: Any, context: Context, store: Store, entry: Entry, name: str | None
) -> Entry:
    """Draw the figures of an entry that was made without; it takes the name that is asked for, having none yet."""
    if name not in (None, entry.name):
        store.check_free(kind.name, str(name))
    result = load(kind, subject, entry).result
    with store.complete(entry) as draft:
        for plot in kind.plots(subject, request, result, context):
            draft.save_plot(plot)
    current = f"{kind.name}/{entry.name}"
    return store.rename(current, name) if name not in (None, entry.name) else store.entry(current)


def _make(
    kind: Kind,
    subject: Subject,
    request: Any,
    context: Context,
    store: Store,
    name: str | None,
    settings: Mapping[str, Any],
    made_of: Mapping[str, Any],
) -> Any:
    """Compute an analysis, write its entry, and return its result."""
    started = time.perf_counter()
    result = kind.compute(subject, request, context)
    document, arrays = encode(result)
    words = name or slug(list(kind.words(subject, request)))
    with store.draft(kind.name, words, chosen=name is not None) as draft:
        draft.save_arrays(arrays)
        for plot in kind.plots(subject, request, result, context) if context.figures else ():
            draft.save_plot(plot)
        for file, text in kind.tables(subject, request, result, context).items():
            draft.save_text(file, text)
        draft.document.update(
            subject=_about(subject),
            settings=settings,
            made_of=made_of,
            **kind.about(subject, request, result, context),
            versions=versions(*kind.packages),
            code=code_digest(*kind.code),
            made=datetime.now().astimezone().isoformat(timespec="microseconds"),
            seconds=round(time.perf_counter() - started, 3),
            **({} if context.figures else {"browsed": True}),
            result=document,
        )
    return result


def _about(subject: Subject) -> dict[str, Any]:
    """Name the subject of an entry; JSON in UTF-8 holds no half character."""
    return {
        "name": printable(subject.name, lines=False),
        "task": subject.task.name,
        "data": None if subject.data is None else printable(str(subject.data), lines=False),
        **({"data_changed": subject.data_changed} if subject.data_changed else {}),
        **({} if subject.run is None else {"weights": (subject.run.manifest.get("weights") or {}).get("digest")}),
        **({"reference": dict(subject.reference)} if subject.reference else {}),
    }


def _computed(kind: Kind, subject: Subject, request: Any, context: Context) -> Analysis:
    """Compute an analysis that is not kept, once for a context."""

    def compute() -> Analysis:
        result = kind.compute(subject, request, context)
        plots = tuple(kind.plots(subject, request, result, context)) if context.figures else ()
        return Analysis(kind.name, request, result, None, plots)

    key = ("computed", kind.name, id(subject), context.figures, str(encode(request)[0]))
    analysis: Analysis = context.once(key, compute)
    return analysis


def is_stored(kind: Kind, subject: Subject, request: Any, context: Context) -> bool:
    """Tell whether an analysis is there already."""
    if subject.store is None:
        return False
    request = kind.resolve(subject, request)
    made_of = dict(kind.made_of(subject, request, context))
    earlier = not subject.data_changed
    return subject.store.find(kind.name, encode(request)[0], made_of, earlier=earlier) is not None


def is_current(kind: Kind, subject: Subject, analysis: Analysis, context: Context) -> bool:
    """Tell whether an analysis that is kept is of the model and the images as they are now.

    Where its images cannot be read, it counts as current unless it says itself that they had changed. Other images than
    the subject's own are not read again, and may be gone: they are named, and only the model is compared.

    Raises:
        OtherDataError: The run's data are others than it was trained on.
    """
    entry = analysis.entry
    if entry is None:
        return True
    try:
        if kind.elsewhere(analysis.request):
            return entry.elsewhere is not None or entry.made_of.get("model") == subject.weights_digest
        made_of = dict(kind.made_of(subject, analysis.request, context))
    except OtherDataError:
        raise
    except InputError:
        described = entry.document.get("subject")
        return not (isinstance(described, Mapping) and described.get("data_changed"))
    return not subject.data_changed if entry.elsewhere else dict(entry.made_of) == made_of


def load(kind: Kind, subject: Subject, entry: Entry) -> Analysis:
    """Read an analysis that is kept.

    Raises:
        InputError: It is damaged.
    """
    result: Any = decode(kind.result(subject), entry.result, entry.arrays, source=entry.file, again=entry.again)
    known = {one.name for one in dataclasses.fields(kind.request)}
    settings = {key: value for key, value in entry.settings.items() if key in known}
    request: Any = decode(kind.request, settings, {}, source=entry.file, again=entry.again)
    return Analysis(kind.name, request, result, entry)


def _listing(store: Store) -> str:
    """Return the command that lists, renames and removes what is kept."""
    return f"glassnet analyses {shlex.quote(str(store.folder))}"


def _say_other_code(kind: Kind, entry: Entry, store: Store) -> None:
    """Say where another version of glassnet made what is given back."""
    if entry.document.get("code") != code_digest(*kind.code):
        say_once(
            f"{kind.name}/{entry.name} was made by another version of glassnet; remove it with `{_listing(store)} "
            f"--remove {kind.name}/{entry.name}` and it will be made again."
        )
