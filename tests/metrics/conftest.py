from spoken import spoken_data  # noqa: F401
