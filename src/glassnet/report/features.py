"""Pictures of the features, and beside each the numbers that say how far to trust it."""

from dataclasses import dataclass
from typing import Any

from glassnet.report import numbers
from glassnet.report.comparison import comparison
from glassnet.report.inline import Picture, find_picture
from glassnet.report.measures import MEASURES, READING, Measure
from glassnet.report.network import layer_names
from glassnet.report.records import files, mapping, part, rows, text
from glassnet.report.tables import Table, code, strong, table, whole
from glassnet.run import RunDirectory

UNTOLD = ("dims", "solver", "device")
CLUSTERINGS = {"kmeans": "k-means", "agglomerative": "agglomerative clustering", "hdbscan": "HDBSCAN"}


@dataclass(frozen=True)
class View:
    """One way of drawing a layer's features."""

    title: str
    sentence: str
    pictures: tuple[Picture, ...]
    missing: str
    """Name of the figure that was not drawn; empty where it was."""
    table: Table


@dataclass(frozen=True)
class Layer:
    """All views of one layer's features."""

    name: str
    images: str
    features: str
    split: str
    """As in "test images"."""
    scree: Picture | None
    """Variance by principal component; None where PCA was not used."""
    views: tuple[View, ...]


def features(run: RunDirectory) -> dict[str, Any] | None:
    """Collect what the section on features shows; None where no features were embedded.

    Raises:
        InputError: A file of the embeddings is damaged.
    """
    found = [mapping(run, name) for name in files(run, "embeddings", first=layer_names(run))]
    compared = comparison(run)
    if not found and compared is None:
        return None
    used = {text(picture.get("method")) for layer in found for picture in rows(layer, "pictures")}
    return {
        "layers": [_layer(run, layer) for layer in found],
        "summary": _summary(found) if found else None,
        "comparison": compared,
        "readings": [reading for method, reading in READING.items() if method in used],
        "measures": [(measure.name, measure.meaning, _ends(measure, run)) for measure in MEASURES],
    }


def _ends(measure: Measure, run: RunDirectory) -> str:
    classes = part(dict(run.manifest), "data").get("classes")
    chance = numbers.percent(1 / len(classes), 0) if isinstance(classes, list) and classes else "0%"
    return measure.ends.format(chance=chance)


def _layer(run: RunDirectory, layer: dict[str, Any]) -> Layer:
    views = tuple(_view(run, picture) for picture in rows(layer, "pictures"))
    scree = text(part(layer, "scree").get("figure"))
    return Layer(
        text(layer.get("layer")),
        numbers.count(layer.get("images")),
        numbers.count(layer.get("features")),
        f"{text(layer.get('split'))} images".strip(),
        find_picture(run, scree) if scree else None,
        views,
    )


def _view(run: RunDirectory, picture: dict[str, Any]) -> View:
    wanted = [name for key in ("figure", "cluster_figure") if (name := text(picture.get(key)))]
    drawn = [(name, find_picture(run, name)) for name in dict.fromkeys(wanted)]
    pictures = tuple(found for _, found in drawn if found)
    missing = ", ".join(name for name, found in drawn if not found) if drawn else "of this picture"
    return View(title(picture), _sentence(picture), pictures, missing, _numbers(run, picture))


def title(picture: dict[str, Any]) -> str:
    """Name a picture by its method and dimensions, as in "PCA 2-D"."""
    method = text(picture.get("method"))
    name = READING.get(method, (method or text(picture.get("name")), ""))[0]
    return f"{name} {numbers.count(picture.get('dims'))}-D"


def _numbers(run: RunDirectory, picture: dict[str, Any]) -> Table:
    cells = [(m.name, m.show(picture.get(m.key)), _ends(m, run)) for m in MEASURES if _applies(m, picture)]
    told = _told(picture)
    note = f" ({', '.join(told)})" if told else ""
    return table(f"What the picture keeps{note}", ("Measure", "Value", "Higher is better"), cells, words=(0, 2))


def _told(picture: dict[str, Any]) -> list[str]:
    """Say what the method and the measures were told, but for the dimensions, which the title says."""
    settings = part(picture, "settings")
    known = (("clusters", "{} clusters"), ("neighbours", "neighbourhoods of {}"), ("sample", "measured on {} images"))
    clustering, noise = text(picture.get("clustering")), picture.get("noise_share")
    return [
        *(f"{key.replace('_', ' ')} {numbers.plain(settings[key])}" for key in settings if key not in UNTOLD),
        *([CLUSTERINGS.get(clustering, clustering)] if clustering else []),
        *(words.format(numbers.count(picture[key])) for key, words in known if numbers.is_number(picture.get(key))),
        *(
            [f"{numbers.percent(noise, 1)} in no cluster"]
            if numbers.is_number(noise := picture.get("noise_share"))
            else []
        ),
    ]


def _applies(measure: Measure, picture: dict[str, Any]) -> bool:
    return measure.key != "explained_variance" or text(picture.get("method")) == "pca"


def _sentence(picture: dict[str, Any]) -> str:
    """Say the three most telling numbers in words."""
    clustering = text(picture.get("clustering")) or "kmeans"
    clusters = CLUSTERINGS.get(clustering, clustering)
    said = (
        ("explained_variance", "keeps {} of the features’ variance"),
        ("accuracy", f"lets {clusters} find clusters that match the class of {{}} of the images"),
        ("knn_accuracy", "places {} of the images among neighbours of their own class"),
    )
    known = [
        words.format(numbers.percent(picture[key], 1)) for key, words in said if numbers.is_number(picture.get(key))
    ]
    if not known:
        return ""
    return f"This picture {known[0] if len(known) == 1 else ', '.join(known[:-1]) + ' and ' + known[-1]}."


def _summary(layers: list[dict[str, Any]]) -> Table:
    """Set all pictures beside each other, the best value of each measure standing out."""
    found = [(text(layer.get("layer")), picture) for layer in layers for picture in rows(layer, "pictures")]
    best = {m.key: _best([picture.get(m.key) for _, picture in found]) for m in MEASURES}
    cells = [
        (code(layer), whole(title(picture)), *(_cell(m, picture.get(m.key), best[m.key]) for m in MEASURES))
        for layer, picture in found
    ]
    columns = ("Layer", "Picture", *(measure.name for measure in MEASURES))
    caption = "All pictures beside each other; for every measure higher is better, and the best value is bold"
    return table(caption, columns, cells, words=(0, 1))


def _best(values: list[Any]) -> float | None:
    known = [value for value in values if numbers.is_number(value)]
    return max(known) if len(known) > 1 else None


def _cell(measure: Measure, value: Any, best: float | None) -> str:
    shown = measure.show(value)
    return strong(shown) if best is not None and value == best else shown
