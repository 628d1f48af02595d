"""What the application expects of the model."""

from pydantic import BaseModel


class Ticket(BaseModel):
    """A message of a customer, as data."""

    customer: str
    product: str
    problem: str
    urgent: bool
