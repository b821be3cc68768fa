"""``python -m genai.evaluate``; the command itself is in ``genai/commands/evaluate.py``."""

from genai.commands.evaluate import main, measure

__all__ = ["main", "measure"]

if __name__ == "__main__":
    main()
