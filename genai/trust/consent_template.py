"""The template of a ``consent.yaml``, filled with the hashes of recordings."""

import json
from collections.abc import Mapping

HEADER = """\
# Consent for the recordings in this folder. genai checks that it is complete and covers them, not that it is true.
"""
RECORD = """\
records:
- id: ""           # a short name, such as anna-2026: labels and cards say it
  who: ""          # whose voice it is: a name or a pseudonym
  given_by: ""     # who agreed: the person, or who may agree for them
  given_on:        # the date, such as 2026-11-30
  to: []           # of train, clone, publish
  license: ""      # of the recordings, such as CC-BY-4.0
  withdrawal: ""   # how to withdraw it, such as an address
  speakers: []     # names of the speakers in the table of the recordings, if it has them
  files:           # sha256 of each recording
"""
PUBLIC = """\
# Of a public set whose source states its license, this stands in place of "records":
# public:
#   source: ""     # where it is published
#   license: ""    # its license there
#   statement: ""  # the sentence that states it
#   to: [train, publish]
"""


def consent_template(files: Mapping[str, str]) -> str:
    """Return the template with the sha256 of files by their names."""
    rows = [f"    {json.dumps(name)}: {digest}\n" for name, digest in files.items()]
    return HEADER + RECORD + ("".join(rows) or '    "001.wav": 64 hexadecimal digits\n') + PUBLIC
