"""What the tensors of a forward pass reach, by where they lie in memory."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef

from glassnet.models.receptive.reach import EMPTY, Reach, of_nothing, squashed

_Layout = tuple[int, tuple[int, ...], tuple[int, ...]]


class Memory:
    """Remembers what was written where.

    A tensor is known by its storage, shape and strides, as autograd wraps tensors anew. A view that is read where
    others of its storage were written, as after x[:, 1:] = y, is put together of what was written last.
    """

    def __init__(self) -> None:
        self._storages: dict[int, StorageWeakRef] = {}  # held, so that no other storage gets the same number
        self._written: dict[int, list[tuple[_Layout, Reach | None]]] = {}
        self._views: dict[int, dict[_Layout, Reach | None]] = {}

    def write(self, tensor: Tensor, reach: Reach | None, *, anew: bool) -> None:
        """Note what a tensor reaches, after it was made (anew) or written to."""
        place, layout = self._place(tensor), _layout(tensor)
        if reach is None and (anew or place not in self._written):
            return
        covers = tensor.numel() * tensor.element_size() >= tensor.untyped_storage().nbytes()
        kept = [] if anew or covers else self._written.get(place, [])
        self._written[place] = [one for one in kept if one[0] != layout] + [(layout, reach)]
        self._views[place] = {}

    def view(self, tensor: Tensor, reach: Reach | None) -> None:
        """Note what a view of something written reaches."""
        self._views.setdefault(self._place(tensor), {})[_layout(tensor)] = reach

    def read(self, tensor: Tensor) -> Reach | None:
        """Return what a tensor reaches; None where it holds no pixel."""
        if not has_storage(tensor):
            return None
        place, layout = self._place(tensor), _layout(tensor)
        written = self._written.get(place)
        if not written:
            return None
        views = self._views[place]
        if len(written) == 1 and written[0][0] == layout:
            return written[0][1]
        if layout not in views:
            views[layout] = _put_together(tensor, written)
        return views[layout]

    def _place(self, tensor: Tensor) -> int:
        storage = tensor.untyped_storage()
        place: int = storage._cdata
        if place not in self._storages:
            self._storages[place] = StorageWeakRef(storage)
        return place


def has_storage(tensor: Tensor) -> bool:
    """Tell whether a tensor's numbers lie in memory in rows and columns, as those of a sparse one do not."""
    if tensor.layout != torch.strided or tensor.is_nested:
        return False
    try:
        tensor.untyped_storage()
    except (RuntimeError, NotImplementedError):  # a wrapper of other tensors
        return False
    return True


def _layout(tensor: Tensor) -> _Layout:
    strides = (stride if size > 1 else 0 for size, stride in zip(tensor.shape, tensor.stride(), strict=True))
    return int(tensor.storage_offset()), tuple(tensor.shape), tuple(strides)


def _positions(layout: _Layout) -> Tensor:
    """Return where in memory each number of a tensor lies."""
    offset, shape, strides = layout
    result = torch.full([1] * len(shape), offset, dtype=torch.long)
    for axis, (size, stride) in enumerate(zip(shape, strides, strict=True)):
        result = result + (torch.arange(size) * stride).view([size if one == axis else 1 for one in range(len(shape))])
    return result


def _put_together(tensor: Tensor, written: list[tuple[_Layout, Reach | None]]) -> Reach | None:
    """Return what a tensor reaches of what was written before, the last on top."""
    own = _positions(_layout(tensor))
    places = [_positions(layout) for layout, _ in written]
    size = 1 + max(int(one.max()) if one.numel() else 0 for one in (own, *places))
    planes = []
    for number in (0, 1):
        memory = torch.full((2, size), EMPTY, dtype=torch.int32)
        for where, (layout, reach) in zip(places, written, strict=True):
            part = of_nothing(layout[1]) if reach is None else reach
            memory[:, where.flatten()] = part.planes[number].expand(2, *layout[1]).reshape(2, -1)
        planes.append(squashed(memory[:, own.flatten()].view(2, *own.shape)))
    parts = [reach for _, reach in written if reach is not None]
    if bool((planes[0] == EMPTY).all()) and all(reach.known for reach in parts):
        return None
    result = Reach(tuple(tensor.shape), (planes[0], planes[1]), known=all(reach.known for reach in parts))
    layout, last = written[-1]
    if len(parts) == 1 and last is not None and layout == _layout(tensor):
        return replace(result, lines=last.lines)
    return result
