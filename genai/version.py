"""Version of genai, importable from every module."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("genai")
except PackageNotFoundError:  # a checkout that is not installed
    __version__ = "0+unknown"
