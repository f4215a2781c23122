"""The paper's figures of a trained model: Grad-CAM, t-SNE, similarities between modalities; PNG files and a page."""
