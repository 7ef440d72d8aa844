"""The auditor's metrics."""

from connector.app.audit.metrics import AUDIT, AUDIT_CATALOGUE, STATES
from connector.app.metrics import CATALOGUE


def test_names_are_the_auditors_own():
    """No metric of the auditor has the name of one of the connector's."""
    of_connector = {each.name for definitions in CATALOGUE.values() for each in definitions}
    names = [each.name for each in AUDIT]
    assert len(set(names)) == len(names)
    assert of_connector.isdisjoint(names)
    assert AUDIT_CATALOGUE["Auditor"] is AUDIT


def test_each_state_is_shown_from_the_start():
    """A state without a bond is shown as 0, so that an alert sees its first bond."""
    (bonds,) = [each for each in AUDIT if each.name == "kis_bond_coverage_bonds"]
    assert bonds.known == STATES == ("OPEN", "HOLES", "COMPLETE", "UNPROVEN")
