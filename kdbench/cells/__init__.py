"""What a cell does: from its spec in the store to a published record."""
