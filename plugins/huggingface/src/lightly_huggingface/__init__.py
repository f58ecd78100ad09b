"""Data sets of Hugging Face and parquet files as a data source of lightly-core."""
