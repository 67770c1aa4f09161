"""One file for each format: `read(source, limits)` gives its `Content`."""
