"""``python -m genai.check``; the command itself is in ``genai/commands/check.py``."""

from genai.commands.check import main

__all__ = ["main"]

if __name__ == "__main__":
    main()
