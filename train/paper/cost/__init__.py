"""Cost of a model: values and operations of its parts, compared with the paper's."""
