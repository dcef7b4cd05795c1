"""Getting, listing and watching: selected and shown, without a write."""
