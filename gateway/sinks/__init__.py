"""Destinations: encoders are pure, senders are thin."""
