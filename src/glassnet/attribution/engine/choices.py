"""Callable targets that choose among the classes themselves, as a maximum does: another one in a changed image.

What compares an image with changed copies of it (occlusion, integrated gradients, deletion and insertion) must follow
one class all the way. `lambda output: output.max(dim=1).values` is a score of another class as soon as the copy shows
something else, and nobody sees it in the numbers.
"""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_unflatten

from glassnet.attribution.engine.outputs import OutputReader
from glassnet.attribution.engine.targets import Scorer
from glassnet.errors import InputError


@dataclass(frozen=True, eq=False)
class Choice:
    """What a callable target does with its output.

    Attributes:
        anew: Whether it takes other entries of another output.
        classes: The class of each image where its score is the row's maximum; else None.
    """

    anew: bool
    classes: Int64[Tensor, " n"] | None = None


def describe_choice(*, held: bool) -> str:
    """Say that a callable chooses by itself, and what became of it."""
    what = (
        "the target uses each image's highest class; in changed copies of the image that class stays fixed"
        if held
        else "the target chooses new output entries for each changed copy of an image, so they differ"
    )
    return f"{what} (for a fixed class, give its number, or target=lambda output: output[:, 3])."


def choice_of(scorer: Scorer, given: Any, reader: OutputReader, size: int) -> Choice:
    """Tell whether a callable chooses anew among the entries of (n, classes) scores.

    It is given the output, and the output with its classes moved on by one. One that always reads the same entries has
    its gradient at the same places of both; a maximum's gradient moves with the values. Rows without any gradient, as
    of a ReLU, decide nothing. A function that reads all entries, as an entropy, has it everywhere.

    Args:
        scorer: From what the model gives, or the named part of it, to (n,) scores.
        given: What the reader gives it of the model's output for the images as they are.
        reader: Of the output; a class can be held only where it finds the same scores.
        size: Images in the batch.
    """
    leaves, tree = tree_flatten(given)
    places = [place for place, leaf in enumerate(leaves) if _is_table(leaf, size)]
    try:
        scores, here = _reads(scorer, leaves, tree, places, shift=0)
        _, there = _reads(scorer, leaves, tree, places, shift=1)
    except Exception:  # it takes neither doubles nor moved classes: nothing is known of it
        return Choice(False)
    moved = [place for place, one, other in zip(places, here, there, strict=True) if _differ(one, other)]
    if len(moved) != 1:
        return Choice(bool(moved))
    table = leaves[moved[0]].detach().double()
    best = table.max(dim=1)
    highest = torch.allclose(scores, best.values) and _is_the_table(leaves[moved[0]], given, reader, size)
    return Choice(True, best.indices if highest else None)


def _differ(one: Bool[Tensor, "n classes"], other: Bool[Tensor, "n classes"]) -> bool:
    decides = one.any(dim=1) & other.any(dim=1)
    return bool((one != other)[decides].any())


def _is_the_table(leaf: Tensor, given: Any, reader: OutputReader, size: int) -> bool:
    try:
        return leaf is given or (not reader.picks() and reader.table(given, size) is leaf)
    except InputError:  # several tensors could be meant, of which the callable takes one
        return False


def _is_table(leaf: Any, size: int) -> bool:
    if not isinstance(leaf, Tensor) or not leaf.is_floating_point():
        return False
    return leaf.ndim == 2 and len(leaf) == size and leaf.shape[1] > 1


def _reads(
    scorer: Scorer, leaves: list[Any], tree: Any, places: list[int], *, shift: int
) -> tuple[Float[Tensor, " n"], list[Bool[Tensor, "n classes"]]]:
    """Return the scores of an output whose classes moved on by `shift`, and which entries of it they depend on."""
    with torch.inference_mode(False), torch.enable_grad():
        # In double, where the gradient of a softmax does not vanish so soon.
        roots = [leaves[place].detach().double().roll(shift, 1).requires_grad_() for place in places]
        given = list(leaves)
        for place, root in zip(places, roots, strict=True):
            given[place] = root.clone()  # the callable may write into what it is given
        scores = scorer(tree_unflatten(given, tree))
        gradients = torch.autograd.grad(scores.sum(), roots, allow_unused=True) if roots else ()
    supports = [
        torch.zeros_like(root, dtype=torch.bool) if gradient is None else gradient != 0
        for root, gradient in zip(roots, gradients, strict=True)
    ]
    return scores.detach(), supports
