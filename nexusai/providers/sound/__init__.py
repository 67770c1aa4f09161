"""Recordings: read as samples, cut at silence. What decodes them runs in a child process."""
