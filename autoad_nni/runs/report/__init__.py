"""The report of a search: one HTML page that opens without a server and loads nothing."""
