"""Sets of images of persons with labeled attributes: published formats and the toolkit's own."""
