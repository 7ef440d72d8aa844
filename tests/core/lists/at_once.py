"""The computations on lists that run in steps, run at once."""

from connector.core.lists import saved_lists, subscription
from connector.core.lists.subscription import Lists
from connector.core.steps import finished


def apply_all(lists, records):
    """Return the lists after these records."""
    return finished(subscription.judge(lists, list(records)))[0]


def apply(lists, record):
    """Return the lists after one record."""
    return apply_all(lists, [record])


def restore(previous, records):
    """Return the lists after a complete reading of the control topic."""
    return finished(subscription.restore(previous, records))


def from_entries(entries):
    """Return the lists with these entries."""
    return finished(subscription.with_entries(Lists(), entries))


def desired(lists):
    """Return the desired bonds in their order."""
    return list(lists.desired.values())


def to_text(lists):
    """Return the lists as they are saved."""
    return finished(saved_lists.to_text(lists))


def from_text(text):
    """Return the lists that were saved as this text."""
    return finished(saved_lists.from_text(text))


def from_status(records, saved):
    """Return the lists as their status records say."""
    return finished(saved_lists.from_status(records, saved))
