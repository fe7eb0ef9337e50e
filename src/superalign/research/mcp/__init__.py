"""The researcher may be a program of somebody else's: a campaign as tools of the Model Context Protocol."""
