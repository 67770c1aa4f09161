"""Knowledge bases: documents in, passages found."""
