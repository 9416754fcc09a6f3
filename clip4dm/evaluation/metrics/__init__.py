"""Figures and their intervals: pure functions of columns of numbers."""
