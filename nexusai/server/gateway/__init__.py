"""`/v1`: the platform in the words of other APIs, so that their official clients work unchanged."""
