"""Questions with a hidden key that a campaign can be run on, one per file."""
