"""``python -m genai.page``; the command itself is in ``genai/commands/page.py``."""

from genai.commands.page import main

__all__ = ["main"]

if __name__ == "__main__":
    main()
