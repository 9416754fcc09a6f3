"""What lies on a disk: files read and written whole, and pictures decoded."""
