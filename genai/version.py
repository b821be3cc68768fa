"""The version of genai, where everything below the Python face can read it."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("genai")
except PackageNotFoundError:  # a checkout that was never installed
    __version__ = "0+unknown"
