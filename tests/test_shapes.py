"""The shapes and types that signatures promise are checked in the tests; users run the library without that."""

import importlib.util

import jaxtyping
import numpy as np
import pytest

import shapes
from glassnet.data.split import stratified_split
from glassnet.microscope.responses import selectivity

VECTOR = np.zeros(3)


def test_every_package_that_is_checked_exists():
    assert all(importlib.util.find_spec(f"glassnet.{name}") for name in shapes.PACKAGES)


def test_an_array_of_another_shape_is_refused():
    with pytest.raises(jaxtyping.TypeCheckError, match=r"parameters of glassnet\.microscope\.responses\.selectivity"):
        selectivity(VECTOR)


def test_what_is_no_array_is_checked_too():
    with pytest.raises(jaxtyping.TypeCheckError, match=r"seed=1\.5"):
        stratified_split(["a", "b"], [0, 0], test_share=0.5, seed=1.5)


@pytest.mark.usefixtures("unchecked")
def test_nothing_is_checked_where_that_is_turned_off():
    assert stratified_split(["a", "b"], [0, 0], test_share=0.5, seed=1.5)
    assert len(selectivity(VECTOR)) == 3


def test_of_inner_functions_those_with_arrays_are_checked():
    def plain(number: int):
        return number

    def of_arrays(rows: jaxtyping.Float[np.ndarray, "n m"]):
        return rows

    plain, of_arrays = (jaxtyping.jaxtyped(one, typechecker=shapes.check) for one in (plain, of_arrays))
    assert plain("x") == "x"
    with pytest.raises(jaxtyping.TypeCheckError):
        of_arrays(VECTOR)
