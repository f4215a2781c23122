"""The MambaPro model: config, sizes, composition."""

from ....moved import old_names_of

# the names of the module that this package was before it became one
__getattr__ = old_names_of("train.models.mambapro", "train.models.mambapro.mambapro")
