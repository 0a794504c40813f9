"""What operations reach, each by a rule from what its arguments reach to what it gives.

The operations are those below autograd (`aten`), into which modules, functions and scripted code all come apart.
"""

from glassnet.models.receptive import mixing, windows
from glassnet.models.receptive.moving import MOVING
from glassnet.models.receptive.operation import Rule

_DIMS = (1, 2, 3)
_KINDS = (("", ""), ("_", "_exact"))

RULES: dict[str, Rule] = {
    **MOVING,
    **dict.fromkeys(("convolution", "_convolution", "convolution_overrideable"), windows.convolution),
    **dict.fromkeys((f"avg_pool{n}d" for n in _DIMS), windows.pooled),
    **dict.fromkeys((f"max_pool{n}d" for n in _DIMS), windows.pooled),
    **dict.fromkeys((f"max_pool{n}d_with_indices" for n in _DIMS), windows.pooled),
    **dict.fromkeys(
        (f"{kind}adaptive_{pool}_pool{n}d" for kind in ("", "_") for pool in ("avg", "max") for n in _DIMS),
        windows.adaptively_pooled,
    ),
    **dict.fromkeys(
        (f"{kind}upsample_nearest{exact}{n}d" for n in _DIMS for kind, exact in _KINDS),
        windows.resized,
    ),
    **dict.fromkeys(
        ("upsample_linear1d", "upsample_bilinear2d", "upsample_trilinear3d", "upsample_bicubic2d"), windows.resized
    ),
    **dict.fromkeys(("_upsample_bilinear2d_aa", "_upsample_bicubic2d_aa"), windows.resized),
    **dict.fromkeys(("mean", "sum", "amax", "amin", "max", "min", "argmax", "argmin", "var", "std"), mixing.reduced),
    **dict.fromkeys(("logsumexp", "prod", "any", "all", "var_mean", "std_mean", "aminmax", "nansum"), mixing.reduced),
    **dict.fromkeys(("norm", "linalg_vector_norm", "median", "nanmedian", "mode", "count_nonzero"), mixing.reduced),
    **dict.fromkeys(("sort", "topk", "argsort", "kthvalue"), mixing.along),
    **dict.fromkeys(("cumsum", "cumprod", "logcumsumexp", "cummax", "cummin"), mixing.cumulated),
    **dict.fromkeys(("_softmax", "_log_softmax", "softmax", "log_softmax", "_safe_softmax"), mixing.softmaxed),
    **dict.fromkeys(("native_batch_norm", "cudnn_batch_norm", "miopen_batch_norm"), mixing.batch_normalised),
    **dict.fromkeys(("_native_batch_norm_legit", "_native_batch_norm_legit_no_training"), mixing.batch_normalised),
    **dict.fromkeys(("native_layer_norm", "_fused_rms_norm", "rms_norm"), mixing.layer_normalised),
    "native_group_norm": mixing.group_normalised,
    **dict.fromkeys(("mm", "bmm", "matmul", "addmm", "_addmm_activation", "baddbmm"), mixing.multiplied),
    **dict.fromkeys(("linear", "mkldnn_linear"), mixing.linear),
    **dict.fromkeys(
        (
            "_scaled_dot_product_flash_attention_for_cpu",
            "_scaled_dot_product_flash_attention",
            "_scaled_dot_product_efficient_attention",
            "_scaled_dot_product_cudnn_attention",
            "_scaled_dot_product_attention_math",
            "_scaled_dot_product_fused_attention_overrideable",
            "scaled_dot_product_attention",
        ),
        mixing.attention,
    ),
    **dict.fromkeys(("grid_sampler_2d", "grid_sampler_3d", "_grid_sampler_2d_cpu_fallback"), mixing.sampled),
    **dict.fromkeys(("_fft_c2c", "_fft_r2c", "_fft_c2r"), mixing.fourier),
    "view_as_real": mixing.as_real,
    "view_as_complex": mixing.as_complex,
    **dict.fromkeys(("_cdist_forward", "_euclidean_dist"), mixing.distances),
    "native_dropout": lambda one: [one.first, None],
    **dict.fromkeys(("_prelu_kernel", "hardswish", "rrelu_with_noise", "polar", "complex"), mixing.pointwise),
    "log_sigmoid_forward": mixing.first_pointwise,
    **dict.fromkeys(("affine_grid_generator", "_trilinear", "dot"), mixing.of_all),
    "mv": mixing.by_vector,
    "glu": mixing.gated,
    "copy": mixing.copied,
    "embedding": mixing.looked_up,
    "col2im": windows.folded,
}
