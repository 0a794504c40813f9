"""What a call could leave behind in a model, for whoever asks that it leaves nothing."""

import torch


def traces(model):
    """All that a call could leave behind: hooks, modes, needs of gradients, values, and the random state."""
    hooks = [len(getattr(m, kind)) for m in model.modules() for kind in vars(m) if kind.endswith("_hooks")]
    modes = [m.training for m in model.modules()]
    needs = [(p.requires_grad, None if p.grad is None else p.grad.tolist()) for p in model.parameters()]
    values = {name: value.tolist() for name, value in [*model.named_parameters(), *model.named_buffers()]}
    return hooks, modes, needs, values, torch.get_rng_state().tolist()
