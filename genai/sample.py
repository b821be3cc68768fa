"""``python -m genai.sample``; the command itself is in ``genai/commands/sample.py``."""

from genai.commands.sample import main

__all__ = ["main"]

if __name__ == "__main__":
    main()
