"""``python -m genai certificate``: show the certificate of this machine that signs labels, or make it."""

import sys

from genai.cli.exit_codes import exit_on_error
from genai.core.errors import UserError
from genai.core.terminal import one_line

HELP = """Show the certificate of this machine that signs the labels of samples, or make it.

  name=NAME       organization that readers show, for a new certificate; default: genai local

Others know its signatures when they have its ca.pem in their folder trusted/ beside their own certificate. A
certificate of your own: label_cert= and label_key= of genai.sample and genai serve."""


def main() -> None:
    """Run the command."""
    words = sys.argv[1:]
    if {"-h", "--help"} & set(words):
        print(HELP)
        return
    exit_on_error(lambda: certificate(words))


def certificate(words: list[str]) -> None:
    """Make the certificate if there is none, and say where it is. Raises ``UserError``."""
    from genai.trust.certificates import CA_FILE, CERTIFICATE_FILE, KEY_FILE, certificate_folder, ensure_certificates

    if unknown := next((word for word in words if not word.startswith("name=")), None):
        raise UserError(f"{unknown}: there is name= alone.")
    names = [word.removeprefix("name=") for word in words]
    folder = certificate_folder()
    is_new = ensure_certificates(folder, *names[-1:])
    if names and not is_new:
        raise UserError(f"{folder} has a certificate already: remove it first. What it signed becomes unknown.")
    rows = {
        "folder": f"{folder}{' (new)' if is_new else ''}",
        "signs": f"{CERTIFICATE_FILE}, with {KEY_FILE}, which only you should read",
        "known by": f"{CA_FILE}: others put it into their folder trusted/",
    }
    for label, text in rows.items():
        print(one_line(f"{label:<10}{text}"), flush=True)


if __name__ == "__main__":
    main()
