"""The site file: parsed once at the edge into frozen objects; contract: docs/specs/site-file.md."""
