"""What a model costs: values and operations of its parts, beside what the paper prints."""
