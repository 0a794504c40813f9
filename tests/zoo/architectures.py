"""The networks of the zoo: other libraries' architectures with random weights, none downloaded, at small images."""

from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import Any

from torch import nn

from zoo.comparison import Architecture

# Names of pytorchcv's models by the image's size in pixels: the smallest of each family. No weights are fetched.
CLASSIFIERS = {
    32: """nin_cifar10 resnet20_cifar10 preresnet20_cifar10 resnext20_32x2d_cifar10 seresnet20_cifar10
        sepreresnet20_cifar10 densenet40_k12_bc_cifar10 xdensenet40_2_k24_bc_cifar10 ror3_56_cifar10 rir_cifar10
        msdnet22_cifar10 resdropresnet20_cifar10 shakeshakeresnet20_2x16d_cifar10 shakedropresnet20_cifar10
        diaresnet20_cifar10 diapreresnet20_cifar10 pyramidnet110_a48_cifar10 wrn16_10_cifar10 bagnet9""",
    64: """bninception resnet18_wd4 preresnet18_wd4 resnext14_32x2d seresnet10 sepreresnet10 senet16 resnestabc14
        ibn_resnet50 ibnb_resnet50 ibn_densenet121 airnet50_1x64d_r16 airnext50_32x4d_r2 bam_resnet18 cbam_resnet18
        resattnet56 sknet50 diaresnet10 diapreresnet10 diracnet18v2 sharesnet18 densenet121 condensenet74_c8_g8
        sparsenet121 peleenet drnd22 darknet_tiny channelnet revnet38 dla46xc fishnet99 espnetv2_wd2 dicenet_wd5
        hrnet_w18_small_v1 vovnet27s selecsls42 hardnet39ds squeezenet_v1_1 sqnxt23_w1 shufflenet_g1_wd2
        shufflenetv2_wd2 shufflenetv2b_wd2 menet108_8x1_g3 mobilenet_wd4 mobilenetb_wd4 fdmobilenet_wd4
        mobilenetv2b_wd4 mobilenetv3_small_w7d20 igcv3_wd4 ghostnet mnasnet_small darts proxylessnas_mobile fbnet_cb
        nasnet_4a1056 spnasnet mixnet_s isqrtcovresnet18 resneta10 resnetd50b octresnet10_ad2""",
    96: "inceptionv3 inceptionresnetv1",
    128: "scnet50",
    224: "efficientnet_b0 efficientnet_edge_small_b",
}
SEGMENTERS = """fastscnn_cityscapes cgnet_cityscapes dabnet_cityscapes fpenet_cityscapes ctxnet_cityscapes
    lednet_cityscapes esnet_cityscapes edanet_cityscapes enet_cityscapes erfnet_cityscapes unet_cityscapes
    sqnet_cityscapes prnet lwopenpose2d_mobilenet_cmupan_coco"""


def _pytorchcv(name: str, size: int) -> nn.Module:
    """Build one of pytorchcv's; a last pooling over 7 × 7 pixels takes whatever a small image leaves."""
    from pytorchcv.model_provider import get_model

    try:
        model = get_model(name, pretrained=False, in_size=(size, size))
    except TypeError:
        model = get_model(name, pretrained=False)
    for module in list(model.modules()):
        if isinstance(getattr(module, "final_pool", None), nn.AvgPool2d):
            module.final_pool = nn.AdaptiveAvgPool2d(1)
    return model


def _from_pytorchcv() -> list[Architecture]:
    listed = [(name, size, True) for size, names in CLASSIFIERS.items() for name in names.split()]
    listed += [(name, 64, False) for name in SEGMENTERS.split()]
    return [
        Architecture(f"pytorchcv {name}", _builder(_pytorchcv, name, size), size, scores=scores)
        for name, size, scores in listed
    ]


def _builder(function: Callable[..., nn.Module], *args: Any, **options: Any) -> Callable[[], nn.Module]:
    return lambda: function(*args, **options)


Grids = Mapping[int, tuple[int, int, int]]

_PLAIN = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
_PATCHES = {"image_size": 32, "patch_size": 8}
_FOUR = {"hidden_sizes": [8, 8, 16, 16], "depths": [1, 1, 1, 1]}
_VIT: Grids = {17: (1, 4, 4)}
_BARE: Grids = {16: (0, 4, 4)}
_PYRAMID: Grids = {256: (0, 16, 16), 64: (0, 8, 8), 16: (0, 4, 4), 4: (0, 2, 2)}
_SWIN = {"image_size": 64, "patch_size": 4, "embed_dim": 8, "depths": [2, 2], "num_heads": [2, 2], "window_size": 4}

# Class of the model, its configuration, the image's size, how its tokens lie: their number: (prefix, height, width).
TRANSFORMERS: dict[str, tuple[dict[str, Any], int, Grids]] = {
    "ViTForImageClassification": ({**_PLAIN, **_PATCHES}, 32, _VIT),
    "DeiTForImageClassification": ({**_PLAIN, **_PATCHES}, 32, {18: (2, 4, 4)}),
    "ViTMSNForImageClassification": ({**_PLAIN, **_PATCHES}, 32, _VIT),
    "IJepaForImageClassification": ({**_PLAIN, **_PATCHES}, 32, _BARE),
    "BeitForImageClassification": ({**_PLAIN, **_PATCHES, "use_relative_position_bias": True}, 32, _VIT),
    "Data2VecVisionForImageClassification": ({**_PLAIN, **_PATCHES}, 32, _VIT),
    "Dinov2ForImageClassification": ({**_PLAIN, **_PATCHES}, 32, _VIT),
    "Dinov2WithRegistersForImageClassification": (
        {**_PLAIN, **_PATCHES, "num_register_tokens": 4},
        32,
        {21: (5, 4, 4)},
    ),
    "CLIPForImageClassification": ({"vision_config": {**_PLAIN, **_PATCHES}}, 32, _VIT),
    "MetaClip2ForImageClassification": ({"vision_config": {**_PLAIN, **_PATCHES}}, 32, _VIT),
    "SiglipForImageClassification": ({"vision_config": {**_PLAIN, **_PATCHES}}, 32, _BARE),
    "HieraForImageClassification": (
        {"image_size": [64, 64], "embed_dim": 8, "depths": [1, 1, 1, 1], "num_heads": [1, 1, 2, 2]},
        64,
        {},
    ),
    "SwinForImageClassification": (_SWIN, 64, {256: (0, 16, 16), 64: (0, 8, 8)}),
    "Swinv2ForImageClassification": (_SWIN, 64, {256: (0, 16, 16), 64: (0, 8, 8)}),
    "DonutSwinForImageClassification": (_SWIN, 64, {256: (0, 16, 16), 64: (0, 8, 8)}),
    "FocalNetForImageClassification": (
        {"image_size": 64, "embed_dim": 8, "depths": [1, 1, 1, 1], "focal_levels": [2, 2, 2, 2]},
        64,
        _PYRAMID,
    ),
    "ConvNextForImageClassification": (_FOUR, 64, {}),
    "ConvNextV2ForImageClassification": (_FOUR, 64, {}),
    "CvtForImageClassification": (
        {"embed_dim": [8, 8, 16], "num_heads": [1, 2, 2], "depth": [1, 2, 3]},
        64,
        {256: (0, 16, 16), 64: (0, 8, 8), 17: (1, 4, 4), 16: (0, 4, 4), 5: (1, 2, 2)},
    ),
    "PvtForImageClassification": (
        {"image_size": 64, **_FOUR, "num_attention_heads": [1, 1, 2, 2]},
        64,
        {**_PYRAMID, 5: (1, 2, 2)},
    ),
    "PvtV2ForImageClassification": ({"image_size": 64, **_FOUR, "num_attention_heads": [1, 1, 2, 2]}, 64, _PYRAMID),
    "SegformerForImageClassification": ({**_FOUR, "num_attention_heads": [1, 1, 2, 2]}, 64, _PYRAMID),
    "PoolFormerForImageClassification": ({"hidden_sizes": [8, 8, 16, 16], "depths": [1, 1, 1, 1]}, 64, {}),
    "SwiftFormerForImageClassification": (
        {"image_size": 64, "depths": [1, 1, 1, 1], "embed_dims": [8, 8, 16, 16]},
        64,
        {},
    ),
    "LevitForImageClassification": (
        {
            "image_size": 64,
            "hidden_sizes": [16, 16, 16],
            "num_attention_heads": [2, 2, 2],
            "depths": [1, 1, 1],
            "key_dim": [8, 8, 8],
        },
        64,
        {16: (0, 4, 4), 4: (0, 2, 2)},
    ),
    "MobileViTForImageClassification": (
        {
            "image_size": 64,
            "hidden_sizes": [16, 16, 16],
            "neck_hidden_sizes": [8, 8, 8, 16, 16, 16, 32],
            "num_attention_heads": 2,
        },
        64,
        {},
    ),
    "MobileViTV2ForImageClassification": ({"image_size": 64, "width_multiplier": 0.25}, 64, {}),
    "MobileNetV1ForImageClassification": ({"depth_multiplier": 0.25}, 64, {}),
    "MobileNetV2ForImageClassification": ({"depth_multiplier": 0.25}, 64, {}),
    "EfficientNetForImageClassification": (
        {"image_size": 64, "width_coefficient": 0.25, "depth_coefficient": 0.5, "hidden_dim": 320},
        64,
        {},
    ),
    "BitForImageClassification": (
        {"hidden_sizes": [32, 32, 64, 64], "embedding_size": 32, "num_groups": 8, "depths": [1, 1, 1, 1]},
        64,
        {},
    ),
    "RegNetForImageClassification": (
        {"hidden_sizes": [16, 16, 32, 32], "depths": [1, 1, 1, 1], "groups_width": 8, "embedding_size": 8},
        64,
        {},
    ),
    "ResNetForImageClassification": (
        {"hidden_sizes": [16, 16, 32, 32], "depths": [1, 1, 1, 1], "embedding_size": 8},
        64,
        {},
    ),
    "TextNetForImageClassification": ({}, 64, {}),
    "PPLCNetForImageClassification": ({"scale": 0.25}, 64, {}),
    "SegformerForSemanticSegmentation": (
        {**_FOUR, "num_attention_heads": [1, 1, 2, 2], "decoder_hidden_size": 16},
        64,
        _PYRAMID,
    ),
    "DPTForSemanticSegmentation": (
        {
            **_PLAIN,
            "num_hidden_layers": 4,
            "image_size": 32,
            "patch_size": 8,
            "backbone_out_indices": [0, 1, 2, 3],
            "neck_hidden_sizes": [8, 8, 16, 16],
            "fusion_hidden_size": 16,
        },
        32,
        _VIT,
    ),
    "MobileNetV2ForSemanticSegmentation": ({"depth_multiplier": 0.25}, 64, {}),
    "MobileViTForSemanticSegmentation": (
        {
            "image_size": 64,
            "hidden_sizes": [16, 16, 16],
            "neck_hidden_sizes": [8, 8, 8, 16, 16, 16, 32],
            "num_attention_heads": 2,
        },
        64,
        {},
    ),
}


def _transformers(name: str, options: Mapping[str, Any]) -> nn.Module:
    import transformers

    kind = getattr(transformers, name)
    return kind(kind.config_class(**options, num_labels=5))


def _from_transformers() -> list[Architecture]:
    return [
        Architecture(
            f"transformers {name}", _builder(_transformers, name, options), size, tokens=grids,
            scores="Segmentation" not in name, channels_last=name.startswith(("ConvNext", "FocalNet", "SwiftFormer")),
        )
        for name, (options, size, grids) in TRANSFORMERS.items()
    ]  # fmt: skip


_FLAT = {"spatial_dims": 2, "in_channels": 1, "out_channels": 3}
MONAI: dict[str, dict[str, Any]] = {
    "BasicUNet": {**_FLAT, "features": (8, 8, 16, 16, 16, 8)},
    "UNet": {**_FLAT, "channels": (8, 16, 16), "strides": (2, 2), "num_res_units": 2},
    "AttentionUnet": {**_FLAT, "channels": (8, 16, 16), "strides": (2, 2)},
    "DynUNet": {
        **_FLAT,
        "kernel_size": [3, 3, 3],
        "strides": [1, 2, 2],
        "upsample_kernel_size": [2, 2],
        "filters": [8, 16, 16],
    },
    "SegResNet": {**_FLAT, "init_filters": 8},
    "VNet": {**_FLAT},
    "HighResNet": {**_FLAT},
    "DenseNet121": {**_FLAT, "init_features": 16, "growth_rate": 8},
    "EfficientNetBN": {
        "model_name": "efficientnet-b0",
        "pretrained": False,
        "spatial_dims": 2,
        "in_channels": 1,
        "num_classes": 3,
    },
    "SEResNet50": {"spatial_dims": 2, "in_channels": 1, "num_classes": 3},
    "BasicUNetPlusPlus": {**_FLAT, "features": (8, 8, 16, 16, 16, 8)},
    "resnet18": {"spatial_dims": 2, "n_input_channels": 1, "num_classes": 3},
    "MedNeXt": {**_FLAT, "init_filters": 8},
    "RegUNet": {"spatial_dims": 2, "in_channels": 1, "num_channel_initial": 8, "depth": 2, "out_channels": 3},
}
_MONAI_CLASSIFIERS = ("DenseNet121", "EfficientNetBN", "SEResNet50", "resnet18")


def _monai(name: str, options: Mapping[str, Any]) -> nn.Module:
    from monai.networks import nets

    return getattr(nets, name)(**options)


def _from_monai() -> list[Architecture]:
    return [
        Architecture(
            f"monai {name}", _builder(_monai, name, options), 64, channels=1, scores=name in _MONAI_CLASSIFIERS,
        )
        for name, options in MONAI.items()
    ]  # fmt: skip


ARCHITECTURES = {one.name: one for one in (*_from_pytorchcv(), *_from_transformers(), *_from_monai())}

# One or two of each family; they run with every `make test`.
SAMPLE = [
    "pytorchcv resnet18_wd4", "pytorchcv densenet40_k12_bc_cifar10", "pytorchcv mobilenetv3_small_w7d20",
    "pytorchcv shufflenetv2_wd2", "pytorchcv octresnet10_ad2", "pytorchcv fastscnn_cityscapes",
    "transformers ViTForImageClassification", "transformers SwinForImageClassification",
    "transformers ConvNextForImageClassification", "transformers SegformerForImageClassification",
    "transformers Dinov2WithRegistersForImageClassification", "monai DynUNet",
]  # fmt: skip


def missing(architecture: Architecture) -> str:
    """Return the package that an architecture needs and that is not installed, or ""."""
    package = architecture.name.split()[0]
    return "" if find_spec(package) else package
