from spoken import spoken_data, wavs, words  # noqa: F401
