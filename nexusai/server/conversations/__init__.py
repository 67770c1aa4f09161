"""What passed under `/v1`, written down for keys that say so: found, shown, deleted."""
