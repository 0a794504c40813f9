"""Attention of a transformer as a map: which patches the prediction's token looks at, through all layers.

Rollout follows attention alone, whatever the class; attention relevance counts only what of it raises the score; LeGrad
asks how the score that each block's tokens would get changes with the block's attention. All explain the input: one
map, not one for each layer.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from glassnet.attribution.engine.attention_layout import Matrix, Tokens


def attention_rollout(attention: Sequence[Matrix], tokens: Tokens) -> Float[Tensor, "batch grid_height grid_width"]:
    """Multiply the layers' attentions, each averaged over its heads and with the residual connection as identity.

    R = A'_L ... A'_1, A'_l = (mean_h A_lh + I) / 2: row i says how much of each input token reaches token i. The map is
    the mean row of the tokens that the score is read from: the class token's, or those of all that are pooled. Which
    these are, the last attention's gradient tells; the map itself takes no gradient and no score.

    Abnar & Zuidema 2020, https://arxiv.org/abs/2005.00928, section 3 (attention rollout).
    """
    reached = _identity(attention[0])
    for matrix in attention:
        reached = (matrix.mean(dim=1) + _identity(matrix)) / 2 @ reached
    return tokens.to_map(tokens.row(reached))


def attention_relevance(
    attention: Sequence[Matrix], attention_gradient: Sequence[Matrix], tokens: Tokens
) -> Float[Tensor, "batch grid_height grid_width"]:
    """Add up, layer by layer, what of the attention raises the score.

    R_0 = I, R_l = R_{l-1} + A'_l R_{l-1}, A'_l = mean_h ReLU(dy/dA_lh * A_lh). The map is the mean row of R_L
    of the tokens that the score is read from, as the class token.

    Chefer et al. 2021, https://arxiv.org/abs/2103.15679, equations 5 and 6.
    """
    relevance = _identity(attention[0])
    for matrix, gradient in zip(attention, attention_gradient, strict=True):
        relevance = relevance + (gradient * matrix).relu().mean(dim=1) @ relevance
    return tokens.to_map(tokens.row(relevance))


def legrad(block_gradient: Sequence[Matrix], tokens: Tokens) -> Float[Tensor, "batch grid_height grid_width"]:
    """Average over blocks how the score of a block's own tokens rises with the block's attention.

    M = 1/L sum_l mean_h mean_i ReLU(dy_l/dA_lhi.), y_l being the score that the model's end gives to the tokens after
    block l, and i the tokens that attend. The paper scales the map to [0, 1] at last, which is left to the figure.

    Bousselham et al. 2024, https://arxiv.org/abs/2404.03214, equations 5 to 8.
    """
    attended = [gradient.relu().mean(dim=(1, 2)) for gradient in block_gradient]
    return tokens.to_map(torch.stack(attended).mean(dim=0))


def _identity(matrix: Matrix) -> Float[Tensor, "batch token token"]:
    return torch.eye(matrix.shape[-1], dtype=matrix.dtype, device=matrix.device).expand(len(matrix), -1, -1)
