"""The MambaPro model, one module for each box of the paper's figure."""
