"""The local page: routes, streams and forms around what `report` renders. Nothing imports it but its command."""
