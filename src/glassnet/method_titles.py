"""What methods are called in tables, figures and pages, by their names in code."""

from __future__ import annotations

METHOD_TITLES: dict[str, str] = {
    "gradcam": "Grad-CAM",
    "gradcam_plus_plus": "Grad-CAM++",
    "xgradcam": "XGrad-CAM",
    "hirescam": "HiResCAM",
    "layercam": "LayerCAM",
    "eigencam": "EigenCAM",
    "finercam": "Finer-CAM",
    "shapleycam": "ShapleyCAM",
    "scorecam": "Score-CAM",
    "guided_backpropagation": "Guided backpropagation",
    "guided_gradcam": "Guided Grad-CAM",
    "saliency": "Saliency",
    "input_x_gradient": "Input × gradient",
    "smoothgrad": "SmoothGrad",
    "integrated_gradients": "Integrated gradients",
    "occlusion": "Occlusion",
    "attention_rollout": "Attention rollout",
    "attention_relevance": "Attention relevance",
    "legrad": "LeGrad",
}
"""Attribution methods, by their names in `attribution.METHODS`."""

EMBEDDING_TITLES: dict[str, str] = {"pca": "PCA", "tsne": "t-SNE", "umap": "UMAP", "pacmap": "PaCMAP"}
"""Embedding methods, by their names in `embedding.METHODS`."""

CLUSTERING_TITLES: dict[str, str] = {"kmeans": "k-means", "agglomerative": "agglomerative", "hdbscan": "HDBSCAN"}
"""Clustering methods, by their names in `embedding.CLUSTERINGS`."""
