"""How activations are laid out: which axis of a layer's output is which, followed through the forward pass."""
