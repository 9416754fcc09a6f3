"""A run's folder: written so that nothing is lost, read so that nothing damaged is believed."""
