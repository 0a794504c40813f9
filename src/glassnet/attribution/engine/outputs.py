"""The class scores in what a model gives: a tensor, or one entry of a dict, a tuple or a ModelOutput."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from glassnet.attribution.engine.scales import SCALES, Scale, complement, scale_of_one
from glassnet.console import say
from glassnet.errors import GlassnetError, InputError
from glassnet.models.inference import ModelCall, call_model, check_memory
from glassnet.models.parts import entries_of, pick

Output = str | int | Callable[[Any], Any] | None
"""A key, an attribute, an index or a function that picks the class scores; or one of `SCALES`, which says what they
are; or None to find both out."""


@dataclass
class OutputReader:
    """Reads the class scores of a model's outputs, always in the same way, and says once what it decided by itself.

    Attributes:
        output: What the caller said of it.
        scale: What the scores are; None where that was not asked yet.
        notices: What was said already.
    """

    output: Output = None
    scale: Scale | None = None
    notices: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        """Check what the caller said.

        Raises:
            InputError: It is nothing that picks an output.
        """
        if isinstance(self.output, bool) or not (
            self.output is None or isinstance(self.output, str | int) or callable(self.output)
        ):
            raise InputError(
                f"output is {self.output!r:.60}, expected the name or index of one of the model's outputs, one of the "
                f"words {', '.join(SCALES)}, or a callable from the output to class scores (n, classes)."
            )
        self.scale = next((word for word in SCALES if word == self.output), None)

    def picks(self) -> bool:
        """Tell whether the caller said where the scores are."""
        return self.output is not None and self.output not in SCALES

    def given(self, output: Any) -> Any:
        """Return what a callable target is given: the model's output, or the part of it that the caller named.

        Raises:
            InputError: There is no such part.
        """
        return pick(output, self.output) if self.picks() else output

    def table(self, output: Any, size: int) -> Any:
        """Return the (n, classes) scores, one column as it is; what has no such scores is returned as it was given.

        Raises:
            InputError: The part that the caller named is not there, or several could be meant.
        """
        scores = self.given(output)
        if not isinstance(scores, Tensor) and not self.picks():
            where, scores = self._obvious(scores, size)
            if where:
                self.announce(f"the class scores are taken from {where} (pass output= to choose another).")
        return _as_table(scores, size)

    def reported(self, output: Any, size: int, *, of_a_class: bool) -> Any:
        """Return what of an output a result holds: the class scores, if a class is explained, else what is `given`."""
        return self.table(output, size) if of_a_class else self.given(output)

    def knows_scale(self, output: Any, size: int) -> bool:
        """Tell whether a single column's scale is known, or its graph can show it; other outputs need no scale here."""
        table = self.table(output, size) if self.scale is None else None
        return table is None or not _is_table(table, size) or table.shape[1] > 1 or table.requires_grad

    def settle(self, output: Any, size: int) -> None:
        """Find out by an output with its graph whether a single column is a probability or a logit."""
        with torch.enable_grad():  # so that a reshaped output still knows where it came from
            self.scale = scale_of_one(self.table(output, size))

    def classes(self, output: Any, size: int) -> Any:
        """Return one column for each class: of a single output y, a binary classifier's, -y and y, or 1 - p and p.

        Raises:
            InputError: As `table` says.
        """
        table = self.table(output, size)
        if not _is_table(table, size) or table.shape[1] != 1:
            return table
        if self.scale is None:
            self.scale = scale_of_one(table)
        self.announce(_one_output(self.scale, output))
        return torch.cat([complement(table, self.scale), table], dim=1)

    def _obvious(self, output: Any, size: int) -> tuple[str, Any]:
        """Return where the one obvious tensor of class scores is, and the tensor; "" and the output if there is none.

        Raises:
            InputError: There are several.
        """
        entries = entries_of(output)
        for name in (self.output, "logits"):
            if name in entries and isinstance(entries[name], Tensor):
                return _entry(name), entries[name]
        # One number an image may be anything, as a loss: it counts only where there is no table.
        flat = {name: one for name, one in entries.items() if isinstance(one, Tensor) and one.ndim != 0}
        tables = {name: one for name, one in flat.items() if one.ndim > 1 and _is_table(_as_table(one, size), size)}
        tables = tables or {name: one for name, one in flat.items() if _is_table(_as_table(one, size), size)}
        if len(tables) > 1:
            shapes = ", ".join(f"{name!r} of shape {tuple(table.shape)}" for name, table in tables.items())
            raise InputError(
                f"the model's output is a {type(output).__name__} with several tensors that could be class scores, "
                f"{shapes}; choose one with output={next(iter(tables))!r}."
            )
        return next(((_entry(name), table) for name, table in tables.items()), ("", output))

    def announce(self, sentence: str) -> None:
        """Say what was decided, once."""
        if sentence not in self.notices:
            self.notices.add(sentence)
            say(sentence)


def _entry(name: object) -> str:
    return f"entry {name} of the output" if isinstance(name, int) else f"the output's {name!r}"


_COLUMN = {1: "output", 2: "output[:, 0]", 4: "output[:, 0, 0, 0]"}
"""By its axes, how the number an image is taken out of a single output."""


def _one_output(scale: Scale, output: Any) -> str:
    low = {"probabilities": "1 minus it", "logarithms": "log(1 - exp(output))"}.get(scale, "its negative")
    kind = {"probabilities": "probability", "logarithms": "log-probability"}.get(scale, "logit")
    column = _COLUMN.get(output.ndim) if isinstance(output, Tensor) else None
    remedy = f"target=lambda output: {column}" if column else "a function as target that takes it from the output"
    return (
        f"the model has one output, which is read as a binary classifier's {kind}: class 1 is the output, class 0 is "
        f"{low} (for any other number, such as a regression's, pass {remedy})."
    )


def model_call(forward: ModelCall | None) -> ModelCall:
    """Return how the model is called: on the images alone, or as the caller says, whose errors become a sentence."""
    return call_model if forward is None else partial(_called, forward)


def _called(forward: ModelCall, model: nn.Module, images: Tensor) -> Any:
    try:
        return forward(model, images)
    except (GlassnetError, RuntimeError):
        raise  # torch's own words are translated where the model runs
    except Exception as error:
        check_memory(error, len(images))
        reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
        raise InputError(
            f"the forward callable fails on images of shape {tuple(images.shape)}: {reason}; it must return the "
            "model's output for any number of images, as in forward=lambda model, images: model(images)."
        ) from error


def _as_table(scores: Any, size: int) -> Any:
    """Return (n,) as (n, 1), and (n, classes, 1, 1), as a fully convolutional classifier gives it, as (n, classes)."""
    if not isinstance(scores, Tensor) or not scores.is_floating_point():
        return scores
    if scores.shape == (size,) or (size == 1 and scores.ndim == 0):
        return scores.reshape(size, 1)
    if scores.ndim > 2 and len(scores) == size and scores.shape[2:].numel() == 1:
        return scores.flatten(1)
    return scores


def _is_table(scores: Any, size: int) -> bool:
    return isinstance(scores, Tensor) and scores.is_floating_point() and scores.ndim == 2 and len(scores) == size


def require_table(scores: Any, output: Any, size: int) -> Float[Tensor, "batch classes"]:
    """Return class scores as they are.

    Raises:
        InputError: They are none; the message says what to pass for an output of this shape.
    """
    if isinstance(scores, Tensor) and _is_table(scores, size):
        return scores
    shape = f"of shape {tuple(scores.shape)}" if isinstance(scores, Tensor) else f"a {type(scores).__name__}"
    raise InputError(f"the model's output is {shape}, not class scores (n, classes); {_advice(scores, output, size)}.")


def _advice(scores: Any, output: Any, size: int) -> str:
    """Say what can be passed for an output that holds no class scores; what is said works for its shape."""
    if not isinstance(scores, Tensor):
        return _advice_of_parts(scores)
    if not scores.is_floating_point():
        kind = str(scores.dtype).removeprefix("torch.")
        return f"it is {kind}, which has no gradient: make the model return its scores before rounding"
    if scores.ndim == 0 or len(scores) != size:
        return _advice_of_rows(scores, size)
    entries = {} if scores is output else entries_of(output)
    name = next((name for name, one in entries.items() if one is scores), None)
    return _advice_of_a_target("output" if name is None else _reach(output, name), scores)


def _advice_of_rows(scores: Tensor, size: int) -> str:
    rows = len(scores) if scores.ndim else 0
    if rows and rows % size == 0 and scores.ndim == 2:
        each = rows // size
        return (
            f"it has {each} rows per image: combine them, as in output=lambda output: output.unflatten(0, (-1, "
            f"{each})).mean(dim=1) if the rows of an image are adjacent"
        )
    return f"it does not have one row for each of the {size} images: make the model return one score or row per image"


def _advice_of_parts(output: Any) -> str:
    tensors = {name: value for name, value in entries_of(output).items() if isinstance(value, Tensor)}
    where = next((name for name, value in tensors.items() if value.is_floating_point() and value.ndim > 1), None)
    if where is None:
        return "pass output, a callable from the model's output to class scores (n, classes)"
    return _advice_of_a_target(_reach(output, where), tensors[where])


def _reach(output: Any, name: Any) -> str:
    """Write how a part is got at: by an index or a key, or as an attribute where there is neither."""
    return f"output[{name!r}]" if isinstance(output, Mapping | tuple | list) else f"output.{name}"


def _advice_of_a_target(reach: str, tensor: Tensor) -> str:
    places = tuple(range(1, tensor.ndim))
    return (
        "pass as target a callable from the output to one score per image, such as target=lambda output: "
        f"{reach}.mean(dim={(places if len(places) > 1 else places[0])})"
    )
