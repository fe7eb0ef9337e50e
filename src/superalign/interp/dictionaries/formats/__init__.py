"""Files of dictionaries that other projects wrote, or read."""
