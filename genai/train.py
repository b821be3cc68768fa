"""``python -m genai.train``; the command itself is in ``genai/commands/train.py``."""

from genai.commands.train import fit, main

__all__ = ["fit", "main"]

if __name__ == "__main__":
    main()
