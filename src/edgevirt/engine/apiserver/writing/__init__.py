"""All that changes objects: create, update, the patches, apply with its field ownership, delete."""
