"""The inventory (计量器具台账): organisation, units, equipment, flows, and the instruments that measure them."""
