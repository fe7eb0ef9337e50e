"""The views of the local page and of the static site, one file for each thing that is looked at."""
