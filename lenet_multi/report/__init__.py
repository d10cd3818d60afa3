"""One page about run folders that needs nothing beside it: tables, charts, pictures."""
