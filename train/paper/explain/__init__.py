"""The paper's pictures of a trained model: Grad-CAM, t-SNE, similarities between modalities; as PNG and one page."""
