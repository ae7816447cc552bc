"""A torch program cut where a plan says: what runs on which host, as modules."""
