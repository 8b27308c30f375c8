"""A simulated site on localhost, and fakes for the tests."""
