"""The MambaPro model: config, sizes, composition."""
