"""What `metergate` says and is told: typer commands and their tables; the work is done elsewhere."""
