"""People as Models: questions at a desk that the page serves, or in files; forms, order, overlap and undo."""
