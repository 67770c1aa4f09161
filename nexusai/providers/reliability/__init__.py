"""What to do when a vendor fails, as pure policies: state in, decision out."""
