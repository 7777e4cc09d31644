"""Numbers -> metrics: one small file each, with its definition; see ``statistics``."""
