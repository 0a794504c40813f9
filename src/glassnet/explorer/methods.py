"""What a page says of the attribution methods, without loading them; the tests compare it with `METHODS`."""

from __future__ import annotations

from collections.abc import Iterable

from glassnet.explorer.schemas import MethodInfo
from glassnet.method_titles import METHOD_TITLES

_OF_THE_INPUT = (
    "guided_backpropagation",
    "saliency",
    "input_x_gradient",
    "smoothgrad",
    "integrated_gradients",
    "occlusion",
)
_OF_ATTENTION = ("attention_rollout", "attention_relevance", "legrad")
_SIGNED = ("guided_gradcam", "guided_backpropagation", "input_x_gradient", "integrated_gradients", "occlusion")
_GUIDED = ("guided_gradcam", "guided_backpropagation")
_SMOOTH = {"GELU", "SiLU", "ELU", "SELU", "Hardswish", "Mish", "LeakyReLU", "QuickGELU"}
"""Activations that cannot be guided."""
_SLOW = ("scorecam", "smoothgrad", "integrated_gradients", "occlusion")
_ABOUT = {
    "gradcam": "Where the channels of the layer that raise the score are active.",
    "gradcam_plus_plus": "Grad-CAM that gives several places of one class equal weight.",
    "xgradcam": "Grad-CAM with each channel weighted by its contribution to the score.",
    "hirescam": "Each place of the layer by its contribution to the score; exact for a last layer.",
    "layercam": "Each place of the layer weighted by its own gradient; sharper in early layers.",
    "eigencam": "What varies most in the layer, regardless of class.",
    "finercam": "What distinguishes the class from the classes most like it.",
    "shapleycam": "Grad-CAM with the curvature of the score taken into account.",
    "scorecam": "Each channel weighted by the score of the image masked with it; no gradients.",
    "guided_backpropagation": "The pixels whose change raises the score, along active paths only.",
    "guided_gradcam": "Guided backpropagation inside the region of Grad-CAM.",
    "saliency": "The pixels to which the score is most sensitive.",
    "input_x_gradient": "The sensitivity times the pixel itself.",
    "smoothgrad": "The mean sensitivity over noisy copies of the image.",
    "integrated_gradients": "Each pixel's contribution to the score on the way from a black image.",
    "occlusion": "How much the score falls when a patch is covered.",
    "attention_rollout": "Which patches the attention of all blocks combined leads to.",
    "attention_relevance": "Which patches the attention that raises the score leads to.",
    "legrad": "How the score changes with the attention to each patch.",
}


def methods_for(kinds: Iterable[str], *, without: Iterable[str], maps: bool) -> list[MethodInfo]:
    """Return the methods that can explain a network.

    Args:
        kinds: Classes of its modules.
        without: Methods that mean nothing for what it learned.
        maps: Whether it has a layer with height and width.
    """
    names = set(kinds)
    attention = any("attention" in kind.lower() for kind in names)
    left_out = {
        *(() if attention else _OF_ATTENTION),
        *(_GUIDED if names & _SMOOTH else ()),
        *without,
        *(() if maps else [name for name in METHOD_TITLES if name not in (*_OF_THE_INPUT, *_OF_ATTENTION)]),
    }
    return [_info(name) for name in METHOD_TITLES if name not in left_out]


def _info(name: str) -> MethodInfo:
    return MethodInfo(
        name=name,
        title=METHOD_TITLES[name],
        about=_ABOUT[name],
        signed=name in _SIGNED,
        needs_layer=name not in (*_OF_THE_INPUT, *_OF_ATTENTION),
        slow=name in _SLOW,
    )
