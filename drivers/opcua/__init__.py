"""OPC UA, on asyncua."""
