"""Units in the files of other programs: read into dossiers, and written from them."""
