"""`python -m llmtrack` is `llmtrack`."""

from llmtrack.cli import main

if __name__ == "__main__":
    main()
