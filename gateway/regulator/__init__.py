"""What a regulator runs beside a broker: subscribe, watch completeness as it comes, collect into a database.

None of it needs a driver, a journal or a site file: it stands on the messages of the feed alone (docs/specs/feed.md).
"""
