"""What units of a layer see by the gradient, one at a time: a slow reference for receptive fields."""

import copy

import numpy as np
import torch
from torch import nn


def generic(model):
    """A copy in which no unit is off: positive weights in double precision, and averages in place of maxima."""
    model = copy.deepcopy(model).double().eval()
    generator = torch.Generator().manual_seed(0)
    for one in model.parameters():
        one.data = (torch.rand(one.shape, generator=generator).double() + 0.1) / max(one[:1].numel(), 1)
    for module in list(model.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.MaxPool2d):
                options = (child.kernel_size, child.stride, child.padding, child.ceil_mode)
                setattr(module, name, nn.AvgPool2d(*options))
    return model


def supports(maps, images, places):
    """What each unit sees by the gradient of a random sum of its channels, (x0, y0, x1, y1)."""
    weights = torch.rand(maps.shape[1], generator=torch.Generator().manual_seed(1)).double() + 0.5
    boxes = []
    for row, column in places:
        unit = (maps[0, :, row, column] * weights).sum()
        (gradient,) = torch.autograd.grad(unit, images, retain_graph=True, allow_unused=True)
        gradient = torch.zeros_like(images) if gradient is None else gradient
        seen = gradient[0].abs().amax(dim=0)
        seen = seen > 1e-40
        rows, columns = seen.any(dim=1).nonzero().flatten(), seen.any(dim=0).nonzero().flatten()
        boxes.append([int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1] if len(rows) else [0] * 4)
    return np.array(boxes)
