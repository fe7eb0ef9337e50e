"""The routes, one file for each part of the page; each has `routes(site)`."""
