"""Journaled samples decoded again after a corrected profile."""
