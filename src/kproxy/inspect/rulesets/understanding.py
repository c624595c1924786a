"""What to do with a rule that an evaluator does not know: say so, and never guess."""


class NotUnderstoodError(Exception):
    """A part of a rule has no meaning to the evaluator, or asks for what nobody knows; the message says what."""
