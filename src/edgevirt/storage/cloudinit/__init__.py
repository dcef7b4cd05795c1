"""Cloud-init seed disks: the documents (`documents`) and the ISO 9660 image that carries them (`iso9660`)."""
