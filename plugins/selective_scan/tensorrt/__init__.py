"""The selective scan as a TensorRT plugin, in three variants."""
