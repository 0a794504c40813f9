"""The analyses of a run of schema 1 (before version 0.2) as entries, read where they lie; none is ever changed.

    evaluation/<name>.json .npz              <name>: test, train, or those of another data set
    features/<layer>.npz .npy                rows, classes and places of the images drawn
    embeddings/<layer>.json                  the pictures of a layer, <layer>-<picture>.npz their points
    embeddings/comparison/layers.json        the layers compared; cka.json and cka-<run>.json how alike they are
    attributions/<group>.json .npz           maps of a group of images, and how faithful they are
    figures/<name>.json .png .svg            every figure and its words

What the old files do not say of the settings is left out of them, so that such an entry is shown and listed, but not
taken for what is asked for.
"""

from __future__ import annotations

import functools
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glassnet.console import say
from glassnet.errors import InputError
from glassnet.files import read_json, regular
from glassnet.run import legacy_groups, legacy_results
from glassnet.run.entry import Elsewhere, Entry, again

if TYPE_CHECKING:
    import numpy as np

PREFIX = "old-"
"""Begins the names of these entries, so that none has the name of one in analyses/."""
EVALUATION_FIGURES = (
    *("confusion-matrix", "worst-mistakes", "segmentations", "segmentations-ranked", "class-iou"),
    *("reconstructions", "prior-samples", "traversals", "interpolation", "latent-kl"),
)
_DAMAGED = (KeyError, TypeError, ValueError, AttributeError, IndexError, OSError)


@dataclass(frozen=True)
class OldRun:
    """A run of schema 1: its folder and what run.json says."""

    folder: Path
    manifest: Mapping[str, Any]

    def figures(self, names: Iterable[str]) -> list[dict[str, str]]:
        """Return the words of the figures that are there."""
        folder = self.folder / "figures"
        there = [name for name in names if any((folder / f"{name}.{suffix}").exists() for suffix in ("svg", "png"))]
        return [_figure_words(folder / f"{name}.json", name) for name in there]

    def entry(self, kind: str, name: str, source: Path, files: Sequence[Path], **more: Any) -> Entry:
        """Build an entry.

        Args:
            kind: Its kind.
            name: Its name, without the prefix.
            source: The JSON file that it is read from.
            files: What is removed with it, besides its figures.
            more: settings, result, versions, figures (names), arrays (what loads them), within (the entry that it
                shares its files with).
        """
        figures = self.figures(more.get("figures", ()))
        drawn = [self.folder / "figures" / f"{one['name']}.{end}" for one in figures for end in ("json", "svg", "png")]
        made = source.stat().st_mtime
        document = {
            "kind": kind,
            "settings": more["settings"],
            "versions": more.get("versions", {}),
            "made": datetime.fromtimestamp(made).astimezone().isoformat(timespec="microseconds"),
            "result": more["result"],
            "figures": figures,
        }
        elsewhere = Elsewhere(
            run=self.folder,
            files=(*files, *drawn),
            figures=self.folder / "figures",
            load=lambda: _loaded(more["arrays"], self.folder, f"{kind}/{PREFIX}{name}"),
            current=(self.folder / "model.safetensors").stat().st_mtime <= made,
            within=more.get("within", ""),
        )
        return Entry(kind, f"{PREFIX}{name}", source, document, elsewhere)


def old_entries(folder: Path, kind: str | None = None) -> list[Entry]:
    """List the analyses that an earlier version left in a run; those that are damaged are left out, and said once."""
    try:
        manifest = read_json(folder / "run.json")
    except InputError:
        return []
    if not isinstance(manifest, dict) or manifest.get("schema_version") != 1:
        return []
    return [entry for entry in _entries(folder, _signature(folder)) if kind in (None, entry.kind)]


def old_figures(folder: Path) -> Entry | None:
    """Return all figures of an earlier version, also those that no analysis names; None where there are none."""
    names = [file.stem for file in _files(folder, "figures/*.json")]
    if not names or not (folder / "run.json").exists():
        return None
    run = OldRun(folder, {})
    source = folder / "run.json"
    return run.entry("figures", "figures", source, (), settings={}, result=None, figures=names, arrays=dict)


def remove_old(entry: Entry) -> None:
    """Remove the files of an entry, the one that names it first.

    Raises:
        InputError: Others need them, or the disk refuses.
    """
    assert entry.elsewhere is not None
    if entry.elsewhere.within:
        raise InputError(
            f"{entry.kind}/{entry.name} was made by an earlier version and shares files with {entry.elsewhere.within}; "
            "remove that first."
        )
    try:
        for file in entry.elsewhere.files:
            file.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"cannot remove {error.filename} ({error.strerror or error}).") from None


@functools.lru_cache(maxsize=16)
def _entries(folder: Path, _signature: tuple[Any, ...]) -> tuple[Entry, ...]:
    """Read them, once for files that stay as they are."""
    run = OldRun(folder, read_json(folder / "run.json"))
    return (
        *_read(run, "evaluation/*.json", _evaluation),
        *_read(run, "embeddings/*.json", _embeddings),
        *_read(run, "embeddings/comparison/layers.json", _layers),
        *_attributions(run),
    )


def _signature(folder: Path) -> tuple[Any, ...]:
    patterns = ("run.json", "model.safetensors", "evaluation/*", "features/*", "embeddings/*", "embeddings/*/*")
    files = [file for pattern in (*patterns, "attributions/*", "figures/*") for file in _files(folder, pattern)]
    return tuple((str(file), file.stat().st_mtime_ns, file.stat().st_size) for file in files)


def _files(folder: Path, pattern: str) -> list[Path]:
    return sorted(file for file in folder.glob(pattern) if not file.name.startswith("."))


def _read(run: OldRun, pattern: str, make: Callable[[OldRun, Path, Any], Iterable[Any]]) -> Iterator[Any]:
    """Read the files of a pattern; one that is damaged is left out, and said."""
    for file in _files(run.folder, pattern):
        try:
            yield from list(make(run, file, read_json(file)))
        except InputError as error:
            say(f"left out: {error}")
        except _DAMAGED as error:
            say(f"left out: {file} is damaged ({type(error).__name__}: {error}); an earlier version made it.")


def _evaluation(run: OldRun, file: Path, record: Mapping[str, Any]) -> Iterator[Entry]:
    name, arrays = file.stem, file.with_suffix(".npz")
    suffix = "" if name == "test" else f"-{name}"
    settings = {
        "split": record["split"],
        "data": None if name in ("test", "train") else record["data"],
        "flip": "flipped" in record,
        "precision": record["precision"],
    }
    yield run.entry(
        "evaluation",
        name,
        file,
        (file, arrays),
        settings=settings,
        versions=record["versions"],
        result=legacy_results.evaluation(record, _names(arrays)),
        figures=[f"{one}{suffix}" for one in EVALUATION_FIGURES],
        arrays=lambda: _arrays(arrays),
    )


def _embeddings(run: OldRun, file: Path, record: Mapping[str, Any]) -> Iterator[Entry]:
    """The features of a layer, and each picture of them; the file of all goes with the features."""
    layer, rows = record["layer"], run.folder / "features" / f"{record['layer']}.npz"
    whole = run.folder / "features" / f"{layer}.npy"
    common = {key: record[key] for key in ("layer", "split", "seed", "precision")}
    common["images"] = legacy_results.images_asked(run.manifest, record["images"], record["split"])
    pictures = [one for one in record["pictures"] if (file.parent / f"{layer}-{one['name']}.npz").exists()]
    scree: Mapping[str, Any] = record.get("scree") or {}
    for one in pictures:
        points = file.parent / f"{layer}-{one['name']}.npz"
        first = scree and one is next((each for each in pictures if each["method"] == "pca"), None)
        components = scree["explained_variance"] if first else None
        yield run.entry(
            "embedding",
            f"{layer}-{one['name']}",
            file,
            (points,),
            settings=common | legacy_results.embedding_settings(run.manifest, one, record["images"]),
            versions=record["versions"],
            result=legacy_results.embedding(record, one, components),
            figures=[one["figure"], *([scree["figure"]] if first else [])],
            arrays=functools.partial(_points, points, rows, components),
        )
    if rows.exists():
        last = pictures[-1]["name"] if pictures else ""
        yield run.entry(
            "features",
            layer,
            file,
            (rows, whole, file),
            settings=common,
            versions=record["versions"],
            result=legacy_results.features(layer),
            arrays=lambda: _rows(rows, whole),
            within=f"embedding/{PREFIX}{layer}-{last}" if last else "",
        )


def _layers(run: OldRun, file: Path, record: Mapping[str, Any]) -> Iterator[Entry]:
    read = _read(run, "embeddings/comparison/cka*.json", lambda _run, one, document: [(one, document)])
    aligned = sorted(read, key=lambda pair: str(pair[1]["against"] or ""))
    yield run.entry(
        "layers",
        "layers",
        file,
        (file, *(one for one, _ in aligned)),
        settings=legacy_results.layers_settings(run.manifest, record),
        versions=record["versions"],
        result=legacy_results.layers(record, [document for _, document in aligned]),
        figures=[record["figure"], *(document["figure"] for _, document in aligned)],
        arrays=lambda: _as_arrays(legacy_results.matrices([document for _, document in aligned])),
    )


def _attributions(run: OldRun) -> Iterator[Entry]:
    """Each group of images, the right and the wrong ones of one call together; their faithfulness apart."""

    def group(_run: OldRun, file: Path, record: Mapping[str, Any]) -> list[legacy_groups.OldGroup]:
        title = _figure_words(run.folder / "figures" / f"explain-{file.stem}.json", file.stem)["title"]
        return [legacy_groups.read_group(record, _names(file.with_suffix(".npz")), title, run.manifest)]

    files = run.folder / "attributions"
    for name, groups in legacy_groups.joined(list(_read(run, "attributions/*.json", group))).items():
        own = [files / f"{one.name}.{end}" for one in groups for end in ("json", "npz")]
        drawn = {one.name: list(one.figures) for one in groups}
        settings = legacy_groups.attribution_settings(run.manifest, groups)
        measured = all(one.measured for one in groups)
        faithful = [figure for one in groups for figure in drawn[one.name][1:]] if measured else []
        common = {"settings": settings, "versions": groups[0].versions}
        yield run.entry(
            "attribution",
            name,
            own[0],
            (*own, *(files.parent / "figures" / f"{one}.{end}" for one in faithful for end in ("json", "svg", "png"))),
            **common,
            result=legacy_groups.attribution(groups),
            figures=[drawn[one.name][0] for one in groups],
            arrays=functools.partial(_maps, files, groups),
        )
        if measured:
            yield run.entry(
                "faithfulness",
                name,
                own[0],
                (),
                **common | {"settings": {"attribution": settings, "seed": 0}},
                result=legacy_groups.faithfulness(f"attribution/{PREFIX}{name}", groups),
                figures=faithful,
                arrays=functools.partial(_as_arrays, legacy_groups.faithfulness_arrays(groups)),
                within=f"attribution/{PREFIX}{name}",
            )


def _figure_words(file: Path, name: str) -> dict[str, str]:
    try:
        words = read_json(file)
        return {"name": name, **{key: str(words[key]) for key in ("title", "alt", "caption")}}
    except (InputError, *_DAMAGED):  # the figure itself may well be whole
        return {"name": name, "title": name, "alt": f"The figure {name}."}


def _names(file: Path) -> list[str]:
    """List the arrays of a file; only its directory is read."""
    try:
        with zipfile.ZipFile(file) as opened:
            return [name.removesuffix(".npy") for name in opened.namelist()]
    except (OSError, zipfile.BadZipFile) as error:
        raise InputError(f"{file} is damaged ({error}); an earlier version made it.") from None


def _loaded(load: Callable[[], Mapping[str, np.ndarray]], run: Path, name: str) -> Mapping[str, np.ndarray]:
    try:
        return load()
    except InputError as error:
        raise InputError(f"{error}; {again(run, name)}") from None


def _arrays(file: Path, *wanted: str) -> dict[str, np.ndarray]:
    import numpy as np

    try:
        with regular(file).open("rb") as opened, np.load(opened, allow_pickle=False) as read:
            return {key: read[key] for key in wanted or read.files}
    except Exception as error:  # zip, zlib and NumPy each raise their own on damaged bytes
        raise InputError(f"{file} is damaged ({error})") from None


def _as_arrays(values: Mapping[str, Any]) -> dict[str, np.ndarray]:
    import numpy as np

    return {key: np.asarray(value) for key, value in values.items()}


def _points(points: Path, rows: Path, components: Sequence[float] | None) -> dict[str, np.ndarray]:
    drawn, images = _arrays(points), _arrays(rows, "targets", "indices")
    if len(drawn["points"]) != len(images["indices"]):
        raise InputError(f"{points} is damaged ({rows} belongs to other images)")
    shares = {} if components is None else _as_arrays({"components": components})
    return {**drawn, "labels": images["targets"], "numbers": images["indices"], **shares}


def _rows(rows: Path, whole: Path) -> dict[str, np.ndarray]:
    import numpy as np

    record = _arrays(rows)
    if "features" not in record:
        try:
            record["features"] = np.load(whole, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError) as error:
            raise InputError(f"{whole} is damaged ({error})") from None
    return {"features": record["features"], "labels": record["targets"], "numbers": record["indices"]}


def _maps(files: Path, groups: Sequence[legacy_groups.OldGroup]) -> dict[str, np.ndarray]:
    loaded = _as_arrays({legacy_groups.NOTHING: [], **{f"{one.name}/targets": one.targets or [] for one in groups}})
    for one in groups:
        loaded |= {f"{one.name}/{key}": value for key, value in _arrays(files / f"{one.name}.npz").items()}
    return loaded
