"""Bonds made from their ISINs."""

from simulator.bond import bond


def test_the_sample_bond_has_its_own_name():
    """The bond of the portal's sample has the name it has there."""
    assert bond("KR103502GD31", 1, 2026).name == "국고03250-5303(23-2)"


def test_names_follow_the_issuer():
    """Treasury, monetary stabilisation and corporate bonds have names of their kind."""
    assert bond("KR103502GA34", 1, 2026).name.startswith("국고0")
    assert bond("KR310101GD12", 1, 2026).name.startswith("통안0")
    assert bond("KR6000011D12", 1, 2026).name[:2] in {"가람", "누리", "다온", "마루", "한빛"}


def test_same_text_same_bond():
    """A bond is repeatable, and another seed gives another."""
    assert bond("KR103502GA34", 1, 2026) == bond("KR103502GA34", 1, 2026)
    assert bond("KR103502GA34", 1, 2026) != bond("KR103502GA34", 2, 2026)


def test_yield_falls_as_the_price_rises():
    """The yield at a higher price is lower."""
    of = bond("KR103502GD31", 1, 2026)
    assert of.yield_at(of.price + 1000) < of.yield_at(of.price) < of.yield_at(of.price - 1000)


def test_tick_size_follows_the_remaining_life():
    """Prices lie on their tick size: 1 won, 0.5 won or 0.1 won."""
    bonds = [bond(f"KR10350{number:04d}3", 1, 2026) for number in range(200)]
    assert {of.step for of in bonds} == {10, 5, 1}
    assert all(of.price % of.step == 0 for of in bonds)
