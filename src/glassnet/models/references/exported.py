"""A program that torch.export saved (net.pt2), with its layers put back, so that they can be looked into.

An exported program is a list of operations; what was a convolution is a call of a function on two tensors. Here the
calls that own weights, and the ReLUs, become modules again under the names that they had, with the same numbers, so
that layers are found by name and by kind as in any network.
"""

from __future__ import annotations

import logging
import operator
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, fx, nn

from glassnet.errors import InputError
from glassnet.models.references.base import Reference, Wanted, digest_of
from glassnet.models.references.weights import put_weights

_OF_A_LAYER = frozenset(("weight", "bias", "running_mean", "running_var", "num_batches_tracked"))
aten = torch.ops.aten


def load(text: str, wanted: Wanted) -> Reference:
    """Read an exported program; with a batch of fixed size, it is made to take any.

    Raises:
        InputError: The file is missing, damaged or no such program; it takes more than images, or images of another
            size than is wanted; or it cannot be made to take a batch of any size.
    """
    path = Path(text).expanduser()
    program = _read(path)
    shape = _image_shape(program, path)
    _, channels, height, width = shape
    if height != width:
        raise InputError(f"{path} takes images of {height} by {width} pixels, expected a program for square images.")
    for what, given, fixed in (
        ("--image-size", wanted.image_size, height),
        ("--in-channels", wanted.in_channels, channels),
    ):
        if fixed is not None and given not in (None, fixed):
            raise InputError(
                f"{what} is {given}, but {path} was exported for {fixed}; leave it out, or export the program again."
            )
    network = _with_layers(program.module(), batch=shape[0])
    weights = wanted.weights and put_weights(network, wanted.weights, name=text)
    _require_any_batch(network, shape, path)
    return Reference(
        text=str(path.resolve()),
        name=path.stem,
        module=network,
        source=digest_of([path]),
        weights=weights or None,
        image_size=height,
        in_channels=channels,
    )


def image_size_of(text: str) -> int | None:
    """Return the side of the images that a program was exported for; None where it takes any.

    Raises:
        InputError: The file is missing, damaged or no such program, or takes more than images.
    """
    path = Path(text).expanduser()
    return _image_shape(_read(path), path)[2]


def _read(path: Path) -> Any:
    if not path.is_file():
        raise InputError(f"{path} does not exist; expected a program written by torch.export.save, such as net.pt2.")
    log = logging.getLogger("torch.export")
    level = log.level
    log.setLevel(logging.CRITICAL)  # it prints a traceback of what is raised as well
    try:
        return torch.export.load(path)
    except Exception as error:  # zip, JSON and pickle each raise their own on damaged bytes
        reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".:")[:200]
        raise InputError(
            f"{path} is not a program that this version of torch can read ({reason}); write it with torch.export.save."
        ) from None
    finally:
        log.setLevel(level)


def _image_shape(program: Any, path: Path) -> tuple[int | None, int | None, int | None, int | None]:
    """Return batch, channels, height and width that the program takes; None for a size that is open."""
    takes = [node.meta["val"] for node in program.graph.nodes if node.name in program.graph_signature.user_inputs]
    if len(takes) != 1 or not isinstance(takes[0], Tensor) or takes[0].ndim != 4:
        got = ", ".join(str(tuple(one.shape)) if isinstance(one, Tensor) else type(one).__name__ for one in takes)
        raise InputError(f"{path} takes {got or 'nothing'}, expected one batch (n, channels, height, width) of images.")
    batch, channels, height, width = (size if type(size) is int else None for size in takes[0].shape)
    return batch, channels, height, width


def _require_any_batch(network: nn.Module, shape: tuple[int | None, ...], path: Path) -> None:
    """Refuse a program that computes something else, or nothing, for another number of images than it was made for.

    Raises:
        InputError: It does, or it gives no tensor with a row for each image.
    """
    sizes = [3 if size is None and axis == 1 else 64 if size is None else size for axis, size in enumerate(shape)]
    weight = next((one for one in network.parameters() if one.is_floating_point()), torch.zeros(()))
    images = torch.rand((shape[0] or 3, *sizes[1:]), generator=torch.Generator().manual_seed(0)).to(weight.dtype)
    try:
        with torch.no_grad():
            output = network(images)
    except Exception as error:  # whatever the program's operations raise
        if shape[2] is None or shape[3] is None:
            return  # 64 pixels may be too few, and the images will tell
        reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".:")[:200]
        raise InputError(
            f"{path} fails on images of shape {tuple(images.shape)} ({reason}); export it again for float images."
        ) from None
    _require_scores(output, len(images), path)
    if not _is_the_same_for_each(network, images):
        raise InputError(
            f"{path} was exported for batches of {shape[0] or 'some size'}, and its output for an image depends on the "
            "batch; export it in evaluation mode and for any batch size: torch.export.export(model.eval(), (images,), "
            "dynamic_shapes=({0: torch.export.Dim('batch')},)) with at least two images."
        )


def _require_scores(output: Any, count: int, path: Path) -> None:
    """Refuse what is no tensor with a row for each image.

    Raises:
        InputError: It is none.
    """
    if isinstance(output, Tensor) and output.ndim and len(output) == count:
        return
    got = f"a tensor of shape {tuple(output.shape)}" if isinstance(output, Tensor) else f"a {type(output).__name__}"
    raise InputError(
        f"{path} gives {got} for {count} images, expected one tensor with a row per image; export a module that "
        "returns only the scores."
    )


def _is_the_same_for_each(network: nn.Module, images: Tensor) -> bool:
    """Tell whether images give the same in a batch of three and each alone."""
    three = images[[0] * 3] + torch.arange(3).view(-1, 1, 1, 1).to(images) / 9
    try:
        with torch.no_grad():
            together, alone = network(three), torch.cat([network(one) for one in three.split(1)])
        return together.shape == alone.shape and torch.allclose(together, alone, rtol=1e-3, atol=1e-4)
    except Exception:  # whatever the program's operations raise for shapes that they do not know
        return False


def _with_layers(program: fx.GraphModule, *, batch: int | None) -> fx.GraphModule:
    """Put modules in the place of the operations that were layers."""
    for node in list(program.graph.nodes):
        if node.op == "call_module" and node.target == "_guards_fn":
            program.graph.erase_node(node)  # it refuses other sizes than those of the example
        elif node.op == "call_function" and (make := _LAYERS.get(node.target)) is not None:
            make(program, node)
        elif node.target is aten.view.default:
            node.target = aten.reshape.default  # as the example's pixels lay in another order in memory than ours
    if batch is not None:
        _open_batch(program, batch)
    program.graph.eliminate_dead_code()
    return fx.GraphModule(program, program.graph, class_name="Exported")


def _tensor(program: fx.GraphModule, node: Any) -> Tensor | None:
    return (
        operator.attrgetter(str(node.target))(program) if isinstance(node, fx.Node) and node.op == "get_attr" else None
    )


def _filled(node: fx.Node) -> dict[str, Any]:
    """Return an operation's arguments by name, those that are left out with their defaults."""
    schema: Any = node.target._schema.arguments  # type: ignore[union-attr]
    usual = {one.name: one.default_value for one in schema if one.has_default_value()}
    return usual | dict(zip((one.name for one in schema), node.args, strict=False)) | dict(node.kwargs)


def _replace(program: fx.GraphModule, node: fx.Node, name: str, layer: nn.Module, images: Any) -> None:
    """Let a layer do what an operation did."""
    program.add_submodule(name, layer)
    with program.graph.inserting_before(node):
        call = program.graph.call_module(name, (images,))
    call.meta = dict(node.meta)
    node.replace_all_uses_with(call)
    program.graph.erase_node(node)


def _of_weights(program: fx.GraphModule, node: fx.Node, make: Callable[[dict[str, Any]], nn.Module]) -> None:
    """Put a layer in the place of an operation on a weight, where that one has a module's name."""
    filled = _filled(node)
    tensors = {key: _tensor(program, value) for key, value in filled.items()}
    weight = filled.get("weight")
    name, _, last = str(weight.target).rpartition(".") if isinstance(weight, fx.Node) else ("", "", "")
    if tensors.get("weight") is None or not name or last != "weight" or not _is_plain(program.get_submodule(name)):
        return
    with torch.device("meta"):
        layer = make(filled | {"shape": tuple(tensors["weight"].shape)})  # type: ignore[union-attr]
    for key, tensor in ((key, tensor) for key, tensor in tensors.items() if tensor is not None and hasattr(layer, key)):
        if isinstance(tensor, nn.Parameter):
            layer.register_parameter(key, tensor)
        else:
            layer.register_buffer(key, tensor)
    if "num_batches_tracked" in layer._buffers:
        layer.num_batches_tracked = torch.zeros((), dtype=torch.long)
    _replace(program, node, name, layer, filled["input"])


def _is_plain(module: nn.Module) -> bool:
    """Tell whether what is left of a module could be that of one layer of torch's own."""
    return not list(module.children()) and {*module._parameters, *module._buffers} <= _OF_A_LAYER


def _convolution(program: fx.GraphModule, node: fx.Node) -> None:
    def make(given: dict[str, Any]) -> nn.Module:
        out, into, *kernel = given["shape"]
        padding = given["padding"] if isinstance(given["padding"], str) else tuple(given["padding"])
        return nn.Conv2d(
            into * given["groups"],
            out,
            tuple(kernel),
            stride=tuple(given["stride"]),
            padding=padding,
            dilation=tuple(given["dilation"]),
            groups=given["groups"],
            bias=given["bias"] is not None,
        )

    _of_weights(program, node, make)


def _linear(program: fx.GraphModule, node: fx.Node) -> None:
    def make(given: dict[str, Any]) -> nn.Module:
        out, into = given["shape"]
        return nn.Linear(into, out, bias=given["bias"] is not None)

    _of_weights(program, node, make)


def _batch_norm(program: fx.GraphModule, node: fx.Node) -> None:
    if _filled(node)["training"]:  # exported in training mode: it stays what it is
        return
    _of_weights(program, node, lambda given: nn.BatchNorm2d(given["shape"][0], eps=given["eps"]).eval())


def _layer_norm(program: fx.GraphModule, node: fx.Node) -> None:
    _of_weights(
        program,
        node,
        lambda given: nn.LayerNorm(given["normalized_shape"], eps=given["eps"], bias=given["bias"] is not None),
    )


def _relu(program: fx.GraphModule, node: fx.Node) -> None:
    *_, (path, kind) = list((node.meta.get("nn_module_stack") or {"": ("", "")}).values())
    name = path if kind == "torch.nn.modules.activation.ReLU" else node.name
    _replace(program, node, name, nn.ReLU(), node.args[0])


_LAYERS: dict[Any, Callable[[fx.GraphModule, fx.Node], None]] = {
    aten.conv2d.default: _convolution,
    aten.conv2d.padding: _convolution,
    aten.linear.default: _linear,
    aten.batch_norm.default: _batch_norm,
    aten.layer_norm.default: _layer_norm,
    aten.relu.default: _relu,
    aten.relu_.default: _relu,
}
_SHAPES = (aten.reshape.default, aten.expand.default)


def _open_batch(program: fx.GraphModule, batch: int) -> None:
    """Let shapes that begin with the example's number of images begin with that of the images that are given."""
    images = next(node for node in program.graph.nodes if node.op == "placeholder")
    for node in list(program.graph.nodes):
        if node.op != "call_function" or node.target not in _SHAPES or list(node.args[1])[:1] != [batch]:
            continue
        with program.graph.inserting_before(node):
            count = program.graph.call_function(aten.sym_size.int, (images, 0))
        node.args = (node.args[0], [count, *node.args[1][1:]])
