"""What an operator sees of the platform: its log, its metrics, its traces, and whether it is well."""
