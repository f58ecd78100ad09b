"""Checks of the settings of `lightly extract-frames` that need no heavy import."""

from __future__ import annotations

from pathlib import Path

from lightly_core.config.options.extract import ExtractConfig
from lightly_core.data.videos.places import problems as place_problems
from lightly_core.errors import PluginError
from lightly_core.extracting.manifest import FILE_NAME, Manifest
from lightly_core.places import place_problem
from lightly_core.plugins.discovery import get_plugins
from lightly_core.plugins.loading import check_requirements


def output_path(config: ExtractConfig) -> Path:
    """Return the absolute path of the folder to write."""
    return Path(config.out).expanduser().absolute()


def video_places(config: ExtractConfig) -> list[str]:
    """Return the folders, files and patterns of the settings."""
    return [config.videos] if isinstance(config.videos, str) else list(config.videos)


def extract_problems(config: ExtractConfig) -> list[str]:
    """Return the problems of the settings, one text each, without reading a video."""
    problems = [f"config.videos: {text}" for text in place_problems(video_places(config), config)]
    if config.format == "png" and config.quality != type(config)(videos="x", out="x").quality:
        problems.append("config.quality: it is for JPEGs, got format=png; remove it")
    try:
        check_requirements(get_plugins().catalog.get("source", "video"))
    except PluginError as error:
        problems.append(f"config.videos: {error}")
    return problems + _out_problems(config)


def _out_problems(config: ExtractConfig) -> list[str]:
    path = output_path(config)
    if problem := place_problem(path):
        return [f"config.out: {problem}; choose another place"]
    if path.exists() and not path.is_dir():
        return [f"config.out: expected a folder, but '{path}' is a file; choose another name"]
    if not path.is_dir():
        return []
    manifest = Manifest(path)
    if manifest.settings is None:
        if any(path.iterdir()):
            return [
                f"config.out: the folder '{path}' has files, but none of an earlier call "
                f"({FILE_NAME}); choose a new folder"
            ]
        return []
    differences = manifest.differences(config)
    if differences and not config.overwrite:
        return [
            f"config.out: '{path}' has frames of other settings ({', '.join(differences)}); choose "
            "another folder, or set overwrite=true to remove them and write new ones"
        ]
    return []
