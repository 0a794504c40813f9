"""What is followed while an image changes: the probability of its class, or what a callable target says of it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from glassnet.attribution.engine.choices import Choice, choice_of, describe_choice
from glassnet.attribution.engine.outputs import Output, OutputReader
from glassnet.attribution.engine.passes import Network, build_network
from glassnet.attribution.engine.scales import Scale, scale_of, to_probabilities
from glassnet.attribution.engine.targets import Scorer, Target, chosen_classes, of_batch, of_rows, require_finite, score
from glassnet.attribution.faithfulness.comparison import Classes, classes_of
from glassnet.console import say, say_once
from glassnet.images import Images, check_images, image_batches
from glassnet.models.inference import ModelCall
from glassnet.models.score_ends import ends_in
from glassnet.models.undisturbed import undisturbed

Unit = Literal["probability", "score"]
"""What curves are of: a class's probability, 0 to 1, or a callable target's score, of any size and sign."""

_EXAMPLES = 8
"""Images whose scores show what the scores are: the same first ones, whatever the batches."""


@dataclass
class Followed:
    """What is followed of each image.

    Attributes:
        network: The model and how it is run and read.
        target: The class of each image, or a callable.
        batch_size: Images per forward pass.
        unit: Whether probabilities are followed, or scores.
    """

    network: Network
    target: Scorer | Int64[Tensor, " n"]
    batch_size: int
    unit: Unit

    def values(
        self,
        frames: Float[Tensor, "many channel height width"],
        start: int,
        images: Float[Tensor, "batch channel height width"],
    ) -> Float[Tensor, " many"]:
        """Return the value of each frame, on the CPU.

        Args:
            frames: Equally many changed copies of each image, those of an image together.
            start: Number of the first image.
            images: As they were before any change, which a callable of two arguments is given.

        Raises:
            InputError: The model gives no class scores, or a class is out of range.
        """
        target = of_batch(self.target, start, images)
        rows = torch.arange(len(images)).repeat_interleave(len(frames) // len(images))
        parts = [
            self._values(batch, of_rows(target, which))
            for batch, which in zip(frames.split(self.batch_size), rows.split(self.batch_size), strict=True)
        ]
        return torch.cat(parts)

    def _values(self, frames: Tensor, target: Any) -> Float[Tensor, " many"]:
        output = self.network.in_its_layout(frames, lambda: self.network.run(frames.clone()))
        reader = self.network.reader
        if self.unit == "score":
            return score(output, target, len(frames), reader)[0].cpu()
        table = reader.classes(output, len(frames))
        classes = chosen_classes(table, target, reader.given(output), len(frames))
        values = to_probabilities(table, _scale(reader, output, len(frames)))
        return require_finite(values.gather(1, classes.unsqueeze(1)).squeeze(1)).cpu()


def _scale(reader: OutputReader, output: Any, size: int) -> Scale:
    """Return how the scores become probabilities; a single output called a logit goes through the sigmoid."""
    assert reader.scale is not None  # settled before anything is followed
    single = reader.scale == "logits" and reader.table(output, size).shape[1] == 1
    return "sigmoid" if single else reader.scale


@contextmanager
def following(
    model: nn.Module,
    images: Images,
    targets: Classes | Scorer | None,
    *,
    output: Output = None,
    forward: ModelCall | None = None,
    batch_size: int,
) -> Iterator[Followed]:
    """Run the block with the model undisturbed and without gradients, and yield what is to be followed in it.

    Raises:
        InputError: The targets do not fit the images, or the model's output holds no class scores.
    """
    check_images(images, batch_size)
    target = targets if callable(targets) else classes_of(targets, len(images))
    network = build_network(model, output=output, forward=forward)
    with torch.inference_mode(False), torch.no_grad(), undisturbed(model) as network.put_back:
        followed = Followed(network, target, batch_size, "score" if callable(target) else "probability")
        if callable(target):
            _hold_choice(followed, target, images)
        else:
            _settle_scale(followed, images)
        yield followed


def _settle_scale(followed: Followed, images: Images) -> None:
    """Find out what the model's scores are, unless the caller said it, and say it."""
    network, reader = followed.network, followed.network.reader
    if reader.scale is not None:
        return
    tables, ends = [], set()
    for _, batch in image_batches(network.model, images[:_EXAMPLES], min(followed.batch_size, _EXAMPLES)):
        given = network.with_graph(batch)
        with torch.enable_grad():  # so that a reshaped output still knows where it came from
            table = reader.table(given, len(batch))
            chosen_classes(table, None, reader.given(given), len(batch))
            ends.add(ends_in(table))
        tables.append(table.detach())
    scores = torch.cat(tables)
    reader.scale, why = scale_of(scores, ends.pop() if len(ends) == 1 else "")
    _say_scale(reader.scale, why, scores.shape[1])


def _say_scale(scale: Scale, why: str, columns: int) -> None:
    if columns == 1 and scale == "sigmoid" and not why.startswith("though"):
        return  # the reader of outputs says it
    if why.startswith("though"):
        kind = "a logit (sigmoid)" if columns == 1 else "logits of mutually exclusive classes (softmax)"
        say(
            f'the model\'s scores are treated as {kind}, {why}; if they are probabilities, pass output="probabilities".'
        )
    elif why:
        what = "logarithms of probabilities" if scale == "logarithms" else "probabilities"
        say(f"the model's scores are treated as {what}, because {why} (pass output= to change this).")
    else:
        say_once(
            "the model's scores are treated as logits of mutually exclusive classes (softmax); for labels that are "
            'not exclusive, pass output="sigmoid".'
        )


def _hold_choice(followed: Followed, target: Scorer, images: Images) -> None:
    """Hold a callable that picks the highest class to the class of each unchanged image; say what is done."""
    if not any(choice.anew for choice in _choices(followed, target, images[:_EXAMPLES])):
        return
    classes = [choice.classes for choice in _choices(followed, target, images)]
    known = [row for row in classes if row is not None]
    if len(known) == len(classes):
        followed.target = torch.cat(known).cpu()
    say(describe_choice(held=len(known) == len(classes)))


def _choices(followed: Followed, target: Scorer, images: Images) -> Iterator[Choice]:
    network = followed.network
    for start, batch in image_batches(network.model, images, followed.batch_size):
        given = network.in_its_layout(batch, partial(network.run, batch.clone()))
        scorer = of_batch(target, start, batch)
        assert callable(scorer)
        yield choice_of(scorer, network.reader.given(given), network.reader, len(batch))


def fixed_target(
    model: nn.Module,
    images: Images,
    target: Target,
    *,
    output: Output = None,
    forward: ModelCall | None = None,
    batch_size: int,
) -> Target:
    """Return a target that stays when the model changes: of "predicted", and of a maximum, the class of each image.

    It needs no gradient and no layer.

    Raises:
        InputError: The model gives no class scores to predict a class by.
    """
    if not callable(target) and not isinstance(target, str):
        return target
    network = build_network(model, output=output, forward=forward)
    with torch.inference_mode(False), torch.no_grad(), undisturbed(model) as network.put_back:
        if callable(target):
            followed = Followed(network, target, batch_size, "score")
            _hold_choice(followed, target, images)
            return followed.target
        return torch.cat([_predicted(network, batch) for _, batch in image_batches(model, images, batch_size)])


def _predicted(network: Network, images: Tensor) -> Int64[Tensor, " batch"]:
    output, reader, size = (
        network.in_its_layout(images, lambda: network.run(images.clone())),
        network.reader,
        len(images),
    )
    if not reader.knows_scale(output, size):
        reader.settle(network.with_graph(images), size)
    return chosen_classes(reader.classes(output, size), None, reader.given(output), size).cpu()
