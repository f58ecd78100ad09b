"""Plugins: what is installed, what each provides, and loading it when it is first used."""
